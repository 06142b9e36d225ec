"""How an outline evolves over visits: in which order it takes pixels, its satellites and its necrotic core.

Growth is a front that moves through a map of speeds: |grad t| = 1 / speed, t = 0 on the outline (the eikonal equation;
glioma growth by it: Konukoglu et al., *IEEE Trans. Med. Imaging* 29, 2010). The speed is that of `barriers`, and
waves from place to place with the seed, so that a lesion grows lobes and does not only scale. Inside, the lesion shrinks along the level lines of the potential of a
charge at its deepest part (Green's function): smooth, and never in two pieces, because a potential has one peak.

Every pixel thus has its turn, and a lesion of n pixels is the first n: areas are hit exactly and outlines are nested.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve
from skimage.morphology import reconstruction

from meddiff.case import MedDiffError
from meddiff.conditions.masks import LEAST_PIXELS, MOST_OF_HEAD, signed_distance
from meddiff.conditions.measure import longest_diameter_mm

WAVINESS = 0.7  # logarithm of the speed, standard deviation at an irregularity of 1
LOBES_MM = (4.0, 11.0)  # lengths of the waves in the speed
SATELLITE_MM = 4.0  # diameter at which a further focus is seen first: about the smallest that can be drawn
SATELLITE_MOST_MM = 30.0  # diameter at which it stops
APART_MM = 8.0  # between two foci
NECROSIS_FROM_MM, NECROSIS_FULL_MM = 15.0, 40.0  # longest diameters
RIM_MM = (3.0, 6.0)  # of living tumour around a necrotic core


@dataclass(frozen=True, eq=False)
class GrowthField:
    """In which order a lesion takes the pixels of a slice.

    Attributes:
        phi: float32 [H, W] in pixels of grey matter; at most 0 inside the outline it was made from and nowhere else;
            inf where the lesion cannot come.
        order: int32 [H, W], the turn of each pixel from 0; -1 where it cannot come.
        focus: int32 [H, W], 1 for the lesion, 2 and more for satellites, 0 where it cannot come.
        speed: float64 [H, W], `barriers` with the seed's waves.
        start_px: area of the outline it was made from.
        spacing_mm: of a pixel, which is square.
    """

    phi: np.ndarray
    order: np.ndarray
    focus: np.ndarray
    speed: np.ndarray
    start_px: int
    spacing_mm: float

    @property
    def most_px(self) -> int:
        """The largest area that fits."""
        return int(self.order.max()) + 1


def growth_field(
    outline: np.ndarray,
    speed: np.ndarray,
    head: np.ndarray,
    seed: int,
    spacing_mm: float = 0.98,
    irregularity: float = 0.4,
) -> GrowthField:
    """The order in which the lesion of this outline grows and shrinks; same seed, same field, bit for bit.

    Args:
        outline: bool [H, W]; may lie where the speed is 0. Pieces of it shrink each to its own deepest part.
        speed: [H, W] from 0, as `barriers` gives it.
        head: bool [H, W]; no lesion fills more than `MOST_OF_HEAD` of it.
        irregularity: 0 (only barriers shape it) to 1; strength of lobes and of the preferred direction.

    Raises:
        MedDiffError: for an empty outline, different shapes, or an irregularity that is not from 0 to 1.
    """
    outline = np.asarray(outline) > 0
    if not outline.shape == speed.shape == head.shape:
        raise MedDiffError(
            f"The outline is {outline.shape}, the speed {speed.shape}, the head {head.shape}: give all on the same grid."
        )
    if not outline.any():
        raise MedDiffError("The outline is empty: there is nothing to grow. Draw one first.")
    if not 0 <= irregularity <= 1:
        raise MedDiffError(f"Irregularity goes from 0 to 1, not {irregularity:g}.")
    rng = np.random.default_rng(seed)
    waves = WAVINESS * irregularity * _waves(outline.shape, LOBES_MM, spacing_mm, rng)
    preferred = WAVINESS * irregularity * _direction(outline, rng)
    modulated = speed.astype(float) * np.exp(waves + preferred)
    start = int(outline.sum())
    most = max(start, int(MOST_OF_HEAD * head.sum()))
    phi = _arrival(modulated, np.where(outline, 0.0, np.inf), most)
    phi[outline] = _depth_order(outline, np.exp(2 * waves), rng)[outline]
    phi, order = _without_holes(phi, phi, modulated, most)
    return GrowthField(phi.astype(np.float32), order, (order >= 0).astype(np.int32), modulated, start, spacing_mm)


def outline_at(field: GrowthField, area_px: float) -> np.ndarray:
    """The lesion of that area, to half a pixel, bool [H, W]: in one piece, and inside every larger one; 0 is empty.

    An outline in several pieces keeps them until they meet; satellites are pieces of their own.

    Raises:
        MedDiffError: where the area is no area or does not fit the head.
    """
    if not (math.isfinite(area_px) and area_px >= 0):
        raise MedDiffError(f"A lesion's area must be 0 pixels or more, not {area_px:g}: mend the law.")
    if round(area_px) > field.most_px:
        asked, most = (2 * math.sqrt(area / math.pi) * field.spacing_mm for area in (area_px, field.most_px))
        raise MedDiffError(
            f"The law outgrows the head: it asks for a lesion of {asked:.0f} mm where at most {most:.0f} mm fit; "
            "choose fewer days or a slower law."
        )
    return (field.order >= 0) & (field.order < round(area_px))


def with_satellites(
    field: GrowthField, count: int, seed: int, after_px: float, away_mm: tuple[float, float] = (5.0, 25.0)
) -> GrowthField:
    """The field with up to `count` further foci, fewer where there is no room.

    The first appears, about 4 mm across, once the whole area passes `after_px`, each next one at up to a third more.
    Then they grow with the lesion, at 0.35 to 0.6 of its pace, and may be reached by it. They count into the area.

    Args:
        seed: same seed, same foci.
        after_px: at least the area of the outline that the field was made from.
        away_mm: nearest and farthest from that outline; nearer ones are likelier.

    Raises:
        MedDiffError: for a negative count, distances out of order, or satellites asked for before the outline is.
    """
    low, high = away_mm
    if count < 0 or not 0 < low < high:
        raise MedDiffError(
            f"{count} satellites at {low:g} to {high:g} mm cannot be placed: give 0 or more, near to far."
        )
    if after_px < field.start_px:
        raise MedDiffError(
            f"Satellites after {after_px:g} pixels would be part of the outline of {field.start_px}: let them come later."
        )
    rng = np.random.default_rng(seed)
    pixel = field.spacing_mm
    away = ndimage.distance_transform_edt(field.phi > 0) * pixel
    free = (away >= low) & (away <= high) & (ndimage.uniform_filter(field.speed, 5) > 0.5)
    phi, focus = field.phi.astype(float), field.focus.copy()
    threshold = after_px
    for number in range(2, count + 2):
        if round(threshold) >= field.most_px:
            break
        time = float(field.phi[field.order == round(threshold)][0])
        rows, columns = np.nonzero(free & (field.phi > time + APART_MM / pixel))
        if not len(rows):
            break
        chance = np.exp(-away[rows, columns] / 10)
        pick = rng.choice(len(rows), p=chance / chance.sum())
        source = np.full(phi.shape, np.inf)
        source[rows[pick], columns[pick]] = 0.0
        arrival = _arrival(field.speed, source, round(math.pi * (SATELLITE_MOST_MM / 2 / pixel) ** 2))
        first, pace = SATELLITE_MM / 2 / pixel, rng.uniform(0.35, 0.6)
        own = time + np.where(arrival < first, 1e-3 * arrival, (arrival - first) / pace + 1e-3 * first)
        focus[own < phi] = number
        phi = np.minimum(phi, own)
        free &= ndimage.distance_transform_edt(source > 0) * pixel > APART_MM
        threshold *= rng.uniform(1.05, 1.33)
    phi, order = _without_holes(phi, field.order, field.speed, field.most_px)
    return replace(field, phi=phi.astype(np.float32), order=order, focus=np.where(order < 0, 0, focus.clip(1)))


def labels_at(field: GrowthField, area_px: float) -> np.ndarray:
    """`outline_at` with its foci told apart, int32 [H, W]: 0 nothing, 1 the lesion, from 2 on satellites.

    A satellite keeps its number over visits; one that has met the lesion, or an earlier one, is part of it.

    Raises:
        MedDiffError: as `outline_at`.
    """
    pieces, count = ndimage.label(outline_at(field, area_px))
    numbers = np.zeros(count + 1, np.int32)
    if count:
        numbers[1:] = ndimage.minimum(field.focus, pieces, np.arange(1, count + 1))
    return numbers[pieces]


def _waves(
    shape: tuple[int, ...], lengths_mm: tuple[float, ...], spacing_mm: float, rng: np.random.Generator
) -> np.ndarray:
    """Smooth noise [H, W], mean 0 and variance 1, of these lengths in equal parts."""
    total = np.zeros(shape)
    for length in lengths_mm:
        wave = ndimage.gaussian_filter(rng.standard_normal(shape), length / spacing_mm / 2, mode="wrap")
        total += (wave - wave.mean()) / wave.std()
    return total / math.sqrt(len(lengths_mm))


def _direction(outline: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How much likelier growth is in each direction from the centre, about -1 to 1: to one side, and along an axis."""
    rows, columns = np.indices(outline.shape)
    row, column = ndimage.center_of_mass(outline)
    angle = np.arctan2(rows - row, columns - column)
    side, axis = rng.uniform(0, 2 * math.pi, 2)
    strength = rng.uniform(0.2, 0.6, 2)
    return strength[0] * np.cos(angle - side) + strength[1] * np.cos(2 * (angle - axis))


