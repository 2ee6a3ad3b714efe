"""Round 2 of the exact ridge: what a site says of its projected inputs and targets.

Targets are observed on different rows, and rows that lack a target have no part in its regression: so there is one Gram
matrix for each missingness pattern, shared by the targets of that pattern. Patterns of one site may differ by few rows,
of which the difference of two Gram matrices then tells: `closest` says by how few.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from oncotrain.tasks.task import Sums


def gram_sums(coordinates: np.ndarray, targets: np.ndarray, patients: Sequence[str], floor: int) -> Sums:
    """What a site sends, float64; of a pattern with rows of fewer than `floor` patients nothing.

    Args:
        coordinates: (rows, k), centred by the agreed centre.
        targets: (rows, targets), NaN where not observed.
        patients: Of each row.
        floor: Fewest patients over whom a sum may leave the site.

    Returns:
        `pattern` (targets,): the number of the target's pattern, -1 where patients are too few; `count` (patterns,),
        `first` (patterns, k), `second` (patterns, k (k + 1) / 2): moments of the pattern's coordinates, the second
        ones as the upper triangle; `cross` (k, targets), `total`, `squares` (targets,): sums with and of the targets.
    """
    observed = ~np.isnan(targets)
    masks, pattern = np.unique(observed, axis=1, return_inverse=True)
    people = np.unique(patients, return_inverse=True)[1]
    large = np.array([len(np.unique(people[mask])) >= max(floor, 1) for mask in masks.T])
    number = np.where(large, np.cumsum(large) - 1, -1)[pattern]
    triangle = np.triu_indices(coordinates.shape[1])
    kept = [coordinates[mask] for mask in masks.T[large]]
    known = np.where(observed & (number >= 0), targets, 0)
    width = coordinates.shape[1]
    return {
        "pattern": number.astype(np.float64),
        "count": np.array([float(len(rows)) for rows in kept]),
        "first": np.array([rows.sum(axis=0) for rows in kept]).reshape(-1, width),
        "second": np.array([(rows.T @ rows)[triangle] for rows in kept]).reshape(-1, len(triangle[0])),
        "cross": coordinates.T @ known,
        "total": known.sum(axis=0),
        "squares": (known**2).sum(axis=0),
    }


def closest(targets: np.ndarray) -> int:
    """Fewest rows by which two of the patterns differ; 0 where there is but one pattern."""
    masks = np.unique(~np.isnan(targets), axis=1).T.astype(np.float32)
    if len(masks) < 2:
        return 0
    sizes = masks.sum(axis=1)
    apart = sizes[:, None] + sizes - 2 * masks @ masks.T
    return int(apart[~np.eye(len(masks), dtype=bool)].min())


def size(sums: Sums) -> int:
    """Bytes of the arrays."""
    return sum(array.nbytes for array in sums.values())


def groups(parts: list[Sums]) -> list[np.ndarray]:
    """Targets that share their pattern at every site, as arrays of positions."""
    numbers = np.stack([part["pattern"] for part in parts])
    order = np.lexsort(numbers)
    sorted_numbers = numbers[:, order]
    starts = [0, *(np.flatnonzero((sorted_numbers[:, 1:] != sorted_numbers[:, :-1]).any(axis=0)) + 1), len(order)]
    return [order[first:stop] for first, stop in pairwise(starts)]
