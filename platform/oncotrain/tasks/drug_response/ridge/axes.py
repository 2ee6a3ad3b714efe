"""Round 1 of the exact ridge: the axes on which all sites project their inputs, agreed from sums.

Every site multiplies the scatter of its inputs with the same random matrix; the sum over sites is the pooled product,
whose columns span nearly the leading components (Halko, Martinsson and Tropp 2011, SIAM Review 53:217, one power
iteration). That is (inputs x k) numbers a site where the scatter itself would be (inputs x inputs).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oncotrain.tasks.task import Sums


@dataclass(frozen=True)
class Axes:
    """`centre` (inputs,), the pooled mean, and orthonormal `axes` (inputs, k), float64."""

    centre: np.ndarray
    axes: np.ndarray

    def project(self, inputs: np.ndarray) -> np.ndarray:
        """Coordinates (rows, k) of inputs (rows, inputs)."""
        coordinates: np.ndarray = (inputs - self.centre) @ self.axes
        return coordinates


def axes_sums(inputs: np.ndarray, components: int, seed: int) -> Sums:
    """What a site sends: `count` (), `total` (inputs,) and `product` (inputs, components), float64.

    Args:
        inputs: (rows, inputs) of the training rows.
        seed: Of the random matrix, the same at all sites.
    """
    rows = inputs.astype(np.float64)
    return {
        "count": np.array(float(len(rows))),
        "total": rows.sum(axis=0),
        "product": rows.T @ (rows @ _directions(rows.shape[1], components, seed)),
    }


def add_axes_sums(parts: Sequence[Sums]) -> Sums:
    """Sums over the union of the parts' rows."""
    return {name: np.sum([part[name] for part in parts], axis=0) for name in parts[0]}


def agree_axes(parts: Sequence[Sums], seed: int) -> Axes:
    """The axes that all sites' sums imply; fewer than asked for where the inputs vary in fewer directions."""
    sums = add_axes_sums(parts)
    centre = sums["total"] / sums["count"]
    directions = _directions(len(centre), sums["product"].shape[1], seed)
    scatter = sums["product"] - np.outer(sums["total"], centre @ directions)
    axes, lengths, _ = np.linalg.svd(scatter, full_matrices=False)
    return Axes(centre, axes[:, lengths > 1e-9 * lengths[0]])


def _directions(inputs: int, components: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((inputs, components))
