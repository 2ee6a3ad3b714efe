"""Values brought to one scale batch by batch: a cohort or site against its own mean and spread."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

FEWEST = 10
"""Rows below which a batch has no moments of its own and takes those of all."""
_CONSTANT = 1e-6


class Moments(NamedTuple):
    """`mean` and `std` (columns,), float64."""

    mean: np.ndarray
    std: np.ndarray


def moments(values: np.ndarray) -> Moments:
    """Of `values` (rows, columns), NaN where missing; 0 and 1 of a column without a value, 1 for a constant one."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0).sum(axis=0) / count
    std = np.sqrt((np.where(known, values - mean, 0) ** 2).sum(axis=0) / count)
    return Moments(mean, np.where(std > _CONSTANT, std, 1))


def batch_moments(values: np.ndarray, batches: np.ndarray) -> dict[str, Moments]:
    """Moments of each batch of rows by their label in `batches` (rows,); '' holds those of all rows."""
    parts = {str(label): batches == label for label in np.unique(batches)}
    large = {label: moments(values[mask]) for label, mask in parts.items() if mask.sum() >= FEWEST}
    return {**large, "": moments(values)}


def standardized(values: np.ndarray, batches: np.ndarray, known: Mapping[str, Moments]) -> np.ndarray:
    """`values` (rows, columns), each row by the moments of its batch; 0 where a value is missing.

    A batch that is not `known` is standardized by its own rows among these, whose responses are not looked at.
    """
    table = {**batch_moments(values, batches), **known}
    chosen = [table.get(str(label), known[""]) for label in batches]
    centred = values - np.stack([found.mean for found in chosen])
    scaled: np.ndarray = np.nan_to_num(centred / np.stack([found.std for found in chosen]))
    return scaled
