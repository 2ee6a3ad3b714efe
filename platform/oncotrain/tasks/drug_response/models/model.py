"""The interface of models that are fitted in one go, and what they share with the network: plan, rows, metrics."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from oncotrain.tasks.drug_response.metrics import merge_sums, pair_sums
from oncotrain.tasks.drug_response.response import response_matrix
from oncotrain.tasks.task import Plan, Row, Sums

Predictor = Callable[[Sequence[Row]], np.ndarray]
"""Adapted rows -> predicted responses (rows, drugs) float64, in the plan's drug order and the response's unit."""


class Model(Protocol):
    """A frozen configuration that fits a predictor to rows, choosing what it must choose on these rows alone."""

    def fit(self, plan: Plan, rows: Sequence[Row]) -> Predictor:
        """`plan` was made from the same training rows."""


def score(predictor: Predictor, plan: Plan, rows: Sequence[Row]) -> dict[str, Sums]:
    """Sums per patient over adapted test rows, as a run of the network saves them."""
    truth, predicted = response_matrix(rows, len(plan["drugs"])), predictor(rows)
    parts: dict[str, list[Sums]] = {}
    for row, true, guess in zip(rows, truth, predicted, strict=True):
        parts.setdefault(row["patient"], []).append(pair_sums(true, guess))
    return {patient: merge_sums(sums) for patient, sums in parts.items()}
