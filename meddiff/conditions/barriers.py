"""Where in the head a lesion can grow, and how fast, found in a post-contrast T1 slice."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.morphology import disk

from meddiff.case import MedDiffError, Plane
from meddiff.conditions.measure import head_mask
from meddiff.conditions.place import box, brain_of

# Speeds, as shares of that in grey matter.
FALX, CSF = 0.1, 0.2  # crossed late, and later; the CSF of ventricles, sulci and cisterns
WHITE_MATTER = 1.6  # glioma cells migrate faster in white matter
AT_THE_RIM = 0.5  # beside the skull: keeps the front from running along the subarachnoid space

# Brightness, as shares of the median of deep brain; set by looking at real post-contrast T1 slices.
BONE_TO, CSF_BELOW, NOT_BRAIN_FROM = 0.3, 0.6, 1.7
WHITE_FROM, WHITE_TO = 1.05, 1.35  # over the brightness of 12 pixels around; above it vessels
FALX_FROM, FALX_OVER_NOISE = 0.035, 4.0  # curvature across the midline, and how far above what is usual there
FALX_REACH = 0.07  # share of the head's width: a midline may be pushed that far aside

BAND = 0.004  # of the brain: smaller bright spots are noise and vessels
PIECE = 0.04  # of the brain: smaller pieces of tissue are muscle, fat and eyes
ENOUGH = 0.1  # of `brain_of`: what a lesion must be able to reach
LEAST_BRAIN = 0.3  # of `brain_of`: where less is found the picture is no MR of a brain, and `brain_of` counts


def barriers(picture: np.ndarray, plane: Plane, lesion: np.ndarray | None = None) -> np.ndarray:
    """How fast a lesion can grow at every pixel of a post-contrast T1 slice, float32 [H, W].

    0 outside the brain; `CSF` where it is dark (ventricles, sulci, cisterns); `FALX` on the falx, in axial and coronal
    slices, where it is seen; `WHITE_MATTER` in bands a little brighter than what is around them; less beside the skull;
    1 elsewhere, and wherever nothing is found. T1 does not show directions of fibres: a bright band is faster in all
    directions, which lengthens a lesion along it. The tentorium is not looked for. A lesion that is cut off from the
    brain, as one in the sella is, may grow into what lies beside it.

    Args:
        picture: float [H, W] in [0, 1].
        lesion: bool [H, W]; counts as brain, and is left out when the brain's brightness is measured.

    Raises:
        MedDiffError: for different shapes, or a picture without a head.
    """
    lesion = np.zeros(picture.shape, bool) if lesion is None else np.asarray(lesion) > 0
    if lesion.shape != picture.shape:
        raise MedDiffError(
            f"The outline is {lesion.shape} and the picture {picture.shape}: give both on the same grid."
        )
    head = head_mask(picture) | lesion
    width = box(head).width
    room = brain_of(head, plane)
    deep = (ndimage.distance_transform_edt(room) > 0.08 * width) & ~lesion
    level = float(np.median(picture[deep])) if deep.any() else 0.0
    if level <= 0:
        return room.astype(np.float32)
    relative = picture / level
    brain = _brain(relative, room, lesion, width)
    beside = _beside(brain, relative, room, lesion, width)
    if beside.any() and not _reaches(lesion, brain | beside, room):
        brain |= room
    brain |= beside | lesion
    depth = ndimage.distance_transform_edt(brain)
    white = _white_matter(relative, brain & ~lesion) & (depth > 0.05 * width)  # beside the skull it is dura and veins
    speed = 1 + (WHITE_MATTER - 1) * ndimage.gaussian_filter(white.astype(float), 1)
    speed[(ndimage.gaussian_filter(relative, 0.7) < CSF_BELOW) & ~lesion] = CSF
    if plane is not Plane.SAGITTAL:
        speed[_falx(relative, brain, head, lesion, plane) & ~lesion] = FALX
    speed *= AT_THE_RIM + (1 - AT_THE_RIM) * np.clip(depth / (0.03 * width), 0, 1)
    speed[beside] = AT_THE_RIM
    return (speed * brain).astype(np.float32)


def _brain(relative: np.ndarray, room: np.ndarray, lesion: np.ndarray, width: int) -> np.ndarray:
    """Brain within `brain_of`: pieces of tissue neither dark nor bright that are thick and large, bays closed."""
    smooth = ndimage.gaussian_filter(relative, 0.7)
    tissue = room & ((smooth >= CSF_BELOW) & (smooth <= NOT_BRAIN_FROM) | lesion)
    thick = disk(max(1, round(0.018 * width)))
    pieces, count = ndimage.label(ndimage.binary_erosion(tissue, thick))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    large = np.flatnonzero(sizes > PIECE * room.sum())
    brain = ndimage.binary_dilation(np.isin(pieces, large[large > 0]), disk(thick.shape[0] // 2 + 1)) & tissue
    wide = disk(3 * (thick.shape[0] // 2))
    pad = wide.shape[0]
    brain = ndimage.binary_closing(np.pad(brain, pad), wide)[pad:-pad, pad:-pad]
    brain = ndimage.binary_opening(ndimage.binary_fill_holes(brain) & room, thick)
    return brain if brain.sum() > LEAST_BRAIN * room.sum() else room


def _reaches(lesion: np.ndarray, brain: np.ndarray, room: np.ndarray) -> bool:
    """Whether a lesion hangs together with `ENOUGH` of the brain."""
    pieces, _ = ndimage.label(brain | lesion)
    return bool((np.isin(pieces, np.unique(pieces[lesion])) & ~lesion).sum() >= ENOUGH * room.sum())


def _beside(brain: np.ndarray, relative: np.ndarray, room: np.ndarray, lesion: np.ndarray, width: int) -> np.ndarray:
    """What lies beside a lesion that is cut off from the brain and is neither bone nor air: the cisterns over the sella."""
    if not lesion.any() or _reaches(lesion, brain, room):
        return np.zeros(brain.shape, bool)
    smooth = ndimage.gaussian_filter(relative, 0.7)
    soft = (smooth > BONE_TO) & (smooth < NOT_BRAIN_FROM)
    return ndimage.binary_closing(soft, disk(2)) & (ndimage.distance_transform_edt(~lesion) <= 0.1 * width)


def _white_matter(relative: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Bands a little brighter than their surroundings, which cancels the coil's shading."""
    tissue = brain & (relative > CSF_BELOW) & (relative < NOT_BRAIN_FROM)
    near, far = (
        ndimage.gaussian_filter(relative * tissue, s) / (ndimage.gaussian_filter(tissue.astype(float), s) + 1e-6)
        for s in (1.5, 12)
    )
    band = tissue & (near > WHITE_FROM * far) & (near < WHITE_TO * far)
    pieces, _ = ndimage.label(ndimage.binary_opening(band, disk(2)))
    sizes = np.bincount(pieces.ravel())
    return (pieces > 0) & (sizes[pieces] > BAND * brain.sum())


