"""Outlines of lesions: drawn, read, sampled from what real ones look like, grown to a size, checked.

A sampled outline is a radius for every direction around its centre. The logarithm of real radii, over the root of the
area, is described by its mean and principal components for each tumour type and plane (`outlines.json`, statistics
only, made by `meddiff train outlines`); a new outline is a random point in that space. What the components leave
over is drawn as waves of the strength that it has in real outlines.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.draw import polygon

from meddiff.case import Finding, Findings, Margin, MedDiffError, Plane, Region, Side
from meddiff.conditions.measure import compactness_of, largest_piece, longest_diameter_mm, margin_of
from meddiff.conditions.place import box, brain_of, place_point, region_of, region_prior, relative, statistics

DIRECTIONS = 64  # of a radial profile
FINE, LAST = 4, 12  # waves around the outline: from FINE on irregularity, not shape; above LAST only the pixels' stairs
LEAST_PIXELS, MOST_OF_HEAD = 12, 0.4  # a lesion of about 4 mm; larger than this share of the head is not a focal lesion
OUTSIDE_HEAD = 0.02  # share of an outline that may miss the head: outlines touch the skull
TRIES = 40
CLEARLY_OFF = 0.12  # share of the head's width from the middle, from which a side is beyond doubt
SIZE_OFF, SIZE_OFF_MM = 0.25, 6.0  # a drawn outline may miss the size in the sentence by the larger of the two


def draw_ellipse(
    shape: tuple[int, int], centre: tuple[float, float], radii: tuple[float, float], angle_deg: float = 0.0
) -> np.ndarray:
    """An ellipse as bool [H, W].

    Args:
        shape: H, W.
        centre: row, column in pixels.
        radii: half axes in pixels, down and across before turning; both above 0.
        angle_deg: turn, counter-clockwise on the screen.

    Raises:
        MedDiffError: for radii that are not above 0.
    """
    if not all(math.isfinite(r) and r > 0 for r in radii):
        raise MedDiffError(f"An ellipse needs radii above 0, not {radii[0]:g} and {radii[1]:g}: give larger ones.")
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    y, x = rows - centre[0], columns - centre[1]
    turn = math.radians(angle_deg)
    down, across = y * math.cos(turn) + x * math.sin(turn), x * math.cos(turn) - y * math.sin(turn)
    return (down / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1


def draw_polygon(shape: tuple[int, int], points: list[tuple[float, float]]) -> np.ndarray:
    """The inside of a polygon through points (row, column) in pixels, as bool [H, W]; it closes itself.

    Raises:
        MedDiffError: for fewer than three points.
    """
    if len(points) < 3:
        raise MedDiffError(f"An outline needs at least three points, not {len(points)}: add points.")
    corners = np.asarray(points, float)
    mask = np.zeros(shape, bool)
    mask[polygon(corners[:, 0], corners[:, 1], shape)] = True
    return mask


def read_mask(path: str | Path) -> np.ndarray:
    """Reads a mask image (PNG, TIFF, BMP, ...): bright, or on a transparent ground drawn, = lesion. Bool [H, W].

    Raises:
        MedDiffError: if it is missing, not an image, empty, or looks like a photograph rather than an outline.
    """
    path = Path(path)
    if not path.is_file():
        raise MedDiffError(f"There is no mask file {path}: check the path.")
    try:
        with Image.open(path) as image:
            image.load()
            drawn = image.getchannel("A") if "A" in image.getbands() else image.convert("L")
            values = np.asarray(drawn)
            if "A" in image.getbands() and values.min() == values.max():  # an opaque layer says nothing
                values = np.asarray(image.convert("L"))
    except Exception as error:  # PIL raises many kinds; all mean the same to the person
        raise MedDiffError(
            f"{path} cannot be read as a mask image: give a PNG with the lesion white on black."
        ) from error
    top = int(values.max())
    if top == 0:
        raise MedDiffError(f"The mask {path} is empty: paint the lesion white on black.")
    # A mask is two grey levels, and few between them along its edge; 1 on 0 is a mask too.
    between = ((values > 0.1 * top) & (values < 0.9 * top)).mean()
    if between > 0.2:
        raise MedDiffError(f"{path} looks like a picture, not a mask: give a PNG with the lesion white on black.")
    return values > top / 2


def check_mask(mask: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Returns the outline as bool [H, W] if a lesion can be drawn in it.

    Raises:
        MedDiffError: for a wrong shape, or an outline that is empty, outside the head, too small or too large.
    """
    mask = np.asarray(mask) > 0
    if mask.ndim != 2 or mask.shape != head.shape:
        raise MedDiffError(
            f"The outline has the shape {mask.shape}, the picture {head.shape}: draw it on the same picture."
        )
    pixels, whole = int(mask.sum()), int(head.sum())
    if pixels == 0:
        raise MedDiffError("The outline is empty: draw the lesion, or let an outline be sampled.")
    if whole == 0:
        raise MedDiffError("No head was found in the background: give a slice that shows one.")
    outside = float((mask & ~head).sum() / pixels)
    if outside > OUTSIDE_HEAD:
        raise MedDiffError(f"{outside:.0%} of the outline lies outside the head: move it inside.")
    if pixels < LEAST_PIXELS:
        raise MedDiffError(
            f"The outline has {pixels} pixels; below {LEAST_PIXELS} no lesion can be drawn: make it larger."
        )
    if pixels > MOST_OF_HEAD * whole:
        raise MedDiffError(
            f"The outline fills {pixels / whole:.0%} of the head; above {MOST_OF_HEAD:.0%} it is no focal lesion: "
            "make it smaller."
        )
    return mask


