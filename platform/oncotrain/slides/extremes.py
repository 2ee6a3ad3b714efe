"""The two ends of many values."""

import numpy as np


def extremes(values: np.ndarray, percent: float) -> tuple[float, float]:
    """The values below and above which `percent` of `values` (any shape, at least one) lie, both taken from them.

    `np.percentile` would interpolate between two, and takes 80 µs a call, which each tile would pay for three times.
    """
    cut = int(values.size * percent / 100)
    ordered = np.partition(values, (cut, values.size - 1 - cut), axis=None)
    return float(ordered[cut]), float(ordered[-1 - cut])
