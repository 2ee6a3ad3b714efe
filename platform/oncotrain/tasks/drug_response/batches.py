"""Genes of a batch, such as a site or a cohort, on a scale that batches share: by its own moments, or by ComBat's.

ComBat is Johnson, Li and Rabinovic 2007, Adjusting batch effects in microarray expression data using empirical Bayes
methods, Biostatistics 8:118, parametric and without covariates. Of a batch's rows both need the number, the sum and
the sum of squares alone, and these add up over sites.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

Method = Literal["standardize", "combat"]
FEWEST: dict[Method, int] = {"standardize": 10, "combat": 2}
"""Rows below which a batch has no scale of its own: ComBat draws what few rows say to what all genes of them say."""
_CONSTANT = 1e-6
"""A standard deviation below this share of the root mean square is rounding of a constant."""
_ROUNDS = 1000
_CONVERGED = 1e-10


class Moments(NamedTuple):
    """Of rows of one batch, by column (columns,) float64: how many values there are, their sum and sum of squares."""

    n: np.ndarray
    total: np.ndarray
    squares: np.ndarray


class Scale(NamedTuple):
    """Where a column's values lie in a batch, (columns,) float64 each: inputs are (value - centre) / spread."""

    centre: np.ndarray
    spread: np.ndarray


def moments_of(values: np.ndarray) -> Moments:
    """Of `values` (rows, columns), NaN where missing."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0).astype(np.float64)
    return Moments(known.sum(axis=0).astype(np.float64), filled.sum(axis=0), (filled**2).sum(axis=0))


def pooled(batches: Sequence[Moments]) -> Moments:
    """Of the rows of all these batches."""
    return Moments(*(np.sum(part, axis=0) for part in zip(*batches, strict=True)))


def scale_of(moments: Moments) -> Scale:
    """Mean and (population) standard deviation; 0 and 1 of nothing, and the spread of a constant is 1."""
    count = np.maximum(moments.n, 1)
    mean, square = moments.total / count, moments.squares / count
    return Scale(mean, _root(square - mean**2, square))


def overall_scale(batches: Sequence[Moments], method: Method, genes: int) -> Scale:
    """The scale of all rows; for ComBat the spread of the first `genes` columns is around each batch's own mean."""
    every_row = pooled(batches)
    scale = scale_of(every_row)
    if method == "standardize":
        return scale
    around = np.sum([batch.squares - batch.total**2 / np.maximum(batch.n, 1) for batch in batches], axis=0)
    count = np.maximum(every_row.n, 1)
    within = _root(around / count, every_row.squares / count)
    return Scale(scale.centre, np.concatenate([within[:genes], scale.spread[genes:]]))


def own_scale(batch: Moments, overall: Scale) -> Scale:
    """The scale of a batch by itself; of a column with too few values `overall`, which is that of all rows."""
    return _where(batch.n < FEWEST["standardize"], overall, scale_of(batch))


def batch_scale(batch: Moments, overall: Scale, method: Method, genes: int) -> Scale:
    """The scale of a batch by `method`; of a column with too few values `overall`, which is that of all rows.

    Columns after the first `genes` have nothing in common that ComBat could draw them to: they are standardized.
    """
    own = own_scale(batch, overall)
    if method == "standardize":
        return own
    of_genes, common = Moments(*(part[:genes] for part in batch)), Scale(*(part[:genes] for part in overall))
    posterior = _where(of_genes.n < FEWEST["combat"], common, _combat(of_genes, common))
    return Scale(*(np.concatenate([new, old[genes:]]) for new, old in zip(posterior, own, strict=True)))


def _combat(batch: Moments, overall: Scale) -> Scale:
    """The posterior location and scale of a batch, in the units of `overall`.

    Names are the paper's: gamma and delta2 of each gene are drawn to what the batch's genes have in common, a normal
    distribution of mean gamma_bar and variance tau2, and an inverse gamma one of mean m and variance s2. A gene that is
    constant in the batch keeps its own location.
    """
    n = np.maximum(batch.n, 2)
    mean, around_mean = batch.total / n, np.maximum(batch.squares - batch.total**2 / n, 0)
    gamma_hat, delta2_hat = (mean - overall.centre) / overall.spread, around_mean / (n - 1) / overall.spread**2
    varies = around_mean > _CONSTANT**2 * batch.squares
    if varies.sum() < 2:
        return Scale(mean, overall.spread)
    gamma_bar, tau2 = gamma_hat[varies].mean(), gamma_hat[varies].var(ddof=1)
    m, s2 = delta2_hat[varies].mean(), delta2_hat[varies].var(ddof=1)
    gamma, delta2 = gamma_hat, np.where(varies, delta2_hat, m)
    for _ in range(_ROUNDS):
        before = gamma, delta2
        gamma = (tau2 * n * gamma_hat + delta2 * gamma_bar) / (tau2 * n + delta2)
        around = (n - 1) * delta2_hat + n * (gamma_hat - gamma) ** 2
        # (theta + around / 2) / (n / 2 + lambda - 1), both times s2, which is 0 where all genes vary alike.
        delta2 = (m * s2 + m**3 + around * s2 / 2) / ((n / 2 + 1) * s2 + m**2)
        if np.allclose((gamma, delta2), before, rtol=_CONVERGED, atol=_CONVERGED):
            break
    gamma, delta2 = np.where(varies, gamma, gamma_hat), np.where(varies, delta2, 1)
    return Scale(overall.centre + overall.spread * gamma, overall.spread * np.sqrt(delta2))


def _where(condition: np.ndarray, one: Scale, other: Scale) -> Scale:
    return Scale(*(np.where(condition, mine, theirs) for mine, theirs in zip(one, other, strict=True)))


def _root(variance: np.ndarray, square: np.ndarray) -> np.ndarray:
    """The standard deviation, 1 for a constant whose mean square is `square`."""
    rooted: np.ndarray = np.sqrt(np.where(variance <= _CONSTANT**2 * square, 1, variance))
    return rooted
