"""The ridge that the pooled rows would give, from the sites' sums."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from oncotrain.tasks.drug_response.models.spectrum import choose_penalty
from oncotrain.tasks.drug_response.ridge.sums import groups
from oncotrain.tasks.task import Sums


@dataclass(frozen=True)
class RidgeSolution:
    """`weights` (k, targets) on the agreed axes, `intercept`, `penalty`, `rows` (targets,), float64."""

    weights: np.ndarray
    intercept: np.ndarray
    penalty: np.ndarray
    rows: np.ndarray


def solve_ridge(parts: Sequence[Sums], fallback: np.ndarray, fewest: int) -> RidgeSolution:
    """Ridge of each target, its penalty by GCV; the `fallback` (targets,) of a target with fewer than `fewest` rows.

    The rows are those of the patterns that sites sent; of these it is exact.
    """
    width, targets = parts[0]["cross"].shape
    weights, intercept = np.zeros((width, targets)), fallback.astype(np.float64)
    penalty, rows = np.full(targets, np.nan), np.zeros(targets)
    cross, total, squares = (np.sum([part[name] for part in parts], axis=0) for name in ("cross", "total", "squares"))
    triangle = np.triu_indices(width)
    for members in groups(list(parts)):
        count, first, packed = 0.0, np.zeros(width), np.zeros(len(triangle[0]))
        for part in parts:
            number = int(part["pattern"][members[0]])
            if number >= 0:
                count += float(part["count"][number])
                first, packed = first + part["first"][number], packed + part["second"][number]
        rows[members] = count
        if count < max(fewest, 1):
            continue
        gram = np.zeros((width, width))
        gram[triangle] = packed
        gram = gram + np.triu(gram, 1).T - np.outer(first, first) / count
        values, vectors = np.linalg.eigh(gram)
        values, mean = np.maximum(values, 0), total[members] / count
        projected = vectors.T @ (cross[:, members] - np.outer(first, mean))
        variation = np.maximum(squares[members] - count * mean**2, 0)
        chosen = choose_penalty(values, projected, variation, int(count)).penalty
        weights[:, members] = vectors @ (projected / (values[:, None] + chosen))
        penalty[members], intercept[members] = chosen, mean - first / count @ weights[:, members]
    return RidgeSolution(weights, intercept, penalty, rows)
