"""The only door out."""

from meddiff.marking.seal import SealedCase, SealedImage, require_sealed, seal

__all__ = ["SealedCase", "SealedImage", "require_sealed", "seal"]
