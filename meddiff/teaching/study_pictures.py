"""The pictures of a reader study: where they are, and how all arms are shown alike.

Synthetic pictures carry a stamp, real ones do not: shown as they are, every one would tell its arm. So one rule makes all of them
anew when a reader asks for one (`picture_png`):

1. The stamp's box is emptied. It always lies in air, off anatomy and lesion (`marking.stamp`); rows below the picture are cut off.
2. All pictures are brought to the same number of pixels, that of the coarsest; where all say their spacing, to the same mm too.
3. Air is black: all that is dark and reaches the border, and whatever small lies in it, writing for one. With it goes every trace
   of the stamp, of a scanner's noise in air and of letters beside the patient, in every arm.
4. Grey levels are stretched between the same two percentiles of what is not air.
5. A band of the same rows with the same words, "READER STUDY - NOT FOR DIAGNOSIS", is set below.

They leave as PNG without compression and without a record, so that all of a study are of one length, with one comment. The
invisible mark of a synthetic picture stays in its pixels: no eye sees it, but a program that reads it would tell.

A real picture is nowhere kept: a `Place` names the file where its owner has it, and its hash.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from pydantic import Field
from scipy import ndimage

from meddiff.case import MedDiffError, Record
from meddiff.teaching.study import PICTURE_ID, Design, Plan, Processing, Source

if TYPE_CHECKING:
    from meddiff.bank import Bank

SMALLEST, LARGEST = 64, 512  # pixels along a side as shown
FIELDS_ALIKE = (
    0.75  # smallest over largest field of view at which all are shown at one scale: below, too much would be cut off
)
KEPT_PART = 0.05  # of the largest part of the anatomy; smaller ones are letters and specks
INSIDE = 0.1  # share of a stamp that may lie on what is not air: its corner at a rounded edge
WORDS = ("READER STUDY - NOT FOR DIAGNOSIS", "NOT FOR DIAGNOSIS")
KINDS = (
    ".dcm",
    ".dicom",
    ".ima",
    ".png",
    ".jpg",
    ".jpeg",
    ".tif",
    ".tiff",
    ".nii",
    ".nii.gz",
    ".nrrd",
    ".nhdr",
    ".mha",
)


class Place(Record):
    """Where a picture is: in the bank, or in a file of the user's.

    Attributes:
        case, twin: of the bank; empty: a file.
        file: path.
        sha256: of the sealed pixels, or of the file's bytes.
        processing: name of one of `PROCESSINGS`; empty: as it is.
    """

    case: str = ""
    twin: bool = False
    file: str = ""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    processing: str = ""

    @property
    def picture_sha256(self) -> str:
        """What names the picture in a plan: of what is processed, a hash of both."""
        if not self.processing:
            return self.sha256
        return hashlib.sha256(f"{self.sha256} {self.processing}".encode()).hexdigest()


class Showing(Record):
    """How the pictures of a study are shown.

    Attributes:
        side: pixels along a side, without the band.
        field_mm: side of what is shown, about the picture's middle; None: each picture whole, by its longer side.
        places: of each neutral id.
    """

    side: Annotated[int, Field(ge=SMALLEST, le=LARGEST)]
    field_mm: float | None
    places: Mapping[Annotated[str, Field(pattern=PICTURE_ID)], Place]


@dataclass(frozen=True)
class Candidate:
    """A picture that an arm may show; those of one label are versions of one case."""

    label: str
    place: Place


@dataclass(frozen=True)
class Opened:
    """A picture as its file has it.

    Attributes:
        pixels: float32 [H, W] in [0, 1].
        stamp: bool [H, W], None where there is none.
        synthetic: whether it carries MedDiff's record.
    """

    pixels: np.ndarray
    spacing_mm: tuple[float, float] | None
    stamp: np.ndarray | None
    synthetic: bool


# ------------------------------------------------------------ what an arm may show


def bank_pictures(bank: Bank, pathology: str = "", plane: str = "", twin: bool = False) -> list[Candidate]:
    """Accepted cases of the bank, or their twins."""
    from meddiff.bank.review import Review
    from meddiff.bank.search import Search

    found = bank.find(Search(pathology=pathology, plane=plane, status="accepted", limit=10_000)).entries
    return [bank_picture(bank, one.case.id, twin) for one in found if one.review is not Review.REJECTED]


def bank_picture(bank: Bank, case: str, twin: bool = False) -> Candidate:
    """One case of the bank, or its twin.

    Raises:
        MedDiffError: it is not in the bank, or damaged.
    """
    sealed = bank.open(case)
    image = sealed.twin if twin else sealed.image
    return Candidate(case, Place(case=case, twin=twin, sha256=image.provenance.sealed_sha256))


def folder_pictures(folder: str | Path) -> list[Candidate]:
    """The pictures in a folder; a file's name without its ending is its label.

    Raises:
        MedDiffError: no such folder, or no picture in it.
    """
    if not str(folder).strip() or not Path(folder).is_dir():
        raise MedDiffError(f"There is no folder {str(folder)[:200]!r} on this computer: write its whole path.")
    return file_pictures(path for path in sorted(Path(folder).iterdir()) if path.name.lower().endswith(KINDS))


def file_pictures(paths: Iterable[str | Path]) -> list[Candidate]:
    """Pictures from files.

    Raises:
        MedDiffError: none, one cannot be read, or two have one name.
    """
    found: dict[str, Candidate] = {}
    for path in map(Path, paths):
        label = path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem
        if label in found:
            raise MedDiffError(
                f"Two pictures are called {label}: the name says which case it is, so give each its own."
            )
        found[label] = Candidate(label, file_place(path))
    if not found:
        raise MedDiffError("There is no picture: give DICOM, PNG, JPEG, TIFF, NIfTI or NRRD files.")
    return list(found.values())


def file_place(path: Path) -> Place:
    """The place of a file.

    Raises:
        MedDiffError: it cannot be read.
    """
    try:
        return Place(file=str(path.resolve()), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    except OSError as error:
        raise MedDiffError(f"{path} cannot be read; give the picture's path.") from error


def processed(pictures: Sequence[Candidate], processing: str) -> list[Candidate]:
    """The same pictures, processed.

    Raises:
        MedDiffError: an unknown way to process.
    """
    if processing not in PROCESSINGS:
        raise MedDiffError(f"There is no processing {processing!r}: choose one of {', '.join(PROCESSINGS)}.")
    return [Candidate(one.label, one.place.model_copy(update={"processing": processing})) for one in pictures]


def draw(
    arms: Mapping[str, tuple[Source, Sequence[Candidate]]], number: int, seed: int, design: Design = Design.SINGLE
) -> tuple[dict[str, tuple[Source, list[tuple[str, str]]]], dict[str, Place]]:
    """Pictures of each arm, at most `number`, drawn by the seed: those in all arms first, the same cases in each.

    In pairs a case of one arm is put beside the same case of the other where both arms show the same cases, else beside any.

    Returns:
        the arms as `study.make_plan` takes them, and the place of each picture by its hash.
    """
    labels = [{one.label for one in pictures} for _, pictures in arms.values()]
    shared = set.intersection(*labels) if labels else set()

    def turn(one: Candidate) -> tuple[bool, str]:
        return one.label not in shared, hashlib.sha256(f"{seed} {one.label}".encode()).hexdigest()

    drawn = {name: sorted(pictures, key=turn)[:number] for name, (_, pictures) in arms.items()}
    if design is Design.PAIRS:
        least = min(map(len, drawn.values()))
        drawn = {name: pictures[:least] for name, pictures in drawn.items()}
        if len({tuple(one.label for one in pictures) for pictures in drawn.values()}) > 1:
            drawn = {
                name: [Candidate(f"pair {number}", one.place) for number, one in enumerate(pictures)]
                for name, pictures in drawn.items()
            }
    chosen = {
        name: (arms[name][0], [(one.label, one.place.picture_sha256) for one in pictures])
        for name, pictures in drawn.items()
    }
    return chosen, {one.place.picture_sha256: one.place for pictures in drawn.values() for one in pictures}


# ------------------------------------------------------------ how they are shown


def showing_of(plan: Plan, places: Mapping[str, Place]) -> Showing:
    """How a plan's pictures are shown, after a look at each.

    Args:
        places: by the hash in the plan.

    Raises:
        MedDiffError: a picture cannot be read or is not what its hash says, a picture of a real arm is synthetic, or a stamp
            lies inside the anatomy.
    """
    sides, fields = [], []
    for arm in plan.arms:
        for picture in arm.pictures:
            place = places[picture.sha256]
            opened = open_picture(place)
            if opened.synthetic and arm.source is Source.REAL:
                raise MedDiffError(f"{_name(place)} is synthetic, and arm {arm.name} is called real: take it out.")
            sides.append(max(opened.pixels.shape))
            fields.append(None if opened.spacing_mm is None else max(_extent_mm(opened)))
            if opened.stamp is not None:
                _require_stamp_in_air(opened, place)
    known = [field for field in fields if field is not None]
    alike = len(known) == len(fields) and min(known) >= FIELDS_ALIKE * max(known)
    return Showing(
        side=int(np.clip(min(sides), SMALLEST, LARGEST)),
        field_mm=min(known) if alike else None,
        places={picture: places[found.sha256] for picture, (_, found) in plan.places.items()},
    )


def picture_png(plan: Plan, showing: Showing, picture: str) -> bytes:
    """A picture as a reader sees it, as the bytes of an 8-bit PNG of side + band rows: of a study, all are of one length.

    For a reader's screen and nothing else: no exporter takes it, and no file is written.

    Raises:
        MedDiffError: it is not where it was; in words that tell nothing of it.
    """
    if picture not in plan.places:
        raise MedDiffError(f"{plan.id} has no picture {picture}.")
    try:
        shown = with_band(alike(open_picture(showing.places[picture]), showing, showing.places[picture].processing))
    except MedDiffError as error:
        raise MedDiffError(
            f"Picture {picture} is not where it was: tell whoever plans this study. Your readings are kept."
        ) from error
    told = PngInfo()
    told.add_text("Comment", f"{picture} of reader study {plan.id}: real or synthetic. Not for diagnosis.")
    buffer = io.BytesIO()
    Image.fromarray(shown).save(buffer, format="PNG", pnginfo=told, compress_level=0)  # a noisy picture is no longer
    return buffer.getvalue()


def alike(opened: Opened, showing: Showing, processing: str = "") -> np.ndarray:
    """A picture without stamp, air black, on the study's grid and in its grey levels: uint8 [side, side]."""
    pixels, stamp = opened.pixels, opened.stamp
    if stamp is not None:
        pixels = np.where(stamp, pixels[~stamp].min(), pixels)
    grid = _grid_of(opened, showing)
    picture = grid.forward(pixels)
    black = air_of(picture)
    if stamp is not None:
        black |= grid.forward(stamp) > 0
    low, high = np.percentile(picture[~black], (0.5, 99.5)) if not black.all() else (0.0, 1.0)
    stretched = np.clip((picture - low) / max(high - low, 1e-6), 0, 1)
    if processing:
        stretched = np.clip(PROCESSINGS[processing](stretched), 0, 1)
    stretched[black] = 0
    return np.rint(stretched * 255).astype(np.uint8)


