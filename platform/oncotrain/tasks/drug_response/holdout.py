"""Held-out pairs and held-out drugs: folds of what was observed, where a split holds out patients.

A fold is a pure function of names and seed, so every site derives it alone and it never changes.
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from oncotrain.tasks.task import Row

Keep = Callable[[Row], np.ndarray]
"""Which of a row's responses (bool) belong to a side."""


def drug_folds(drugs: Sequence[str], k: int, seed: int) -> np.ndarray:
    """The fold (0 to k - 1, int64) of each drug: of sizes that differ by one at most."""
    order = sorted(range(len(drugs)), key=lambda at: _digest(f"{seed}:{drugs[at]}"))
    folds = np.empty(len(drugs), np.int64)
    folds[order] = np.arange(len(drugs)) % k
    return folds


def in_drug_fold(folds: np.ndarray, fold: int) -> Keep:
    """The responses to drugs of the fold."""
    return lambda row: folds[row["drug"]] == fold


def in_pair_fold(drugs: Sequence[str], k: int, seed: int, fold: int) -> Keep:
    """The responses whose (patient, drug) falls into the fold: all replicates of a pair are on one side."""

    def keep(row: Row) -> np.ndarray:
        keys = (f"{seed}:{row['patient']}:{drugs[drug]}" for drug in row["drug"])
        return np.array([int.from_bytes(_digest(key)[:8]) % k == fold for key in keys], bool)

    return keep


def only(rows: Sequence[Row], keep: Keep, *, inside: bool) -> list[Row]:
    """Rows with those responses that are `inside` what `keep` says, or outside; rows left without one are dropped."""
    kept: list[Row] = []
    for row in rows:
        chosen = keep(row) == inside
        if chosen.any():
            kept.append({**row, "drug": row["drug"][chosen], "response": row["response"][chosen]})
    return kept


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
