"""What a process that trains sets up before its first tensor."""

import ctypes

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h."""


def prepare_process(threads: int) -> None:
    """Compute with `threads` threads, and keep freed memory for the next step.

    A step frees what the next one allocates. By default glibc gives blocks of some MB back to the kernel and takes
    them again, a page fault for each 4 KiB: an eighth of the CPU time of a step of the nuclei network.
    """
    torch.set_num_threads(threads)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries than glibc have none
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 1 << 30)
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
