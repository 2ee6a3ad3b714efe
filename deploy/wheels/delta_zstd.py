"""Lossless compression of images and label maps: differences of neighbours, then Zstandard.

Each byte of a pixel is told by the same byte of the pixels to its left and above, left + above - left above: what is
stored is how far off that is, which compresses better and faster than the pixels themselves. An integral image undoes
it. Differences wrap around, hence every value of the dtype survives. Labels are stored in as few bytes as the largest
needs: one in place of four for a tile's few objects.

A record is a 4-byte magic, the codes of the array's dtype and of the one it is stored in, the number of dimensions, the
dimensions as little-endian uint32, and one zstd frame that states its size and carries a checksum.
"""

import math
import struct
from typing import NamedTuple

import cv2
import numpy as np
import zstandard

MAGIC = b"DZ3\0"
# Differences are noise to a search for matches, all but long ones: with few places to look at, level 1 takes 0.5 to 0.8
# of its time, for 0 to 4 % more bytes of H&E.
PARAMETERS = zstandard.ZstdCompressionParameters.from_level(1, min_match=7, hash_log=6, write_checksum=True)
MAX_BYTES = 1 << 30  # what a record may claim to decompress to, whatever its header says
MAX_PIXEL = 128  # bytes of a pixel: OpenCV's arrays have no more channels
_CODES = {1: np.dtype("u1"), 2: np.dtype("<u2"), 3: np.dtype("<i4")}  # from the narrowest to the widest
_DTYPES = {dtype: code for code, dtype in _CODES.items()}
_DIMENSIONS = (2, 3)


class Header(NamedTuple):
    """What a record says before its frame."""

    dtype: np.dtype
    stored: np.dtype
    """No wider than `dtype`."""
    shape: tuple[int, ...]
    size: int
    """Bytes of the header itself."""


def encode(array: np.ndarray) -> bytes:
    """The record of `array`: uint8, uint16 or int32, shape (H, W) or (H, W, C).

    Raises ValueError for another dtype or number of dimensions, more than 128 bytes a pixel, or more than 1 GiB.
    """
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _DTYPES or array.ndim not in _DIMENSIONS:
        raise ValueError(f"cannot encode {array.dtype} of {array.ndim} dimensions: uint8, uint16, int32 of 2 or 3")
    if array.nbytes > MAX_BYTES:
        raise ValueError(f"cannot encode {array.nbytes} bytes: at most {MAX_BYTES}")
    stored = _narrowest(array, dtype)
    layout = _bytes_shape(dtype, stored, array.shape)
    delta = array.astype(stored, order="C", copy=False).view(np.uint8).reshape(layout)
    for axis in (1, 0):
        delta = _differences(delta, axis)
    codes = _DTYPES[dtype], _DTYPES[stored]
    begin = struct.pack(f"<4s3B{array.ndim}I", MAGIC, *codes, array.ndim, *array.shape)
    return begin + zstandard.ZstdCompressor(compression_params=PARAMETERS).compress(delta)


def header(record: bytes) -> Header:
    """The header of a record. Raises ValueError if this is not a record's beginning."""
    try:
        magic, code, stored, ndim = struct.unpack_from("<4s3B", record)
        if magic != MAGIC or not 1 <= stored <= code <= len(_CODES) or ndim not in _DIMENSIONS:
            raise ValueError(f"not a delta-zstd record: it begins with {bytes(record[:7])!r}")
        shape = struct.unpack_from(f"<{ndim}I", record, 7)
    except struct.error as error:
        raise ValueError(f"delta-zstd record cut short: {len(record)} bytes") from error
    return Header(_CODES[code], _CODES[stored], shape, 7 + 4 * ndim)


def decode(record: bytes) -> np.ndarray:
    """The array of a record. Nothing is allocated before header and frame agree on a size of at most 1 GiB.

    Raises ValueError for a damaged record.
    """
    dtype, stored, shape, offset = header(record)
    layout = _bytes_shape(dtype, stored, shape)
    expected, size = math.prod(layout), math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES:
        raise ValueError(f"delta-zstd record of {size} bytes: at most {MAX_BYTES}")
    frame = memoryview(record)[offset:]
    try:
        claimed = zstandard.frame_content_size(frame)
        if claimed != expected:
            raise ValueError(
                f"delta-zstd frame of {claimed} bytes for {stored}{list(shape)}, {expected} bytes expected"
            )
        raw = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ValueError(f"damaged delta-zstd record: {error}") from error
    delta = np.frombuffer(raw, np.uint8).reshape(layout)
    if not delta.size:
        return np.zeros(shape, dtype)
    # Sums over all that is above and to the left, in int32: their lowest bytes are right, whatever wraps around.
    sums = cv2.integral(delta, sdepth=cv2.CV_32S).reshape(layout[0] + 1, layout[1] + 1, layout[2])
    return sums[1:, 1:].astype(np.uint8).view(stored).reshape(shape).astype(dtype, copy=False)


def _narrowest(array: np.ndarray, dtype: np.dtype) -> np.dtype:
    """The first dtype that holds what is in `array`, which has `dtype` or its like of another byte order."""
    if dtype.itemsize == 1 or array.min(initial=0) < 0:
        return dtype
    largest = array.max(initial=0)
    return next(narrow for narrow in _CODES.values() if largest <= np.iinfo(narrow).max)


def _bytes_shape(dtype: np.dtype, stored: np.dtype, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Height, width and stored bytes of a pixel. Raises ValueError for pixels of more than 128 bytes."""
    values = math.prod(shape[2:])
    if values * dtype.itemsize > MAX_PIXEL:
        raise ValueError(f"{dtype}{list(shape)} has pixels of {values * dtype.itemsize} bytes: at most {MAX_PIXEL}")
    return shape[0], shape[1], values * stored.itemsize


def _differences(array: np.ndarray, axis: int) -> np.ndarray:
    """Of each value from the one before it along `axis`, C-contiguous; the first is what it was."""
    values = np.moveaxis(array, axis, 0)
    differences = np.empty_like(array, order="C")
    target = np.moveaxis(differences, axis, 0)
    target[:1] = values[:1]
    np.subtract(values[1:], values[:-1], out=target[1:])
    return differences
