"""What the tests of exports share: approved items of every kind, on sealed cases of the phantom."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image

from meddiff.case import Provenance, pixel_sha256
from meddiff.exchange.png import eight_bits
from meddiff.marking import SealedCase
from meddiff.marking.provenance import RECORD
from meddiff.teaching.item import (
    Choice,
    ChoiceItem,
    Expected,
    FreeTextItem,
    Item,
    Kind,
    LocaliseItem,
    OrderItem,
    SizeItem,
    State,
    item_id,
)
from tests.exchange.dicom_support import case_of, request_of
from tests.exchange.series_support import visit_of

TITLE = "Brain masses & <rings> / part 1"
HOSTILE = 'Is 5 < 6 & "7" > 8? <script>alert(1)</script> ]]> \x0b'
NOTICE = "Synthetic images. Not for diagnosis."
NOTICE_ZH = "合成图像，不得用于诊断。"


def seeded(seed: int, kind: type = np.uint8) -> SealedCase:
    """A case of the phantom with the flag; another seed is another id."""
    return case_of(request_of().model_copy(update={"seed": seed}), kind)


def cases() -> dict[str, SealedCase]:
    """Sealed cases by id: two with lesions, one of 16 bits, and four visits of a series."""
    made = [seeded(10), seeded(11), seeded(12, np.uint16), *(visit_of(number) for number in range(1, 5))]
    return {case.case.id: case for case in made}


def items(known: dict[str, SealedCase]) -> list[Item]:
    """One approved item of every kind, the first hostile in its words, the second in Chinese."""
    one, other, deep, *visits = known
    choices = (
        Choice(text="glioblastoma", feedback="Its ring is thick & irregular."),
        Choice(text="brain abscess <b>", feedback="Its ring is thin; its core is restricted."),
        Choice(text="metastasis"),
    )
    common = {"state": State.APPROVED, "feedback": "A ring\nwith a dark core.", "points": ("Look at the rim.", "Ask for DWI."), "sources": ("Osborn's Brain, 2017.",), "pathology": "glioblastoma", "author": "a teacher"}  # fmt: skip
    shown = tuple(visits[place] for place in (2, 0, 3, 1))
    return [
        ChoiceItem(id=_id(Kind.DIAGNOSIS, one), kind=Kind.DIAGNOSIS, stem=HOSTILE, cases=(one,), choices=choices, key=1, **common),
        ChoiceItem(
            id=_id(Kind.FINDING, deep), kind=Kind.FINDING, stem="最可能的诊断是什么？病灶 ≥ 20 mm。", cases=(deep,), language="zh", key=0,
            choices=(Choice(text="胶质母细胞瘤", feedback="环形强化，壁厚而不规则。"), Choice(text="脑脓肿")), **common,
        ),
        ChoiceItem(
            id=_id(Kind.COMPARE, one, other), kind=Kind.COMPARE, stem="Which lesion is larger?", cases=(one, other), key=0,
            choices=(Choice(text="the first"), Choice(text="the second")), **common,
        ),
        LocaliseItem(id=_id(Kind.LOCALISE, one), stem="Where is the lesion?", cases=(one,), tolerance_mm=3, **common),
        SizeItem(id=_id(Kind.SIZE, one), stem="How long is it?", cases=(one,), key_mm=28.75, tolerance_mm=3, **common),
        OrderItem(id=_id(Kind.ORDER, *shown), stem="Which came first?", cases=shown, key=tuple(visits), **common),
        FreeTextItem(
            id=_id(Kind.FREE_TEXT, one), stem="Name the diagnosis.", cases=(one,),
            expected=(Expected(name="diagnosis", ways=("glioblastoma", "GBM*")),),
            against=(Expected(name="diagnosis", ways=("no glioblastoma",)),), **common,
        ),
        FreeTextItem(
            id=_id(Kind.FREE_TEXT, other), stem="Describe the finding.", cases=(other,),
            expected=(
                Expected(name="diagnosis", ways=("glioblastoma",), weight=2),
                Expected(name="side", ways=("left", "left-sided")),
            ),
            against=(Expected(name="side", ways=("right",)),), **common,
        ),
    ]  # fmt: skip


def winding(polygon, x, y) -> np.ndarray:
    """How often a polygon goes round each point: Sunday's rule (geomalgorithms.com, a03), as Moodle's shapes.php has it."""
    turns = np.zeros(np.shape(x), int)
    for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        left = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)
        turns += ((y0 <= y) & (y1 > y) & (left > 0)).astype(int) - ((y0 > y) & (y1 <= y) & (left < 0))
    return turns


def centres(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the centre of each pixel [H, W], where a pixel is one wide."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return columns + 0.5, rows + 0.5


def pixels_of(data: bytes) -> np.ndarray:
    """Pixels of a PNG."""
    return np.asarray(Image.open(io.BytesIO(data)))


def provenance_of(data: bytes) -> Provenance:
    """The record of the sealed picture that a PNG shows; an error where it is none of `cases()`, says nowhere that it is
    synthetic, or carries its record: that holds the answer.
    """
    with Image.open(io.BytesIO(data)) as image:
        assert RECORD not in image.text and "synthetic" in image.text["Comment"].lower()
    return _sealed()[pixel_sha256(pixels_of(data))]


@lru_cache(maxsize=1)
def _sealed() -> dict[str, Provenance]:
    """Records of all pictures of `cases()`, by the hash of what a screen shows of them."""
    pictures = [(picture, case.image) for case in cases().values() for picture in (case.image, case.twin)]
    return {pixel_sha256(eight_bits(picture, like)): picture.provenance for picture, like in pictures}


def _id(kind: Kind, *shown: str) -> str:
    return item_id(kind, shown)
