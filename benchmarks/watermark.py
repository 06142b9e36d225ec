"""What the invisible mark survives, beside two well-known ones: `python -m benchmarks.watermark --data DIR [--real 60] [--made 20] [--unmarked 410] [--keys 75]`

Marks real slices (`brain_t1gd`, as they are: 512 x 512), generated cases (256 x 256) and the same cases in 16 bits, changes them as pictures are changed, and counts how often
the right 48 bits come back; the mark's size, and what it does to the finder's Dice and diameter; then how often real pictures without a
mark give a reading. `blind-watermark` and `invisible-watermark` write 48 bits into the same pictures and are read from the same files; they have no
checksum, so they are told what to look for: right means all 48 bits. They are not among the requirements:
`pip install --no-deps blind-watermark==0.4.4 invisible-watermark==0.2.0 opencv-python-headless PyWavelets`; without them their columns are empty.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage, stats

from meddiff.case import MaskSpec, Request, Tolerance
from meddiff.conditions.measure import dice, largest_piece, longest_diameter_mm
from meddiff.marking import detect
from meddiff.marking.code import CHANCE, agrees, case_id_of, decoded
from meddiff.marking.detect import read_mark
from meddiff.marking.watermark import embed
from meddiff.synthesis.finder import LesionFinder
from meddiff.synthesis.studio import Studio

SENTENCES = (
    "Axial T1 post-contrast, ring-enhancing left frontal glioma, 40 mm",
    "Coronal T1 post-contrast, right parietal meningioma, 30 mm",
    "Sagittal T1 post-contrast, pituitary tumor, 20 mm",
    "Axial T1 post-contrast, no focal lesion",
)


# ---------------------------------------------------------------- what happens to pictures


def saved(picture: np.ndarray, form: str, **options: int) -> np.ndarray:
    """A picture after it was saved and opened again."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format=form, **options)
    with Image.open(buffer) as image:
        return np.asarray(image.convert("L"))


def resized(picture: np.ndarray, factor: float) -> np.ndarray:
    """Bicubic, antialiased when made smaller."""
    rows, columns = (round(side * factor) for side in picture.shape)
    return np.asarray(Image.fromarray(picture).resize((columns, rows), Image.Resampling.BICUBIC))


def windowed(picture: np.ndarray, low: float, high: float) -> np.ndarray:
    """Window between two percentiles of the anatomy: what is outside is clipped."""
    anatomy = picture[ndimage.gaussian_filter(picture.astype(np.float32), 2) > 12]
    first, last = np.percentile(anatomy, (low, high))
    return to_bytes((picture - first) / max(last - first, 1) * 255)


def cropped(picture: np.ndarray, share: float, down: float = 0.5, along: float = 0.5) -> np.ndarray:
    """A part of the area, with the picture's proportions; `down` and `along` say where, 0 to 1."""
    rows, columns = (round(side * share**0.5) for side in picture.shape)
    top, left = round((picture.shape[0] - rows) * down), round((picture.shape[1] - columns) * along)
    return picture[top : top + rows, left : left + columns]


def rotated(picture: np.ndarray, degrees: float) -> np.ndarray:
    """Anticlockwise, same size."""
    return np.asarray(Image.fromarray(picture).rotate(degrees, Image.Resampling.BICUBIC))


