"""Real images in."""

from meddiff.imaging.normalise import normalise
from meddiff.imaging.read import Slice, read_image

__all__ = ["Slice", "normalise", "read_image"]