def _falx(relative: np.ndarray, brain: np.ndarray, head: np.ndarray, lesion: np.ndarray, plane: Plane) -> np.ndarray:
    """A thin line down the middle, dark (fissure) or bright (falx, vessels), where it stands out; bool [H, W].

    The strongest path from top to bottom within `FALX_REACH` of the head's middle, by dynamic programming.
    """
    rows = np.flatnonzero(brain.any(1))
    middle = _middle(head, rows)
    reach = max(2, round(FALX_REACH * box(head).width))
    offsets = np.arange(-reach, reach + 1)
    columns = np.clip(np.rint(middle).astype(int)[:, None] + offsets, 0, head.shape[1] - 1)
    across = 1.44 * ndimage.gaussian_filter1d(relative, 1.2, axis=1, order=2)  # times its variance: free of scale
    line = np.minimum(np.abs(ndimage.gaussian_filter1d(across, 2.5, axis=0)), 0.25)
    line = np.where(brain & ~lesion, line, 0)[rows[:, None], columns]  # [rows, offsets]

    gain = line - 0.02 * np.abs(offsets) / reach
    best, step = gain.copy(), np.zeros(gain.shape, int)
    for i in range(1, len(rows)):
        before = np.pad(best[i - 1], 1, constant_values=-np.inf)
        ways = np.stack([before[:-2] - 0.02, before[1:-1], before[2:] - 0.02])
        step[i] = ways.argmax(0) - 1
        best[i] += ways.max(0)
    path = np.zeros(len(rows), int)
    path[-1] = best[-1].argmax()
    for i in range(len(rows) - 1, 0, -1):
        path[i - 1] = path[i] + step[i, path[i]]

    each = np.arange(len(rows))
    usual = float(np.median(line[line > 0])) if (line > 0).any() else 0.0
    seen = ndimage.gaussian_filter1d(line[each, path], 4) > max(FALX_FROM, FALX_OVER_NOISE * usual)
    seen = ndimage.binary_opening(ndimage.binary_closing(seen, np.ones(9)), np.ones(12))
    if plane is Plane.CORONAL:  # the falx ends above the corpus callosum
        seen &= each < 0.5 * len(rows)
    falx = np.zeros(head.shape, bool)
    falx[rows[seen], columns[each, path][seen]] = True
    return ndimage.binary_dilation(falx, np.ones((3, 3)))  # three wide: no front slips through a diagonal


def _middle(head: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Column of the head's middle in each row: a straight line that ears and noses do not bend."""
    middle = np.array([np.flatnonzero(head[row])[[0, -1]].mean() for row in rows])
    kept = np.ones(len(rows), bool)
    line = middle
    for _ in range(4):
        line = np.polyval(np.polyfit(rows[kept], middle[kept], 1 if kept.sum() > 8 else 0), rows)
        off = np.abs(line - middle)
        kept = off <= max(float(np.percentile(off[kept], 75)), 1.0)
    return line
