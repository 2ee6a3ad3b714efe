"""Genes as normal scores: a value becomes the standard normal's quantile at its rank among all training rows.

Ranks follow from histograms over bins that are the same everywhere. They add up over sites exactly and hold no row's
value, as do quantile sketches that keep some of what they saw. Ranks are exact at the bins' edges, `WIDTH` of a
standard deviation apart, and linear between them: off by less than a bin's share of the rows. A value beyond `LIMIT`
deviations has the edge's. Where a floor of patients is asked for, a site's part is too low by fewer rows than that.
"""

import numpy as np
from scipy.special import ndtri

LIMIT = 4.0
BINS = 129
"""Odd, so that the mean is in the middle of a bin: a constant gene has the score 0."""
WIDTH = 2 * LIMIT / BINS


def histogram(genes: np.ndarray) -> np.ndarray:
    """Counts (genes, BINS + 2) float64 of standardized `genes` (rows, genes); first and last are what lies beyond."""
    cells, columns = BINS + 2, genes.shape[1]
    place = np.clip(np.floor((genes + LIMIT) / WIDTH), -1, BINS).astype(np.int64) + 1
    counts = np.bincount((place + cells * np.arange(columns)).ravel(), minlength=columns * cells)
    return counts.reshape(columns, cells).astype(np.float64)


def withhold(counts: np.ndarray, enough: int) -> np.ndarray:
    """Counts (genes, cells) of which none is of fewer than `enough` rows: such move up to the cell that makes enough.

    The last few join the last cell that is told; a gene with fewer rows than enough tells nothing.
    """
    told = np.zeros_like(counts)
    pending = np.zeros(len(counts))
    for cell, count in enumerate(counts.T):
        pending += count
        full = pending >= enough
        told[:, cell] = np.where(full, pending, 0)
        pending[full] = 0
    last = told.shape[1] - 1 - np.argmax(told[:, ::-1] > 0, axis=1)
    told[np.arange(len(told)), last] += np.where(told.any(axis=1), pending, 0)
    return told


def score_table(counts: np.ndarray) -> np.ndarray:
    """Normal scores (genes, BINS + 1) float32 at the bins' edges, of counts (genes, BINS + 2) of all rows."""
    below, rows = counts[:, :-1].cumsum(axis=1), counts.sum(axis=1, keepdims=True)
    scores: np.ndarray = ndtri((below + 0.5) / (rows + 1)).astype(np.float32)
    return scores


def normal_scores(genes: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Scores (rows, genes) float32 of standardized `genes` (rows, genes) by the table of `score_table`."""
    place = (np.clip(genes, -LIMIT, LIMIT) + np.float32(LIMIT)) / np.float32(WIDTH)
    edge = np.minimum(place.astype(np.int64), BINS - 1)
    low = edge + table.shape[1] * np.arange(len(table))
    scores = table.ravel()
    made: np.ndarray = scores[low] + (place - edge).astype(np.float32) * (scores[low + 1] - scores[low])
    return made