def _without_holes(phi: np.ndarray, ties: np.ndarray, speed: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """A level function [H, W] whose sets have no holes; int32 [H, W] the turns of its `most` first pixels, -1 elsewhere.

    What a front leaves behind, a sulcus say, is taken when the way out of it closes: a hole's level becomes the lowest
    on its best way out (reconstruction by dilation: Vincent, *IEEE Trans. Image Process.* 2, 1993). Within that level
    pixels follow `ties`.
    """
    wall = 1e9  # stands for inf
    top = np.pad(np.minimum(phi, wall), 1, constant_values=wall)
    out = np.pad((speed == 0) & ~np.isfinite(phi), 1, constant_values=True)
    filled = reconstruction(np.where(out, wall, top.min()), top)[1:-1, 1:-1]
    filled = np.where(phi > 0, np.maximum(filled, 1e-6), phi)  # a hole in the outline itself is not part of it
    count = min(most, int((filled < wall).sum()))
    turns = np.full(phi.shape, -1, np.int32)
    turns.flat[np.lexsort((ties.ravel(), filled.ravel()))[:count]] = np.arange(count)
    return np.where(turns >= 0, filled, np.inf), turns


def _arrival(speed: np.ndarray, sources: np.ndarray, most: int) -> np.ndarray:
    """When a front reaches each pixel, float64 [H, W]: |grad t| = 1 / speed, for the `most` first pixels; inf elsewhere.

    Fast marching (Sethian, *PNAS* 93, 1996): unlike shortest paths on the grid its fronts are round. Every pixel comes
    after one of its four neighbours, so that the pixels reached by any time hang together.

    Args:
        sources: [H, W], the time at which the front starts there; inf elsewhere.
    """
    padded = np.pad(speed, 1)  # a frame of speed 0: no index leaves the picture
    across = padded.shape[1]
    slowness = np.divide(1.0, padded, out=np.full(padded.shape, np.inf), where=padded > 0).ravel().tolist()
    time = np.pad(sources, 1, constant_values=np.inf).ravel().tolist()
    heap = [(t, i) for i, t in enumerate(time) if t < math.inf]
    heapq.heapify(heap)
    done = bytearray(len(time))
    left = most
    while heap and left:
        _, i = heapq.heappop(heap)
        if done[i]:
            continue
        done[i] = 1
        left -= 1
        for j in (i - 1, i + 1, i - across, i + across):
            h = slowness[j]
            if done[j] or h == math.inf:
                continue
            a, b = min(time[j - 1], time[j + 1]), min(time[j - across], time[j + across])
            if a > b:
                a, b = b, a
            # (t - a)^2 + (t - b)^2 = h^2, or from one side where the other comes later
            t = a + h if b - a >= h else (a + b + math.sqrt(2 * h * h - (a - b) ** 2)) / 2
            if t < time[j]:
                time[j] = t
                heapq.heappush(heap, (t, j))
    reached = np.frombuffer(done, np.uint8).reshape(padded.shape) > 0
    return np.where(reached, np.array(time).reshape(padded.shape), np.inf)[1:-1, 1:-1]


def _depth_order(outline: np.ndarray, conductance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Minus how far the lesion must shrink, in pixels of its radius, until each pixel is left out; [H, W], 0 outside.

    -div(k grad g) = a charge near the deepest part of each piece, as strong as the piece is large; g = 0 outside.
    """
    inside = np.flatnonzero(outline)
    number = np.full(outline.size, -1)
    number[inside] = np.arange(len(inside))
    padded, k = np.pad(number.reshape(outline.shape), 1, constant_values=-1), np.pad(conductance, 1, mode="edge")
    here = padded[1:-1, 1:-1][outline]
    diagonal = np.zeros(len(inside))
    entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for shift in ((0, 1), (2, 1), (1, 0), (1, 2)):
        window = tuple(slice(s, s + n) for s, n in zip(shift, outline.shape, strict=True))
        other, flow = padded[window][outline], (k[window][outline] + conductance[outline]) / 2
        diagonal += flow
        both = other >= 0
        entries.append((here[both], other[both], -flow[both]))
    rows, columns, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    flows = sparse.coo_array((values, (rows, columns)), shape=(len(inside), len(inside)))

    depth = ndimage.distance_transform_edt(np.pad(outline, 1))[1:-1, 1:-1]
    charge = np.zeros(outline.shape)
    pieces, count = ndimage.label(outline)
    for piece in range(1, count + 1):
        deep = np.flatnonzero((pieces == piece) & (depth >= 0.8 * depth[pieces == piece].max()))
        charge.flat[rng.choice(deep)] = (pieces == piece).sum()
    potential = spsolve((flows + sparse.diags_array(diagonal)).tocsc(), charge.ravel()[inside])
    turn = np.empty(len(inside))
    turn[np.argsort(-potential, kind="stable")] = np.arange(1, len(inside) + 1)
    radius = np.zeros(outline.shape)
    radius.flat[inside] = np.sqrt(turn / math.pi) - math.sqrt(len(inside) / math.pi)
    return radius


def necrotic_core(mask: np.ndarray, spacing_mm: float, share: float, seed: int) -> np.ndarray:
    """The part of a lesion [H, W] that turns necrotic, bool [H, W].

    None up to a longest diameter of 15 mm; from there its share of the area rises to `share` at 40 mm. A rim of about 3 to
    6 mm or more, thin and thick at the same places at every visit by the seed, lives on everywhere.

    Raises:
        MedDiffError: for a share that is not from 0 to 1.
    """
    if not 0 <= share <= 1:
        raise MedDiffError(f"The share of the core goes from 0 to 1, not {share:g}.")
    mask = np.asarray(mask) > 0
    size = longest_diameter_mm(mask, (spacing_mm, spacing_mm))
    grown = np.clip((size - NECROSIS_FROM_MM) / (NECROSIS_FULL_MM - NECROSIS_FROM_MM), 0, 1)
    pixels = round(share * float(grown) * int(mask.sum()))
    if pixels < LEAST_PIXELS:
        return np.zeros(mask.shape, bool)
    waves = _waves(mask.shape, (8.0,), spacing_mm, np.random.default_rng(seed))
    rim = np.mean(RIM_MM) + (RIM_MM[1] - RIM_MM[0]) / 2 * np.tanh(waves)
    depth = signed_distance(mask) * spacing_mm
    # Smoothed: a distance has a crest in every corner of the outline, which would show as a star.
    room = (ndimage.gaussian_filter(depth, 3 / spacing_mm) - rim).clip(0)
    least = float(np.sort(room, axis=None)[-pixels])
    core = (ndimage.gaussian_filter((room > least).astype(float), 1.5 / spacing_mm) > 0.5) & (depth >= RIM_MM[0])
    pieces, _ = ndimage.label(core)
    return core & (np.bincount(pieces.ravel())[pieces] >= LEAST_PIXELS)
