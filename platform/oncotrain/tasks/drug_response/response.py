"""Observed responses of rows as a matrix."""

from collections.abc import Sequence

import numpy as np

from oncotrain.tasks.task import Row


def response_matrix(rows: Sequence[Row], drugs: int) -> np.ndarray:
    """Responses (rows, drugs) float64 of adapted rows, NaN where none was observed."""
    matrix = np.full((len(rows), drugs), np.nan)
    for values, row in zip(matrix, rows, strict=True):
        values[row["drug"]] = row["response"]
    return matrix


def judged(drugs: Sequence[str], auxiliary: Sequence[str]) -> np.ndarray:
    """Bool (drugs,): those that are no auxiliary responses of these labels, named `drug [label]`."""
    return np.array([not drug.endswith(tuple(f" [{label}]" for label in auxiliary)) for drug in drugs], bool)
