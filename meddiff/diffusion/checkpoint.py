"""A pack is a folder: what lies in `checkpoints/<pack>/`, checked by hash before a weight is used."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from pydantic import ValidationError

from meddiff.case import MedDiffError, Plane, Record
from meddiff.diffusion.pipeline import MedDiffPipeline
from meddiff.diffusion.precision import (
    IR_NAME,
    PRECISIONS,
    bitsandbytes_denoiser,
    has_native_bf16,
    openvino_denoise,
    torch_denoise,
)
from meddiff.settings import settings

MANIFEST = "manifest.json"  # SHA-256 of every file of the pack but itself and what is only told about it
CARD = "README.md"
EVALUATION = "evaluation"  # folder: how good the pack was found to be (`meddiff.evaluation.card`)
RECORD = "training.json"  # beside a part's weights: how long they were trained


class PackInfo(Record):
    """What a pack knows and is, from its `pack.json`."""

    name: str
    title: str
    modality: str
    anatomy: str
    sequence: str
    planes: tuple[Plane, ...]
    types: tuple[str, ...]  # keys of the pathologies with training data of their own, in the finder's order
    size: int = 256  # pixels a side
    spacing_mm: float = 0.98
    steps: int = 16  # what the figures of the card were measured at
    guidance: float = 2.0
    licence: str = "CC BY 4.0"
    sha256: str = ""  # of the manifest; filled in when the pack is opened


@dataclass(frozen=True)
class Pack:
    """An opened pack."""

    info: PackInfo
    folder: Path
    precision: str
    pipeline: MedDiffPipeline

    @cached_property
    def has_finder(self) -> bool:
        """Whether an independent lesion finder lies in `check/`."""
        return (self.folder / "check" / "config.json").exists()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path) -> str:
    """Writes the hashes of all files of a pack; returns the hash of the manifest, which names the pack."""
    told = folder / EVALUATION
    files = sorted(
        p
        for p in folder.rglob("*")
        if p.is_file() and p.name not in (MANIFEST, CARD, RECORD) and p.suffix != ".tmp" and told not in p.parents
    )
    hashes = {p.relative_to(folder).as_posix(): file_sha256(p) for p in files}
    temporary = folder / (MANIFEST + ".tmp")
    temporary.write_text(json.dumps(hashes, indent=1, sort_keys=True) + "\n")
    os.replace(temporary, folder / MANIFEST)
    return file_sha256(folder / MANIFEST)


def verify(folder: Path) -> str:
    """Checks every file against the manifest; returns the pack's hash.

    Raises:
        MedDiffError: naming the file that is missing or was changed.
    """
    manifest = folder / MANIFEST
    if not manifest.exists():
        raise MedDiffError(f"The pack {folder.name} has no {MANIFEST} in {folder}: install the pack again.")
    try:
        hashes: dict[str, str] = json.loads(manifest.read_text())
    except ValueError as error:
        raise MedDiffError(f"The list of hashes {manifest} is damaged: install the pack again.") from error
    for name, wanted in hashes.items():
        path = folder / name
        if not path.exists():
            raise MedDiffError(f"The pack {folder.name} is not whole: {name} is missing. Install the pack again.")
        if file_sha256(path) != wanted:
            raise MedDiffError(
                f"The pack {folder.name} was changed: {name} is not the file its manifest names. "
                "Install the pack again; do not use a checkpoint whose source you do not know."
            )
    return file_sha256(manifest)


def read_info(folder: Path) -> PackInfo:
    """The description of a pack, with its hash, without loading or checking weights."""
    try:
        info = PackInfo.model_validate_json((folder / "pack.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise MedDiffError(f"{folder} is no pack: its pack.json is missing or damaged.") from error
    manifest = folder / MANIFEST
    return info.model_copy(update={"sha256": file_sha256(manifest) if manifest.exists() else ""})


def list_packs() -> list[PackInfo]:
    """All packs in the folder of checkpoints, by name."""
    root = settings().checkpoints
    return [read_info(path.parent) for path in sorted(root.glob("*/pack.json"))]


def load_pack(name: str = "brain-t1gd", precision: str = "int8", folder: Path | None = None, threads: int = 0) -> Pack:
    """Opens, checks and loads a pack.

    Args:
        name: folder under `settings().checkpoints`.
        precision: int8, bf16 or fp32 (see `diffusion.precision`).
        folder: the pack's folder itself, instead of a name.
        threads: that compute; 0: as many as the settings say. The last bit of a picture depends on it.

    Raises:
        MedDiffError: unknown pack or precision, missing or changed files.
    """
    if precision not in PRECISIONS:
        raise MedDiffError(f"Precision {precision!r} is not known: use one of {', '.join(PRECISIONS)}.")
    folder = folder or settings().checkpoints / name
    if not (folder / "pack.json").exists():
        known = ", ".join(info.name for info in list_packs()) or "none"
        raise MedDiffError(f"There is no pack {name!r} in {folder.parent}. Installed: {known}.")
    sha256 = verify(folder)
    info = read_info(folder).model_copy(update={"sha256": sha256})
    if threads := threads or settings().threads:
        torch.set_num_threads(threads)
    pipeline = open_pipeline(folder)
    set_precision(pipeline, folder, precision, threads)
    return Pack(info, folder, precision, pipeline)


def open_pipeline(folder: Path) -> MedDiffPipeline:
    """The pipeline of a pack's folder in float32, without checking hashes and without chatter.

    Raises:
        MedDiffError: when a part cannot be loaded.
    """
    import transformers
    from diffusers.utils import logging

    logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    try:
        bert = transformers.BertModel.from_pretrained(
            folder / "text_encoder", local_files_only=True, add_pooling_layer=False
        )
        pipeline: MedDiffPipeline = MedDiffPipeline.from_pretrained(folder, text_encoder=bert, local_files_only=True)
        pipeline.unet.float()  # stored in half precision
        return pipeline
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise MedDiffError(
            f"The pack {folder.name} cannot be loaded: {str(error).splitlines()[0]} Install the pack again."
        ) from error


def set_precision(pipeline: MedDiffPipeline, folder: Path, precision: str, threads: int = 0) -> None:
    """Puts the denoiser of that precision into a pipeline, and the autoencoder in bfloat16 where that is native."""
    half = torch.bfloat16
    cuda = torch.cuda.is_available()
    if precision == "int8" and not cuda:
        pipeline.denoise = openvino_denoise(folder / "unet-int8", threads or settings().threads)
    elif precision == "int8":
        pipeline.denoise = torch_denoise(bitsandbytes_denoiser(folder / "unet"))
    else:
        if cuda:
            pipeline.unet.to("cuda")
        if precision == "bf16":
            pipeline.unet.to(half)
        pipeline.denoise = torch_denoise(pipeline.unet)
    # The autoencoder loses 12% in INT8 and nothing to speak of in bfloat16; emulated bfloat16 is ten times slower.
    if precision == "bf16" or (precision == "int8" and has_native_bf16()):
        pipeline.vae.to(half)


def save_pack(folder: Path, info: PackInfo, pipeline: MedDiffPipeline) -> str:
    """Writes a pack's own parts and its manifest; `unet-int8/` and `check/` are written by their recipes before."""
    folder.mkdir(parents=True, exist_ok=True)
    pipeline.save_pretrained(folder, safe_serialization=True)
    for path in folder.rglob("config.json"):
        config = json.loads(path.read_text())
        if config.pop("_name_or_path", None) is not None:  # where the part lay on the machine that trained it
            path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (folder / "pack.json").write_text(info.model_copy(update={"sha256": ""}).model_dump_json(indent=1) + "\n")
    return write_manifest(folder)


def save_ir(network: object, folder: Path) -> None:
    """Writes an OpenVINO network (weights as they are, biases in half precision) as the pack's INT8 part."""
    import openvino as ov

    folder.mkdir(parents=True, exist_ok=True)
    ov.save_model(network, folder / IR_NAME, compress_to_fp16=True)
