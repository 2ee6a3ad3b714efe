"""Which rows make which batch: pure functions of (seed, epoch, row groups, selected rows).

The order of an epoch does not know how many ranks share it: every world size sees the same global batches, and a rank
takes its slice of each. Row groups are shuffled, and rows are permuted within a few consecutive shuffled groups, so
that a reader that keeps those few in memory reads each group once an epoch.
"""

from collections.abc import Sequence

import numpy as np

_ORDER, _AUGMENT = 0, 1


def epoch_order(
    seed: int, epoch: int, group_sizes: Sequence[int], rows: np.ndarray, shuffle_groups: int = 1
) -> np.ndarray:
    """The order in which `epoch` visits the selected rows.

    Args:
        group_sizes: Rows per row group, in storage order.
        rows: Distinct row numbers (n,) int64, the selection; any order.
        shuffle_groups: Row groups whose rows are mixed with each other.

    Returns:
        (n,) int64, a permutation of `rows`.
    """
    rng = np.random.default_rng((_ORDER, seed, epoch))
    selected = np.sort(np.asarray(rows, dtype=np.int64))
    group_of_row = np.searchsorted(np.cumsum(group_sizes), selected, side="right")
    rank_of_group = rng.permutation(len(group_sizes))
    window = rank_of_group[group_of_row] // shuffle_groups
    return selected[np.lexsort((rng.random(len(selected)), window))]


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Batches an epoch of `rows` rows has; the last one may be short."""
    return -(-rows // batch_size)


def rows_seen(steps: int, rows: int, batch_size: int) -> int:
    """Rows that the first `steps` steps were computed on, over all ranks."""
    epochs, rest = divmod(steps, steps_per_epoch(rows, batch_size))
    return epochs * rows + rest * batch_size


def rank_slice(batch: np.ndarray, rank: int, world: int) -> np.ndarray:
    """What `rank` takes of a global batch: consecutive, sizes differing by at most 1, empty where rows run out."""
    return np.array_split(batch, world)[rank]


def row_rng(seed: int, epoch: int, row: int) -> np.random.Generator:
    """The generator that augments `row` in `epoch`, whichever rank reads it."""
    return np.random.default_rng((_AUGMENT, seed, epoch, row))
