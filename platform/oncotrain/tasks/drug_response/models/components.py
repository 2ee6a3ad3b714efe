"""Principal components of inputs: what models that are slow in thousands of columns are fitted to."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Components:
    """`centre` (inputs,) and orthonormal `axes` (inputs, k), float64, in order of falling variance."""

    centre: np.ndarray
    axes: np.ndarray

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Coordinates (rows, k)."""
        return (inputs - self.centre) @ self.axes


def principal_components(inputs: np.ndarray, count: int) -> Components:
    """The first `count` components of `inputs` (rows, inputs), or as many as there are."""
    centre = inputs.mean(axis=0)
    _, values, axes = np.linalg.svd(inputs - centre, full_matrices=False)
    kept = min(count, int((values > 1e-9 * values[0]).sum()))
    return Components(centre, axes[:kept].T)
