"""What a model written in Python gave, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def arrays_of(value: Any) -> list[np.ndarray]:
    """Arrays in an output: an array, a tensor, numbers in lists, or several of them in a tuple, list or dictionary.

    Of a dictionary with `boxes` and `scores` (torchvision's) these two; of another, all values in their order.

    Raises:
        TypeError: for what holds no numbers.
    """
    if isinstance(value, Mapping):
        value = [value["boxes"], value["scores"]] if {"boxes", "scores"} <= set(value) else list(value.values())
        return [array for each in value for array in arrays_of(each)]
    if isinstance(value, list | tuple) and any(isinstance(each, Mapping) or hasattr(each, "shape") for each in value):
        return [array for each in value for array in arrays_of(each)]
    if hasattr(value, "detach"):  # a tensor, here or on a GPU
        value = value.detach().cpu().numpy()
    if value is None:
        raise TypeError("it returned None, where an array was expected")
    try:
        return [np.asarray(value)]
    except ValueError as error:  # lists of different lengths
        raise TypeError(f"it returned a {type(value).__name__} that is no array of numbers") from error
