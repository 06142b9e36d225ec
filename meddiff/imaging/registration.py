"""Rigid registration by mutual information, and how well it went."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from meddiff.case import MedDiffError

GOOD_FROM = 0.75


@dataclass(frozen=True)
class Registered:
    """A moved image on the fixed one's grid.

    Attributes:
        pixels: float32, the fixed image's shape.
        parameters: angles in radians, then shifts in mm.
        quality: 0 to 1, mean of overlap of the two foregrounds (Dice) and correlation inside it; 1 is a perfect match.
    """

    pixels: np.ndarray
    parameters: tuple[float, ...]
    quality: float

    @property
    def good(self) -> bool:
        """Whether the quality reaches the threshold from which a follow-up may be compared."""
        return self.quality >= GOOD_FROM


def register(
    fixed: np.ndarray, moving: np.ndarray, fixed_mm: tuple[float, ...], moving_mm: tuple[float, ...]
) -> Registered:
    """Moves `moving` onto `fixed`, 2D or 3D, by Mattes mutual information (Mattes et al., 2003), coarse to fine.

    Args:
        fixed_mm, moving_mm: spacing by axis, in the arrays' order.

    Raises:
        MedDiffError: dimensions that differ, or images that do not overlap.
    """
    if fixed.ndim != moving.ndim or fixed.ndim not in (2, 3):
        raise MedDiffError(f"Two slices or two volumes can be registered, not {fixed.ndim}D with {moving.ndim}D.")
    still, moved = _image(fixed, fixed_mm), _image(moving, moving_mm)
    kind = sitk.Euler2DTransform() if fixed.ndim == 2 else sitk.Euler3DTransform()
    try:
        start = sitk.CenteredTransformInitializer(still, moved, kind, sitk.CenteredTransformInitializerFilter.MOMENTS)
        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(32)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, 300, 0.6, 1e-10)
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetShrinkFactorsPerLevel([4, 2, 1])
        method.SetSmoothingSigmasPerLevel([2, 1, 0])
        method.SetInitialTransform(start, inPlace=False)
        method.SetGlobalDefaultNumberOfThreads(1)  # sums in one order: the same result every time
        found = method.Execute(still, moved)
    except RuntimeError as error:
        raise MedDiffError(
            "The two images could not be registered: they do not overlap, or show nothing in common."
        ) from error
    resampled = sitk.GetArrayFromImage(sitk.Resample(moved, still, found, sitk.sitkLinear, 0.0))
    parameters = (
        found.GetNthTransform(0).GetParameters() if hasattr(found, "GetNthTransform") else found.GetParameters()
    )
    return Registered(resampled, tuple(float(p) for p in parameters), quality(fixed, resampled))


def quality(fixed: np.ndarray, moved: np.ndarray) -> float:
    """See `Registered.quality`."""
    one, other = (image > image.mean() * 0.5 for image in (fixed, moved))
    overlap = 2 * (one & other).sum() / max(one.sum() + other.sum(), 1)
    both = one & other
    if both.sum() < 10 or fixed[both].std() == 0 or moved[both].std() == 0:
        return 0.0
    correlation = float(np.corrcoef(fixed[both], moved[both])[0, 1])
    return float((overlap + max(correlation, 0.0)) / 2)


def _image(array: np.ndarray, spacing: tuple[float, ...]) -> sitk.Image:
    image = sitk.GetImageFromArray(array.astype(np.float32))
    image.SetSpacing([float(s) for s in reversed(spacing)])
    return image
