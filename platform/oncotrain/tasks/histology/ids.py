"""Instance ids of a raster."""

import numpy as np


def renumber(instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ids other than 0, ascending (n,), and the raster with 1..n in their place, int32; 0 stays 0.

    Takes memory in proportion to the largest id, and no sorting.
    """
    present = np.bincount(instances.ravel()) > 0
    present[0] = False
    numbers = present.cumsum(dtype=np.int32) * present
    return np.flatnonzero(present), numbers[instances]
