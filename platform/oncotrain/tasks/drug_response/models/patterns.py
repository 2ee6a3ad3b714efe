"""Drugs by which samples they were tested on: drugs of one pattern share their inputs, and so one decomposition."""

from collections.abc import Iterator

import numpy as np


def missingness_patterns(response: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each pattern's observed rows and its drugs, as positions; `response` (rows, drugs) is NaN where none was."""
    observed = ~np.isnan(response)
    masks, pattern = np.unique(observed, axis=1, return_inverse=True)
    for number, mask in enumerate(masks.T):
        yield np.flatnonzero(mask), np.flatnonzero(pattern == number)
