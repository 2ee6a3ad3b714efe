"""Ridge regression in the eigenbasis of the inputs' scatter, with the penalty that GCV prefers, from sums alone."""

from typing import NamedTuple

import numpy as np

PENALTIES = np.logspace(-2.5, 1.5, 17)
"""Candidates, as shares of the scatter's trace: the trace is what all inputs together vary."""


class Choice(NamedTuple):
    """For each response: `penalty` (m,), and `gcv` (m,), the criterion that it minimizes."""

    penalty: np.ndarray
    gcv: np.ndarray


def choose_penalty(values: np.ndarray, projected: np.ndarray, variation: np.ndarray, count: int) -> Choice:
    """The penalty of each response by generalized cross-validation (Golub, Heath and Wahba 1979, Technometrics 21:215).

    Args:
        values: Eigenvalues (k,) of the centred inputs' scatter, not negative.
        projected: Scatter of inputs with responses in the eigenbasis (k, m).
        variation: Centred sums of squares of the responses (m,).
        count: Rows; the mean takes one degree of freedom.
    """
    best = np.zeros(len(variation))
    lowest = np.full(len(variation), np.inf)
    squares = projected**2
    for penalty in PENALTIES * max(values.sum() / max(count, 1), np.finfo(float).tiny):
        inverse = 1 / (values + penalty)
        explained = ((2 * inverse - values * inverse**2)[:, None] * squares).sum(axis=0)
        freedom = 1 + (values * inverse).sum()
        residual = np.maximum(variation - explained, 0)
        gcv = count * residual / max(count - freedom, 1e-9) ** 2
        better = gcv < lowest
        best[better], lowest[better] = penalty, gcv[better]
    return Choice(best, lowest)
