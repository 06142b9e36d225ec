"""How far apart fingerprints lie, of one picture after handling and of different pictures: `python -m benchmarks.fingerprint`

Real slices stand for kept cases (`--data`, default `../shared/data/brain_t1gd`; none is written anywhere), and, where
`--bank` names a folder, the cases kept there. Every attack is asked against the whole bank, as `Bank.recognise` does it;
false matches are those of slices that are not in the bank. Neighbours in the file are slices of one patient, so kept
slices and strangers come from alternate stretches of it, some slices apart.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from meddiff.bank.fingerprint import BITS, THRESHOLD, VIEWS, asked_bits, kept_bits, nearest, unstamped, words
from meddiff.marking.stamp import stamp

STRETCH, MARGIN = 60, 15  # slices; a patient has about 13, one after the other
Attack = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _resized(share: float) -> Attack:
    def attack(picture: np.ndarray, _: np.random.Generator) -> np.ndarray:
        size = round(picture.shape[1] * share), round(picture.shape[0] * share)
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))

    return attack


def _jpeg(quality: int) -> Attack:
    def attack(picture: np.ndarray, _: np.random.Generator) -> np.ndarray:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, format="JPEG", quality=quality)
        return np.asarray(Image.open(buffer))

    return attack


def _window(low: float, high: float) -> Attack:
    return lambda picture, _: (np.clip((picture / 255.0 - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _gamma(power: float) -> Attack:
    return lambda picture, _: (255 * (picture / 255.0) ** power).astype(np.uint8)


def _cropped(area: float) -> Attack:
    def attack(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        rows, columns = (round(side * area**0.5) for side in picture.shape)
        row, column = rng.integers(picture.shape[0] - rows + 1), rng.integers(picture.shape[1] - columns + 1)
        return picture[row : row + rows, column : column + columns]

    return attack


def _rotated(degrees: float) -> Attack:
    return lambda picture, _: ndimage.rotate(picture, degrees, reshape=False, order=1)


def _screenshot(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    framed = np.pad(_resized(1.37)(_window(0.03, 0.8)(picture, rng), rng), ((40, 25), (70, 30)))
    return _jpeg(75)(framed, rng)


ATTACKS: dict[str, Attack] = {
    "nothing": lambda picture, _: picture,
    "resize 50%": _resized(0.5),
    "resize 200%": _resized(2.0),
    "JPEG 50": _jpeg(50),
    "window 10 to 70%": _window(0.1, 0.7),
    "window 0 to 50%": _window(0.0, 0.5),
    "gamma 0.5": _gamma(0.5),
    "gamma 2": _gamma(2.0),
    "inverted": lambda picture, _: 255 - picture,
    "flipped left-right": lambda picture, _: picture[:, ::-1],
    "flipped up-down": lambda picture, _: picture[::-1],
    "crop to 90% of area": _cropped(0.9),
    "crop to 75% of area": _cropped(0.75),
    "crop to 50% of area": _cropped(0.5),
    "rotated 3 degrees": _rotated(3),
    "rotated 90 degrees": lambda picture, _: np.rot90(picture),
    "noise, sd 10": lambda picture, rng: np.clip(picture + rng.normal(0, 10, picture.shape), 0, 255).astype(np.uint8),
    "blur, sd 2": lambda picture, _: ndimage.gaussian_filter(picture, 2),
    "screenshot": _screenshot,
}


def real(folder: Path, count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """`count` slices to keep and as many strangers, uint8 [H, W], from alternate stretches of the file."""
    with open(folder / "cases.csv", newline="") as file:
        names = [row["image"] for row in csv.DictReader(file)]
    groups: tuple[list[str], list[str]] = ([], [])
    for number, name in enumerate(names):
        if MARGIN <= number % STRETCH < STRETCH - MARGIN:
            groups[number // STRETCH % 2].append(name)

    def some(names: list[str]) -> list[np.ndarray]:
        chosen = np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)
        return [np.asarray(Image.open(folder / names[i]).convert("L")) for i in chosen]

    return some(groups[0]), some(groups[1])


def made(folder: Path) -> list[np.ndarray]:
    """The cases of a bank without their stamp, uint8 or uint16 [H, W]."""
    from meddiff.bank import Bank

    bank = Bank(folder)
    return [unstamped(bank.open(case.id).image) for case in bank.list(limit=10_000)]


def handled(kept: list[np.ndarray], bits: np.ndarray, attacked: int) -> None:
    """Prints how often a picture is recognised after every attack, and as what."""
    rng = np.random.default_rng(0)
    chosen = np.linspace(0, len(kept) - 1, min(attacked, len(kept))).astype(int)
    print(f"| {'handled':22s} | recognised | as itself | median bits | 99% of them |\n|---|---|---|---|---|")
    for attack, act in ATTACKS.items():
        found = []
        for number in chosen:
            stamped, _ = stamp(kept[number], f"MD-{number:012x}")  # as it left: with its stamp
            index, distance = nearest(asked_bits(act(stamped, rng)), bits)
            found.append((distance, index // VIEWS == number))
        far, right = np.array([distance for distance, _ in found]), np.array([ok for _, ok in found])
        near = far <= THRESHOLD
        print(
            f"| {attack:22s} | {near.mean():.1%} | {(near & right).mean():.1%} | {np.median(far):.0f} | "
            f"{np.percentile(far, 99):.0f} |",
            flush=True,
        )


def unknown(strangers: list[np.ndarray], bits: np.ndarray) -> None:
    """Prints how near pictures come that are not kept."""
    least, single, seconds = [], [], 0.0
    for picture in strangers:
        began = time.perf_counter()
        asked = asked_bits(picture)
        least.append(nearest(asked, bits)[1])
        seconds += time.perf_counter() - began
        each = np.min([np.bitwise_count(bits ^ one).sum(1) for one in asked], 0)
        single.append(each.reshape(-1, VIEWS).min(1))
    far, pairs = np.array(least), np.concatenate(single)
    print(
        f"{len(far)} strangers against {len(bits) // VIEWS} kept: nearest {far.min()} bits, median {np.median(far):.0f}; "
        f"within {THRESHOLD}: {(far <= THRESHOLD).sum()}; {seconds / len(far) * 1000:.0f} ms a query"
    )
    print("within " + ", ".join(f"{limit}: {(far <= limit).sum()}" for limit in range(36, 76, 4)))
    print(f"to one kept picture: mean {pairs.mean():.1f}, sd {pairs.std():.2f} bits, of {len(pairs)} pairs")


def main() -> None:
    """Prints the tables."""
    own = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    own.add_argument("--data", type=Path, default=Path("../shared/data/brain_t1gd"))
    own.add_argument("--bank", type=Path, help="folder of a bank whose cases are measured too")
    own.add_argument("--count", type=int, default=1000, help="real slices kept, and as many strangers (default 1000)")
    own.add_argument("--attacked", type=int, default=150, help="kept slices that are handled (default 150)")
    args = own.parse_args()
    kept, strangers = real(args.data, args.count)
    for name, pictures in {"real slices": kept, "generated cases": made(args.bank) if args.bank else []}.items():
        if not pictures:
            continue
        bits = np.concatenate([words(kept_bits(picture)) for picture in pictures])
        print(f"\n{name}: {len(pictures)} kept, at most {THRESHOLD} of {BITS} bits may differ")
        unknown(strangers, bits)
        handled(pictures, bits, args.attacked)


if __name__ == "__main__":
    main()