def air_of(picture: np.ndarray) -> np.ndarray:
    """Air of a picture [H, W], bool: dark parts that reach the border, with all that is small and bright in them."""
    from meddiff.marking.stamp import anatomy_of

    parts, count = ndimage.label(anatomy_of(picture))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    large = np.flatnonzero(sizes >= KEPT_PART * sizes.max(initial=0)) + 1
    dark, _ = ndimage.label(~np.isin(parts, large))
    border = np.unique(np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]]))
    return np.isin(dark, border[border > 0])


def with_band(picture: np.ndarray) -> np.ndarray:
    """A picture uint8 [side, side] with the study's band below: the same rows, words and grey whatever the picture."""
    side = picture.shape[1]
    rows = max(round(side / 16), 14)
    band = Image.new("L", (side, rows), 0)
    pen = ImageDraw.Draw(band)
    fits = (
        (words, font)
        for words in WORDS
        for size in range(rows - 3, 6, -1)
        if (font := ImageFont.load_default(size=size)).getlength(words) <= side - 4
    )
    words, font = next(fits, (WORDS[-1], ImageFont.load_default(size=7)))
    pen.text((side / 2, rows / 2), words, fill=200, font=font, anchor="mm")
    return np.vstack([picture, np.asarray(band)])


def open_picture(place: Place) -> Opened:
    """The picture at a place.

    Raises:
        MedDiffError: it is gone, cannot be read, or is another than its hash says.
    """
    if place.case:
        from meddiff.bank import Bank

        sealed = Bank().open(place.case)
        image = sealed.twin if place.twin else sealed.image
        if image.provenance.sealed_sha256 != place.sha256:
            raise MedDiffError(f"{_name(place)} is not what was planned: its case was made anew.")
        return _of_ours(np.asarray(image.pixels), image.outside_stamp, image.height, image.spacing_mm)
    path = Path(place.file)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MedDiffError(f"{path} is not there any more.") from error
    if hashlib.sha256(data).hexdigest() != place.sha256:
        raise MedDiffError(f"{path} is not what was planned: it was changed.")
    return _from_file(path, data)


