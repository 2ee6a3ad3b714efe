"""Arrays in a plan, which is JSON: their bytes as text take half of what their numbers as text do."""

import base64
import io
from functools import lru_cache

import numpy as np


def to_text(array: np.ndarray) -> str:
    """NumPy's own format (dtype and shape are in it) in base64."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


@lru_cache(maxsize=128)  # a step asks for the same few as the step before
def from_text(text: str) -> np.ndarray:
    """The array that `to_text` wrote, read-only. Raises ValueError for anything else, a pickle among it."""
    array: np.ndarray = np.load(io.BytesIO(base64.b64decode(text, validate=True)), allow_pickle=False)
    array.setflags(write=False)
    return array
