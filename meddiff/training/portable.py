"""Recipe: the training set in one small file. `meddiff train portable --data DIR --out runs/portable.npz`

A machine with a GPU that is lent for a quarter of an hour has no time to read captions for two minutes, and often no room for the set. The
file holds what the recipes of denoiser, distillation and finder need, pictures as WebP (quality 95, some 12 KB each), the rest without loss: `--portable FILE`
stands in the place of `--data DIR`. It holds real pictures under the set's licence: keep it out of the repository and of any pack.
"""

from __future__ import annotations

import argparse
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from meddiff.case import MedDiffError
from meddiff.training.dataset import BrainSet, load_brain_t1gd
from meddiff.training.detectors import clear_slices
from meddiff.training.prior import read_heads
from meddiff.training.slices import Slices, prepare

QUALITY = 95


def pack_pictures(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [N, H, W] as WebP, end to end in bytes, and where each ends [N]."""

    def encoded(picture: np.ndarray) -> bytes:
        held = io.BytesIO()
        if set(np.unique(picture)) <= {0, 255}:
            Image.fromarray(picture).save(held, "WEBP", lossless=True)
        else:
            Image.fromarray(picture).save(held, "WEBP", quality=QUALITY, method=4)
        return held.getvalue()

    with ThreadPoolExecutor() as pool:
        parts = list(pool.map(encoded, pictures))
    return np.frombuffer(b"".join(parts), np.uint8), np.cumsum([len(part) for part in parts])


def unpack_pictures(data: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """What `pack_pictures` packed, uint8 [N, H, W]."""
    starts = np.concatenate([[0], ends[:-1]])

    def decoded(span: tuple[int, int]) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(data[span[0] : span[1]].tobytes())).convert("L"))

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(decoded, zip(starts.tolist(), ends.tolist(), strict=True))))


def pack_rows(values: Tensor) -> dict[str, np.ndarray]:
    """Contexts [..., 128] as the different rows among them and which one stands where: there are few, said over and over."""
    rows, where = torch.unique(values.reshape(-1, values.shape[-1]), dim=0, return_inverse=True)
    return {"rows": rows.numpy(), "where": where.reshape(values.shape[:-1]).numpy().astype(np.int32)}


def write_portable(path: Path, arrays: dict[str, Tensor], pictures: dict[str, np.ndarray]) -> Path:
    """Writes tensors and stacks of pictures uint8 [N, H, W] by name; half-precision tensors are contexts (`pack_rows`)."""
    held: dict[str, np.ndarray] = {}
    for name, value in arrays.items():
        if value.dtype == torch.half:
            held |= {f"{name}.{key}": part for key, part in pack_rows(value).items()}
        else:
            held[name] = value.numpy()
    for name, stack in pictures.items():
        held[f"{name}.webp"], held[f"{name}.ends"] = pack_pictures(stack)

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with open(temporary, "wb") as file:
        np.savez_compressed(file, **held)  # type: ignore[arg-type]
    os.replace(temporary, path)
    return path


def read_portable(path: Path) -> dict[str, Tensor]:
    """Everything that `write_portable` wrote, by name.

    Raises:
        MedDiffError: no such file, or another one.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise MedDiffError(f"{path} is no file of meddiff train portable: write one where the data is.") from error
    found: dict[str, Tensor] = {}
    for name, value in held.items():
        stem, _, kind = name.rpartition(".")
        if kind == "webp":
            found[stem] = torch.from_numpy(unpack_pictures(value, held[f"{stem}.ends"]))
        elif kind == "rows":
            found[stem] = torch.from_numpy(value)[torch.from_numpy(held[f"{stem}.where"]).long()]
        elif not stem:
            found[name] = torch.from_numpy(value)
    return found


def write_slices(path: Path, slices: Slices, val: BrainSet, clear: np.ndarray | None = None) -> Path:
    """The training set as the denoiser wants it, `val` slices that the finder is judged on, and slices without a lesion [M, 256, 256]."""
    assert slices.heads is not None and slices.carried is not None and slices.follows is not None
    changed = slices.carried != slices.pictures  # what a neighbour shows otherwise: little, so only that is kept
    names = ("contexts", "healthy", "clinical", "mirrorable", "weight", "follows", "types")
    arrays = {name: getattr(slices, name) for name in names if getattr(slices, name) is not None}
    masks = np.where(val.masks > 127, 255, 0).astype(np.uint8)
    return write_portable(
        path,
        arrays | {"val_types": torch.from_numpy(val.type_numbers())},
        {
            "pictures": slices.pictures.numpy(),
            "masks": torch.where(slices.masks > 127, 255, 0).byte().numpy(),
            "heads": slices.heads.numpy(),
            "changed": (changed * 255).byte().numpy(),
            "patch": (slices.carried * changed).numpy(),
            "val_pictures": val.pictures,
            "val_masks": masks,
        }
        | ({} if clear is None else {"clear": clear}),
    )


def read_slices(path: Path) -> Slices:
    """The training set that `write_slices` wrote. Raises MedDiffError as `read_portable` does."""
    held = read_portable(path)
    changed, patch = held.pop("changed") > 127, held.pop("patch")
    kept = {name: value for name, value in held.items() if not name.startswith("val_") and name != "clear"}
    return Slices(**kept, carried=torch.where(changed, patch, held["pictures"]))


def training_slices(data: Path | None, portable: Path | None, prior: Path, distinct: bool = False) -> Slices:
    """The set from where the arguments say, with the heads that the prior drew.

    Raises:
        MedDiffError: when `distinct` is asked of a file: how often slices are drawn was decided when it was written.
    """
    if portable is not None:
        if distinct:
            raise MedDiffError(
                f"How often slices are drawn stands in {portable}: give --distinct to meddiff train portable instead."
            )
        return read_slices(portable)
    assert data is not None
    brain = load_brain_t1gd(data).where("train")
    return prepare(brain, heads=read_heads(prior / "heads.npy", len(brain)), distinct=distinct)


def add_source(parser: argparse.ArgumentParser) -> None:
    """The arguments of a recipe that takes the set from its folder or from such a file."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="folder of the brain_t1gd set (docs/data.md)")
    source.add_argument("--portable", type=Path, help="file that meddiff train portable wrote, instead of --data")


def add_distinct(parser: argparse.ArgumentParser) -> None:
    """The argument of a recipe that draws slices by their weights."""
    parser.add_argument(
        "--distinct",
        action="store_true",
        help="draw slices that show the same picture together as often as one (meddiff train duplicates lists them)",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `meddiff train portable`."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the brain_t1gd set (docs/data.md)")
    parser.add_argument("--prior", type=Path, default=Path("runs/prior"), help="folder that meddiff train prior wrote")
    parser.add_argument(
        "--volumes", type=Path, help="folder of brain_progression: its tumour-free slices, for the finder"
    )
    parser.add_argument("--wordings", type=int, default=8, help="wordings of each caption (default 8)")
    add_distinct(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/portable.npz"), help="file to write")


def main(args: argparse.Namespace) -> int:
    """Writes the file and prints its size."""
    whole = load_brain_t1gd(args.data)
    brain = whole.where("train")
    heads = read_heads(args.prior / "heads.npy", len(brain))
    slices = prepare(brain, wordings=args.wordings, heads=heads, distinct=args.distinct)
    clear = None if args.volumes is None else clear_slices(args.volumes)
    write_slices(args.out, slices, whole.where("val"), clear)
    print(f"{len(brain)} slices in {args.out}, {args.out.stat().st_size / 2**20:.1f} MiB")
    return 0