def _from_file(path: Path, data: bytes) -> Opened:
    from meddiff.imaging.normalise import normalise
    from meddiff.imaging.read import read_image
    from meddiff.marking.provenance import RECORD, read_png

    told = _png_words(data)
    if RECORD in told:
        pixels, _, spacing_mm, box = read_png(data, path.name)
        outside = np.ones(pixels.shape, bool)
        outside[box.area] = False
        return _of_ours(pixels, outside, pixels.shape[0] - box.appended_rows, spacing_mm)
    if any("MedDiff" in words for words in told.values()) or b"MEDDIFF" in data[:20_000].upper():
        raise MedDiffError(
            f"{path.name} is synthetic, and its file does not say where its stamp lies: take the case from the bank, or "
            "export it as PNG."
        )
    found = read_image(path)
    return Opened(normalise(found), found.spacing_mm, None, False)


def _of_ours(pixels: np.ndarray, outside: np.ndarray, height: int, spacing_mm: tuple[float, float]) -> Opened:
    stamp = ~outside[:height]
    grey = (pixels[:height] / np.iinfo(pixels.dtype).max).astype(np.float32)
    return Opened(grey, spacing_mm, stamp if stamp.any() else None, True)


def _png_words(data: bytes) -> Mapping[str, str]:
    if not data.startswith(b"\x89PNG"):
        return {}
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()
            return dict(image.text)  # type: ignore[attr-defined]
    except (OSError, SyntaxError, ValueError):
        return {}  # read_image says what is wrong with it