def to_bytes(picture: np.ndarray) -> np.ndarray:
    """Clipped and rounded to 8 bit."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def noisy(picture: np.ndarray, deviation: float) -> np.ndarray:
    """Gaussian noise, its seed is the picture's sum."""
    return to_bytes(picture + np.random.default_rng(int(picture.sum())).normal(0, deviation, picture.shape))


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda p: p,
    "JPEG 95": lambda p: saved(p, "JPEG", quality=95),
    "JPEG 75": lambda p: saved(p, "JPEG", quality=75),
    "JPEG 50 *": lambda p: saved(p, "JPEG", quality=50),
    "WebP 80": lambda p: saved(p, "WEBP", quality=80),
    "window: middle 80% of anatomy *": lambda p: windowed(p, 10, 90),
    "window: brighter 75% *": lambda p: windowed(p, 25, 99.5),
    "window: darker 75% *": lambda p: windowed(p, 0, 75),
    "window: twice as wide *": lambda p: to_bytes(p * 0.5 + 40),
    "inversion": lambda p: 255 - p,
    "gamma 0.6": lambda p: to_bytes((p / 255.0) ** 0.6 * 255),
    "gamma 1.6": lambda p: to_bytes((p / 255.0) ** 1.6 * 255),
    "resize 50% *": lambda p: resized(p, 0.5),
    "resize 73% *": lambda p: resized(p, 0.73),
    "resize 137% *": lambda p: resized(p, 1.37),
    "resize 200% *": lambda p: resized(p, 2.0),
    "crop to 75% of area *": lambda p: cropped(p, 0.75, 0.2, 0.7),
    "crop to 50%, middle *": lambda p: cropped(p, 0.5),
    "crop to 50%, a corner *": lambda p: cropped(p, 0.5, 1.0, 0.0),
    "crop to 25%, middle": lambda p: cropped(p, 0.25),
    "crop to 50%, then 130%": lambda p: resized(cropped(p, 0.5, 0.3, 0.6), 1.3),
    "rotation +3 degrees": lambda p: rotated(p, 3),
    "rotation -3 degrees": lambda p: rotated(p, -3),
    "mirrored *": lambda p: p[:, ::-1],
    "upside down *": lambda p: p[::-1],
    "noise, deviation 4": lambda p: noisy(p, 4),
    "blur, sigma 1": lambda p: to_bytes(ndimage.gaussian_filter(p.astype(np.float32), 1.0)),
    "JPEG 20": lambda p: saved(p, "JPEG", quality=20),
    "crop to 12%, middle": lambda p: cropped(p, 0.12),
    "rotation 8 degrees": lambda p: rotated(p, 8),
    "noise, deviation 12": lambda p: noisy(p, 12),
    "blur, sigma 2": lambda p: to_bytes(ndimage.gaussian_filter(p.astype(np.float32), 2.0)),
    "screenshot (140%, window, JPEG 80)": lambda p: saved(windowed(resized(p, 1.4), 2, 98), "JPEG", quality=80),
}


# ---------------------------------------------------------------- who marks


class Ours:
    """MedDiff's mark."""

    name = "MedDiff"

    def write(self, picture: np.ndarray, number: int, mask: np.ndarray | None) -> np.ndarray:
        """A marked picture; the lesion stays as it is, as the seal has it."""
        spare = ndimage.binary_dilation(mask, iterations=3) if mask is not None and mask.any() else None
        return (picture + embed(picture, number, spare)).astype(picture.dtype)

    def read(self, picture: np.ndarray, number: int) -> bool:
        """Whether the number comes back, and nothing was known."""
        reading = read_mark(picture)
        return reading is not None and reading.case_id == case_id_of(number)


class BlindWatermark:
    """blind-watermark 0.4: DWT, DCT and SVD of YUV."""

    name = "blind-watermark"

    def __init__(self) -> None:
        multiprocessing.set_start_method(None, force=True)  # it wants to be the first to choose
        import blind_watermark  # type: ignore[import-not-found]

        blind_watermark.bw_notes.close()
        self.make = lambda: blind_watermark.WaterMark(password_img=1, password_wm=1)

    def write(self, picture: np.ndarray, number: int, _mask: np.ndarray | None) -> np.ndarray:
        """A marked picture."""
        mark = self.make()
        mark.read_img(img=np.dstack([picture] * 3).astype(float))
        mark.read_wm(bits(number), mode="bit")
        return grey(mark.embed())

    def read(self, picture: np.ndarray, number: int) -> bool:
        """Whether all bits come back."""
        got = self.make().extract(embed_img=np.dstack([picture] * 3), wm_shape=48, mode="bit")
        return bool(np.array_equal(np.asarray(got).astype(int), bits(number)))


class InvisibleWatermark:
    """invisible-watermark 0.2, `dwtDct`: what Stable Diffusion's pipelines use."""

    name = "invisible-watermark"

    def __init__(self) -> None:
        from imwatermark import WatermarkDecoder, WatermarkEncoder  # type: ignore[import-not-found]

        self.encoder, self.decoder = WatermarkEncoder, WatermarkDecoder

    def write(self, picture: np.ndarray, number: int, _mask: np.ndarray | None) -> np.ndarray:
        """A marked picture."""
        encoder = self.encoder()
        encoder.set_watermark("bits", bits(number))
        return grey(encoder.encode(np.dstack([picture] * 3), "dwtDct"))

    def read(self, picture: np.ndarray, number: int) -> bool:
        """Whether all bits come back."""
        got = self.decoder("bits", 48).decode(np.dstack([picture] * 3), "dwtDct")
        return bool(np.array_equal(np.asarray(got).astype(int), bits(number)))