def told_by_outline(
    finding: Finding, plane: Plane, mask: np.ndarray, head: np.ndarray, spacing_mm: float, level: float | None
) -> Finding:
    """The finding with what a drawn outline itself says (side, region, size, margin) where the sentence said nothing.

    Args:
        finding: as the sentence said it.
        mask, head: bool [H, W] on the same grid.
        level: of the slice (`place.slice_level`); None where it is still to be made: then the region stays open.

    Raises:
        MedDiffError: when the outline lies clearly on the other side, or is clearly of another size, than the finding
            says: a case must not be filed under words that are wrong.
    """
    centre = ndimage.center_of_mass(mask)
    side, region = region_prior(centre, head, plane, level)
    middle = float(np.flatnonzero(head.any(0)).mean())
    clear = abs(centre[1] - middle) > CLEARLY_OFF * box(head).width
    if {finding.side, side} == {Side.LEFT, Side.RIGHT} and clear and plane is not Plane.SAGITTAL:
        raise MedDiffError(
            f"The sentence says {finding.side.value}, the outline lies on the patient's {side.value} (in {plane.value} "
            f"slices the patient's left is on the right of the screen): change the word or the outline."
        )
    drawn_mm = longest_diameter_mm(largest_piece(mask), (spacing_mm, spacing_mm))
    if finding.size_mm and abs(drawn_mm - finding.size_mm) > max(SIZE_OFF_MM, SIZE_OFF * finding.size_mm):
        raise MedDiffError(
            f"The sentence says {finding.size_mm:g} mm, the outline is {drawn_mm:.0f} mm across: change the number, leave "
            "it out, or draw the outline in that size."
        )
    measured = {"side": side, "region": region, "margin": margin_of(compactness_of(mask))}
    told: dict[str, object] = {
        name: value for name, value in measured.items() if getattr(finding, name).value == "unknown"
    }
    if finding.size_mm is None:
        told["size_mm"] = float(round(drawn_mm))
    return finding.model_copy(update=told)


def signed_distance(mask: np.ndarray) -> np.ndarray:
    """Distance to the outline [H, W] in pixels, positive inside, 0 on the border between pixels."""
    padded = np.pad(mask, 1)
    inside, outside = ndimage.distance_transform_edt(padded), ndimage.distance_transform_edt(~padded)
    return (np.where(padded, inside - 0.5, 0.5 - outside))[1:-1, 1:-1]


