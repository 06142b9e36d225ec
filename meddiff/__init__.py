"""MedDiff makes synthetic teaching cases in radiology: a sentence and an outline in, a sealed and measured case out."""

__version__ = "0.1.0"
