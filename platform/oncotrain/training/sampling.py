"""Which rows make which batch: pure functions of (seed, epoch, row groups, selected rows).

The order of an epoch does not know how many ranks share it: every world size sees the same global batches, and a rank
takes its slice of each. Row groups are shuffled, and rows are permuted within a few consecutive shuffled groups, so
that a reader that keeps those few in memory reads each group once an epoch.

Private training samples patients instead, each on its own, from a seed that nobody else may know: that it is uncertain
who took part is a part of the protection.
"""

from collections.abc import Sequence

import numpy as np

_ORDER, _AUGMENT, _POISSON, _NOISE, _DROPOUT = 0, 1, 2, 3, 4


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


def poisson_sample(secret: int, step: int, patients: int, rate: float) -> np.ndarray:
    """Who takes part in `step`: positions (n,) int64 below `patients`, each in with probability `rate`, ascending.

    Steps are independent of each other, and so are patients: the sampling that the accounting of DP-SGD presumes
    (Mironov, Talwar and Zhang 2019, arXiv:1908.10530). n varies and may be 0.
    """
    return np.flatnonzero(np.random.default_rng((_POISSON, secret, step)).random(patients) < rate)


def sample_rate(patients: int, batch_size: int) -> float:
    """The probability with which each of `patients` takes part, so that `batch_size` are expected."""
    return min(1.0, batch_size / patients)


def rows_of_patients(rows: np.ndarray, patients: Sequence[str]) -> list[np.ndarray]:
    """The row numbers of each patient, in the patients' sorted order.

    Args:
        rows: Row numbers (n,) int64.
        patients: The patient of each of them.
    """
    _, position = np.unique(np.asarray(patients), return_inverse=True)
    order = np.argsort(position, kind="stable")
    return np.split(rows[order], np.cumsum(np.bincount(position))[:-1])


def noise_rng(secret: int, step: int) -> np.random.Generator:
    """The generator of the noise that `step` adds; what the other functions draw from `secret` is independent of it."""
    return np.random.default_rng((_NOISE, secret, step))


def dropout_seed(secret: int, step: int, position: int) -> int:
    """The seed of dropout for the patient at this position of the step's sample."""
    return int(np.random.SeedSequence((_DROPOUT, secret, step, position)).generate_state(1)[0])
