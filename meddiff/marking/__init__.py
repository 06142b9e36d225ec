"""The only door out."""

from meddiff.marking.seal import SealedCase, SealedImage, require_sealed, seal
from meddiff.marking.thumbnail import thumbnail

__all__ = ["SealedCase", "SealedImage", "require_sealed", "seal", "thumbnail"]