def grow_to_size(mask: np.ndarray, size_mm: float, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Scales an outline [H, W] about its centroid until its longest diameter is `size_mm`, to less than a pixel.

    Resamples the signed distance, so that the shape keeps its proportions and its smoothness.

    Raises:
        MedDiffError: for an empty outline, or a size that is below two pixels or runs off the picture.
    """
    mask = np.asarray(mask) > 0
    if not mask.any():
        raise MedDiffError("The outline is empty: there is nothing to grow. Draw one first.")
    pixel = max(spacing_mm)
    if not (math.isfinite(size_mm) and size_mm >= 2 * pixel):
        raise MedDiffError(f"A lesion of {size_mm:g} mm is below two pixels of {pixel:g} mm: ask for a larger one.")
    distance = signed_distance(mask)
    centre = np.array(ndimage.center_of_mass(mask))
    reach = np.abs(np.argwhere(mask) - centre).max() + 1

    def scaled(factor: float) -> np.ndarray:
        # Only the window that the lesion can fill is resampled.
        low = np.maximum(np.floor(centre - reach * factor).astype(int), 0)
        high = np.minimum(np.ceil(centre + reach * factor).astype(int) + 1, mask.shape)
        rows, columns = np.mgrid[low[0] : high[0], low[1] : high[1]]
        where = [(rows - centre[0]) / factor + centre[0], (columns - centre[1]) / factor + centre[1]]
        out = np.zeros(mask.shape, bool)
        out[low[0] : high[0], low[1] : high[1]] = ndimage.map_coordinates(distance, where, order=1, mode="nearest") > 0
        return out

    # Diameters of outlines on a grid go in steps: bisect, and keep the nearest.
    factor = start = size_mm / longest_diameter_mm(mask, spacing_mm)
    low, high, best, miss = 0.5 * start, 2.0 * start, mask, math.inf
    for _ in range(14):
        drawn = scaled(factor)
        error = longest_diameter_mm(drawn, spacing_mm) - size_mm
        if abs(error) < miss:
            best, miss, chosen = drawn, abs(error), factor
        if miss < 0.5 * pixel:
            break
        low, high = (factor, high) if error < 0 else (low, factor)
        factor = math.sqrt(low * high)
    ends = (np.argwhere(mask) - centre) * chosen + centre
    if ends.min() < -0.5 or (ends > np.array(mask.shape) - 0.5).any():
        raise MedDiffError(f"At {size_mm:g} mm this outline runs off the picture: move it inwards or ask for less.")
    if miss >= pixel:
        raise MedDiffError(
            f"At {size_mm:g} mm this outline is thinner than a pixel: ask for a larger lesion or draw a rounder one."
        )
    return best


def edit_region(mask: np.ndarray, margin_mm: float, spacing_mm: tuple[float, float]) -> np.ndarray:
    """Where pixels may change: the outline [H, W] and everything within `margin_mm` of it; bool [H, W].

    Raises:
        MedDiffError: for an empty outline or a negative margin.
    """
    mask = np.asarray(mask) > 0
    if not mask.any():
        raise MedDiffError("The outline is empty: there is no edit region. Draw one first.")
    if not (math.isfinite(margin_mm) and margin_mm >= 0):
        raise MedDiffError(f"The margin of the edit region must be 0 mm or more, not {margin_mm:g}.")
    return ndimage.distance_transform_edt(~mask, sampling=spacing_mm) <= margin_mm


def standard_head(plane: Plane, shape: tuple[int, int] = (256, 256)) -> np.ndarray:
    """The head that an average slice shows, bool [H, W]: where lesions lie in a picture still to be made."""
    profile = statistics()["heads"][plane.value]
    centre = profile["centre"][0] * shape[0], profile["centre"][1] * shape[1]
    return draw_polygon(shape, _points(np.log(profile["radii"]), centre, shape[0]))


def radial_profile(mask: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Distance from the centroid to the farthest lesion pixel in each of 64 directions, in pixels, and the centroid.

    Directions start to the right and turn clockwise on the screen. Holes and bays hidden from the centroid are filled.
    """
    row, column = ndimage.center_of_mass(mask)
    angles = np.arange(DIRECTIONS) * 2 * math.pi / DIRECTIONS
    steps = np.arange(0, max(mask.shape), 0.25)
    where = [row + np.outer(np.sin(angles), steps), column + np.outer(np.cos(angles), steps)]
    hit = ndimage.map_coordinates(mask.astype(np.float32), where, order=1, mode="constant") >= 0.5
    last = hit.shape[1] - 1 - hit[:, ::-1].argmax(1)
    return np.where(hit.any(1), steps[last], 0.5).clip(0.5), (row, column)


def sample_outline(
    findings: Findings,
    plane: Plane,
    head: np.ndarray | None,
    seed: int,
    spacing_mm: tuple[float, float] = (0.98, 0.98),
    size_mm: float | None = None,
    drawn_as: str | None = None,
    level: float | None = None,
) -> np.ndarray:
    """Draws a plausible outline for a finding: its place, size and margin as asked, the rest as real ones are.

    Args:
        findings: what is asked; `finding` None is taken as a lesion of which nothing is said.
        head: bool [H, W]; None: the standard head on 256x256.
        seed: same seed, same outline.
        size_mm: longest diameter; None: the finding's, or drawn from real sizes of that type and plane.
        drawn_as: trained type whose shapes to take; None: the finding's pathology if it is one, else any.
        level: of the background slice (`place.slice_level`); None where the slice is still to be made.

    Returns:
        bool [H, W], one piece, inside the brain and its coverings, accepted by `check_mask`.

    Raises:
        MedDiffError: if the place is not in this slice, or a lesion of that size does not fit there.
    """
    rng = np.random.default_rng(seed)
    finding = findings.finding or Finding()
    head = standard_head(plane) if head is None else np.asarray(head) > 0
    kind = _kind(drawn_as or finding.pathology, plane, rng)
    size = size_mm or finding.size_mm or _draw_size(kind, plane, rng)
    inside = brain_of(head, plane)
    tries = TRIES if size <= longest_diameter_mm(inside, spacing_mm) else 0
    for attempt in range(tries):
        centre = place_point(finding.region, finding.side, plane, head, rng, kind, level)
        profile = _draw_profile(kind, plane, finding.margin, rng, attempt / tries)
        if centre[1] < np.flatnonzero(head.any(0)).mean() and plane is not Plane.SAGITTAL:
            profile = mirror_profile(
                profile
            )  # shapes are stored as lesions of the patient's left, on the screen's right
        pixels = size / float(np.mean(spacing_mm)) / _diameter(profile)
        if not 0 < pixels * math.exp(profile.max()) < max(head.shape):
            continue
        centre = _nudge(centre, profile + math.log(pixels), inside, finding, plane, head)
        mask = draw_polygon(head.shape, _points(profile + math.log(pixels), centre, 1.0))
        if mask.sum() < LEAST_PIXELS:
            continue
        mask = grow_to_size(mask, size, spacing_mm)
        if finding.margin not in (Margin.UNKNOWN, margin_of(compactness_of(mask))):
            continue
        if (
            mask & ~inside
        ).sum() <= OUTSIDE_HEAD * mask.sum() and LEAST_PIXELS <= mask.sum() <= MOST_OF_HEAD * head.sum():
            return check_mask(mask, head)
    where = " ".join(w.value for w in (finding.side, finding.region) if w.value != "unknown") or "brain"
    raise MedDiffError(
        f"A lesion of {size:.0f} mm with these properties does not fit into the {where} of this {plane.value} slice: "
        "ask for a smaller one or another place, or draw the outline."
    )


def _kind(wanted: str | None, plane: Plane, rng: np.random.Generator) -> str:
    """The trained type whose statistics are used."""
    shapes = statistics()["shapes"]
    if wanted is not None and f"{wanted}/{plane.value}" in shapes:
        return wanted
    groups = sorted(name for name in shapes if name.endswith(f"/{plane.value}"))
    counts = np.array([shapes[name]["count"] for name in groups], float)
    return str(groups[rng.choice(len(groups), p=counts / counts.sum())]).split("/")[0]


def _draw_size(kind: str, plane: Plane, rng: np.random.Generator) -> float:
    """A longest diameter in mm, log-normal as real ones, within their 2nd to 98th percentile."""
    size = statistics()["shapes"][f"{kind}/{plane.value}"]["size"]
    return float(np.clip(math.exp(rng.normal(size["log_mean"], size["log_std"])), size["low_mm"], size["high_mm"]))


def _draw_profile(kind: str, plane: Plane, margin: Margin, rng: np.random.Generator, effort: float) -> np.ndarray:
    """Logarithm of 64 radii, root of area = 1. With growing effort (0 to 1) fine waves follow the margin asked for."""
    group = statistics()["shapes"][f"{kind}/{plane.value}"]
    scores = np.clip(rng.standard_normal(len(group["stds"])), -2.5, 2.5) * np.asarray(group["stds"])
    profile = np.asarray(group["mean"]) + scores @ np.asarray(group["components"])
    spectrum = np.zeros(DIRECTIONS // 2 + 1, complex)
    strength = np.asarray(group["residual"]) * math.exp(
        group["roughness"] * float(np.clip(rng.standard_normal(), -2, 1.2))
    )
    spectrum[1 : len(strength) + 1] = strength * (
        rng.standard_normal(len(strength)) + 1j * rng.standard_normal(len(strength))
    )
    waves = np.fft.rfft(profile + np.fft.irfft(spectrum * DIRECTIONS / 2, DIRECTIONS))
    waves[LAST + 1 :] = 0
    if margin is not Margin.UNKNOWN:
        waves[FINE:] *= 1 - effort if margin is Margin.SMOOTH else 1 + 3 * effort
    return np.fft.irfft(waves, DIRECTIONS)


def mirror_profile(profile: np.ndarray) -> np.ndarray:
    """A radial profile flipped left to right: direction t becomes pi - t."""
    return np.roll(profile[::-1], DIRECTIONS // 2 + 1)


def _points(log_radii: np.ndarray, centre: tuple[float, float], scale: float) -> list[tuple[float, float]]:
    """Corners (row, column) of the outline with these radii times `scale`."""
    angles = np.arange(len(log_radii)) * 2 * math.pi / len(log_radii)
    radii = np.exp(log_radii) * scale
    return list(zip(centre[0] + radii * np.sin(angles), centre[1] + radii * np.cos(angles), strict=True))


def _diameter(log_radii: np.ndarray) -> float:
    """Longest diameter of a profile, in its own unit."""
    points = np.array(_points(log_radii, (0, 0), 1.0))
    return float(np.linalg.norm(points[:, None] - points[None], axis=-1).max())


def _nudge(
    centre: tuple[float, float],
    log_radii: np.ndarray,
    inside: np.ndarray,
    finding: Finding,
    plane: Plane,
    head: np.ndarray,
) -> tuple[float, float]:
    """Moves an outline that sticks out inwards, as far as it stays in the place asked for."""
    for _ in range(15):
        mask = draw_polygon(inside.shape, _points(log_radii, centre, 1.0))
        out = mask & ~inside
        if not (mask & inside).any() or not out.any():
            return centre
        push = np.array(ndimage.center_of_mass(mask & inside)) - np.array(ndimage.center_of_mass(out))
        step = push / max(float(np.linalg.norm(push)), 1e-6) * 4.0
        moved = (centre[0] + float(step[0]), centre[1] + float(step[1]))
        if not _still_there(centre, moved, finding, plane, head):
            return centre
        centre = moved
    return centre


def _still_there(
    start: tuple[float, float], moved: tuple[float, float], finding: Finding, plane: Plane, head: np.ndarray
) -> bool:
    """Whether a moved centre is still called by the side and region asked for."""
    side_now, _ = region_prior(moved, head, plane)
    if finding.side is not Side.UNKNOWN and plane is not Plane.SAGITTAL and side_now is not finding.side:
        return False
    if finding.region is Region.UNKNOWN:
        return True
    # At some level the start was in the region; the move must be in it at one of those levels.
    levels = [x for x in np.linspace(0, 2, 11) if region_of(*relative(start, head, plane), plane, x) is finding.region]
    return any(region_of(*relative(moved, head, plane), plane, x) is finding.region for x in levels)
