"""Arrays in NumPy's own format, whose headers are understood once and not once a value.

A dataset's arrays have few shapes. `np.load` parses the header of each as Python source, which for a row of expression
values takes ten times as long as copying them.
"""

from functools import lru_cache
from io import BytesIO
from math import prod
from typing import Literal

import numpy as np
from numpy.lib import format as numpy_format

_PREAMBLE = numpy_format.magic(1, 0)
_START = len(_PREAMBLE) + 2


def load_array(stored: bytes | bytearray | memoryview) -> np.ndarray:
    """The array that `np.save` wrote as `stored`, format version 1.0 (NEP 1): a copy, which may be written to.

    Raises ValueError where it is something else, is cut, or holds Python objects.
    """
    start = bytes(stored[:_START])
    if start[: len(_PREAMBLE)] != _PREAMBLE:
        raise ValueError(f"an array in NumPy's format 1.0 begins with {_PREAMBLE!r}, this with {start!r}")
    values = _START + int.from_bytes(start[len(_PREAMBLE) :], "little")
    shape, order, dtype = _header(bytes(stored[len(_PREAMBLE) : values]))
    flat = np.frombuffer(stored, dtype, prod(shape), values)
    return flat.reshape(shape, order=order).copy(order)


@lru_cache(maxsize=1024)
def _header(stored: bytes) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype]:
    shape, by_column, dtype = numpy_format.read_array_header_1_0(BytesIO(stored))
    return shape, "F" if by_column else "C", dtype