def _require_stamp_in_air(opened: Opened, place: Place) -> None:
    stamp = opened.stamp
    assert stamp is not None
    air = air_of(np.where(stamp, opened.pixels[~stamp].min(), opened.pixels))
    if (stamp & ~air).sum() > INSIDE * stamp.sum():
        raise MedDiffError(f"The stamp of {_name(place)} lies inside the anatomy and cannot be hidden: leave it out.")


def _grid_of(opened: Opened, showing: Showing):  # type: ignore[no-untyped-def]
    """The study's grid over a picture's middle."""
    from meddiff.imaging.grid import GridTransform

    row_mm, column_mm = opened.spacing_mm or (1.0, 1.0)
    field = showing.field_mm or max(_extent_mm(opened))
    step = field / showing.side / row_mm, field / showing.side / column_mm
    shape = opened.pixels.shape[0], opened.pixels.shape[1]
    start = tuple((size - 1) / 2 - s * (showing.side - 1) / 2 for size, s in zip(shape, step, strict=True))
    return GridTransform(shape, showing.side, (start[0], start[1]), step)


def _extent_mm(opened: Opened) -> tuple[float, float]:
    """Height and width in mm; in pixels where the spacing is not known."""
    row_mm, column_mm = opened.spacing_mm or (1.0, 1.0)
    return opened.pixels.shape[0] * row_mm, opened.pixels.shape[1] * column_mm


def _name(place: Place) -> str:
    if place.case:
        return f"{place.case}'s twin" if place.twin else place.case
    return Path(place.file).name


# ------------------------------------------------------------ gone and found again


def gone(showing: Showing) -> tuple[str, ...]:
    """Paths of the pictures that are not where they were, each once."""
    files = {place.file for place in showing.places.values() if place.file}
    return tuple(sorted(file for file in files if not Path(file).is_file()))


def found_again(showing: Showing, files: Iterable[str | Path]) -> tuple[Showing, int]:
    """The same pictures where they are now, known by their hashes, and how many were found.

    Raises:
        MedDiffError: none of the files is a picture of this study.
    """
    by_hash = {place.sha256: place.file for place in (file_place(Path(file)) for file in files)}
    moved = {
        picture: place.model_copy(update={"file": by_hash[place.sha256]})
        for picture, place in showing.places.items()
        if place.file and place.sha256 in by_hash
    }
    if not moved:
        raise MedDiffError("None of these files is a picture of this study: its pictures are known by their content.")
    return showing.model_copy(update={"places": {**showing.places, **moved}}), len(moved)


# ------------------------------------------------------------ processing


def _sharpened(picture: np.ndarray) -> np.ndarray:
    """Unsharp masking: what a blur of 1.5 pixels takes away is added once more."""
    return 2 * picture - ndimage.gaussian_filter(picture, 1.5)


def _noisier(picture: np.ndarray) -> np.ndarray:
    """Rician noise of 4% of the range (Gudbjartsson & Patz 1995), the same at every look."""
    rng = np.random.default_rng(int(1000 * float(picture.sum())))
    real, imaginary = rng.normal(0, 0.04, (2, *picture.shape))
    return np.hypot(picture + real, imaginary)


def _coarser(picture: np.ndarray) -> np.ndarray:
    """Half the resolution: means of 2 x 2 pixels, interpolated back."""
    smaller = ndimage.zoom(ndimage.uniform_filter(picture, 2), 0.5, order=1)
    return ndimage.zoom(smaller, np.divide(picture.shape, smaller.shape), order=1)


# Name -> picture float [side, side] in [0, 1] to one of about that range.
PROCESSINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    Processing.SMOOTHED: lambda picture: ndimage.gaussian_filter(picture, 1.0),
    Processing.SHARPENED: _sharpened,
    Processing.NOISIER: _noisier,
    Processing.COARSER: _coarser,
    Processing.BRIGHTER: lambda picture: picture**0.7,
}
