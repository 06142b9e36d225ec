"""MedDiff makes synthetic teaching cases in radiology: a sentence and an outline in, a sealed and measured case out."""

from meddiff import quick as quick

__version__ = "0.1.0"
