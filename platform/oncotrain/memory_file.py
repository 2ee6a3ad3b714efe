"""Files that are only memory: written like any other, then looked at in place.

Memory of the page cache is filled as it is written, where a growing buffer is cleared first and moved on the way. And
other processes see it.
"""

import mmap
import os
from typing import BinaryIO


def memory_file(name: str) -> BinaryIO:
    """An empty file to write and seek in; `name` is what `/proc` shows. What was taken of it outlives it."""
    return os.fdopen(os.memfd_create(name), "w+b", buffering=0)


def size_of(file: BinaryIO) -> int:
    """Bytes that were written so far, by whichever process."""
    return os.fstat(file.fileno()).st_size


def contents(file: BinaryIO) -> memoryview:
    """All that was written, without a copy; it goes with the last view of it."""
    size = size_of(file)  # nothing cannot be mapped
    return memoryview(mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ) if size else b"")