def bits(number: int) -> list[int]:
    """48 bits, highest first."""
    return [number >> at & 1 for at in reversed(range(48))]


def grey(colour: np.ndarray) -> np.ndarray:
    """Luminance of a colour picture: what a grey file keeps of it."""
    return np.asarray(Image.fromarray(to_bytes(np.asarray(colour)[..., ::-1])).convert("L"))


def markers() -> Iterator[Ours | BlindWatermark | InvisibleWatermark]:
    """Ours, and the others where they are installed."""
    yield Ours()
    for kind in (BlindWatermark, InvisibleWatermark):
        with contextlib.suppress(ImportError):
            yield kind()


# ---------------------------------------------------------------- pictures


def real_slices(folder: Path, count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Real slices with their lesions' outlines, as they are."""
    paths = sorted((folder / "brain_t1gd" / "images").glob("*.jpg"))
    picks = np.random.default_rng(seed).choice(len(paths), min(count, len(paths)), replace=False)
    found = []
    for i in picks:
        with (
            Image.open(paths[i]) as image,
            Image.open(folder / "brain_t1gd" / "masks" / f"{paths[i].stem}.png") as mask,
        ):
            found.append((np.asarray(image.convert("L")), np.asarray(mask.convert("L")) > 0))
    return found


def in_16_bits(pictures: list[tuple[np.ndarray, np.ndarray | None]]) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """The same with 12-bit numbers in 16 bits, as scanners store them: marked so, then shown in 8 bits, then changed."""
    return [(picture.astype(np.uint16) * np.uint16(16), mask) for picture, mask in pictures]


def made_cases(count: int) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Pictures of the shipped pack with the outlines asked, before any mark."""
    studio = Studio()
    found = []
    for number in range(count):
        request = Request(sentence=SENTENCES[number % len(SENTENCES)], seed=number, tolerance=Tolerance(redraws=0))
        complete = studio.complete(request)
        mask = complete.mask.to_array() if isinstance(complete.mask, MaskSpec) else None
        found.append((studio.make(complete).pixels, mask))
    return found


def lesion(finder: LesionFinder, picture: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Dice of what the finder sees to the outline, and its longest diameter, in pixels of 256."""
    at_256 = resized(picture, 256 / min(picture.shape))[:256, :256] / np.float32(255)
    outline = resized(mask.astype(np.uint8) * 255, 256 / min(mask.shape))[:256, :256] > 127
    seen = finder.find(at_256[None]).mask()[0]
    return dice(seen, outline), longest_diameter_mm(largest_piece(seen), (1, 1))


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal to noise in dB, peak 255."""
    return float(10 * np.log10(255**2 / np.mean((first.astype(float) - second) ** 2)))


# ---------------------------------------------------------------- the tables


def survival(sets: dict[str, list[tuple[np.ndarray, np.ndarray | None]]]) -> None:
    """Prints the share of pictures whose 48 bits come back after each change."""
    random = np.random.default_rng(1)
    columns: dict[str, dict[str, list[bool]]] = {}
    for marker in markers():
        for name, pictures in sets.items():
            if pictures[0][0].dtype != np.uint8 and not isinstance(marker, Ours):
                continue  # the others write 8 bits
            counts: dict[str, list[bool]] = {change: [] for change in CHANGES}
            quality, most = [], 0
            for picture, mask in pictures:
                number = int(random.integers(0, 2**48))
                level = 1 if picture.dtype == np.uint8 else float(np.percentile(picture, 99.9)) / 255
                marked = to_bytes(marker.write(picture, number, mask) / level)
                picture = to_bytes(picture / level)
                quality.append(psnr(picture, marked))
                most = max(most, int(np.abs(marked.astype(int) - picture).max()))
                for change, apply in CHANGES.items():
                    try:
                        counts[change].append(marker.read(np.ascontiguousarray(apply(marked)), number))
                    except Exception:  # the others fail in many ways on sizes that they do not like: not read
                        counts[change].append(False)
            columns[f"{marker.name}, {name}"] = counts
            print(
                f"{marker.name:20s} {name:10s} {len(pictures)} pictures: PSNR mean {np.mean(quality):.1f} dB, "
                f"least {min(quality):.1f} dB; largest change {most} of 255",
                flush=True,
            )
    print(f"\n{'share of pictures read after':36s} " + "  ".join(columns) + "   (* at least 99% asked for)")
    for change in CHANGES:
        shares = [f"{np.mean(counts[change]):{len(name)}.1%}" for name, counts in columns.items()]
        print(f"{change:36s} " + "  ".join(shares), flush=True)


def lesions(sets: dict[str, list[tuple[np.ndarray, np.ndarray | None]]]) -> None:
    """Prints what the mark does to what the finder sees."""
    finder = LesionFinder.load(Studio().load().folder / "check")
    for name, pictures in sets.items():
        if pictures[0][0].dtype != np.uint8:
            continue
        before, after = [], []
        for number, (picture, mask) in enumerate(pictures):
            if mask is None or not mask.any():
                continue
            before.append(lesion(finder, picture, mask))
            after.append(lesion(finder, Ours().write(picture, 2**40 + number, mask), mask))
        moved = np.abs(np.array(after) - np.array(before))
        print(
            f"finder on {name}: Dice {np.mean(before, 0)[0]:.4f} unmarked, {np.mean(after, 0)[0]:.4f} marked "
            f"(moves by {moved[:, 0].mean():.4f}, at most {moved[:, 0].max():.4f}); longest diameter moves by "
            f"{moved[:, 1].mean():.2f} pixels of 256, at most {moved[:, 1].max():.2f}",
            flush=True,
        )


def false_alarms(folder: Path, count: int, keys: int) -> None:
    """Prints how often real pictures without a mark give a reading, whole search through.

    Each picture is one trial as it is, and one more for each of `keys` other checksums, which agree with its words by chance as often as
    the true one does.
    """
    kinds = ("brain_t1gd", "chest_xray", "chest_ct_slices")
    paths = sorted(path for kind in kinds for path in (folder / kind).glob("images/*.jpg"))
    picks = np.random.default_rng(7).choice(len(paths), min(count, len(paths)), replace=False)
    starts = [0, *np.random.default_rng(8).choice(2**32, keys).tolist()]
    words = alarms = 0
    for done, i in enumerate(picks, 1):
        with Image.open(paths[i]) as image:
            search = detect.Search(np.asarray(image.convert("L")))
        read = np.zeros(len(starts), bool)
        for stage in search.stages():
            said, checks = decoded(search.marks.soft(np.stack([candidate.spectrum for candidate in stage])))
            for word, check in zip(said, checks, strict=True):
                read |= [agrees(word, check, start) for start in starts]
            words += len(stage) * len(starts)
        alarms += int(read.sum())
        if done % 20 == 0:
            print(f"{done} of {len(picks)} searched, {alarms} readings", file=sys.stderr, flush=True)
    trials = len(picks) * len(starts)
    print(
        f"\nunmarked real pictures: {len(picks)}, times {len(starts)} checksums: {trials:,} trials, readings: {alarms} "
        f"({words:,} words held against one).\nFalse positives a trial: {alarms / trials:.1e}, with 95% confidence below "
        f"{stats.beta.ppf(0.95, alarms + 1, trials - alarms):.1e} (Clopper-Pearson); by the checksum {words / trials * CHANCE:.1e}"
    )


def main() -> None:
    """Prints all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with brain_t1gd (and chest_xray, chest_ct_slices)"
    )
    parser.add_argument("--real", type=int, default=60)
    parser.add_argument("--made", type=int, default=20)
    parser.add_argument("--unmarked", type=int, default=410)
    parser.add_argument("--keys", type=int, default=75, help="other checksums tried on each unmarked picture")
    args = parser.parse_args()
    made = made_cases(args.made)
    sets = {"real": real_slices(args.data, args.real, 3), "generated": made, "16 to 8 bit": in_16_bits(made)}
    sets = {name: pictures for name, pictures in sets.items() if pictures}
    if sets:
        survival(sets)
        lesions(sets)
    if args.unmarked:
        false_alarms(args.data, args.unmarked, args.keys)


if __name__ == "__main__":
    main()
