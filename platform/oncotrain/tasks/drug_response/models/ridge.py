"""Ridge regression of every drug on all inputs, its penalty chosen by generalized cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from oncotrain.config import Frozen
from oncotrain.tasks.drug_response.inputs import input_matrix
from oncotrain.tasks.drug_response.models.model import Predictor
from oncotrain.tasks.drug_response.models.patterns import missingness_patterns
from oncotrain.tasks.drug_response.models.spectrum import choose_penalty
from oncotrain.tasks.drug_response.response import response_matrix
from oncotrain.tasks.task import Plan, Row

FEWEST = 5
"""Samples with which a drug gets a regression of its own; below, its mean."""


@dataclass(frozen=True)
class Linear:
    """Responses as linear functions of inputs: `weights` (inputs, drugs), `intercept` (drugs,), float64."""

    weights: np.ndarray
    intercept: np.ndarray

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Responses (rows, drugs) of inputs (rows, inputs)."""
        return inputs @ self.weights + self.intercept


class Ridge(Frozen):
    """Each drug on the samples it was tested on, the intercept not penalized."""

    model: Literal["ridge"] = "ridge"

    def fit(self, plan: Plan, rows: Sequence[Row]) -> Predictor:
        inputs = input_matrix(rows, plan).astype(np.float64)
        linear = fit_ridge(inputs, response_matrix(rows, len(plan["drugs"])), np.array(plan["drug_mean"]))
        return lambda rows: linear(input_matrix(rows, plan).astype(np.float64))


def fit_ridge(inputs: np.ndarray, response: np.ndarray, fallback: np.ndarray) -> Linear:
    """Ridge of each column of `response` (rows, drugs; NaN where missing) on `inputs` (rows, inputs), float64.

    Computed in the space of samples, which are fewer than the inputs, once for each missingness pattern.

    Args:
        fallback: Responses (drugs,) of drugs with fewer than `FEWEST` samples.
    """
    weights, intercept = np.zeros((inputs.shape[1], response.shape[1])), fallback.astype(np.float64)
    gram = inputs @ inputs.T
    for rows, drugs in missingness_patterns(response):
        if len(rows) < FEWEST:
            continue
        centre, true = inputs[rows].mean(axis=0), response[np.ix_(rows, drugs)]
        mean = true.mean(axis=0)
        part = gram[np.ix_(rows, rows)]
        part = part - part.mean(axis=0) - part.mean(axis=1)[:, None] + part.mean()
        values, vectors = np.linalg.eigh(part)
        values = np.maximum(values, 0)
        along = vectors.T @ (true - mean)
        variation = ((true - mean) ** 2).sum(axis=0)
        penalty = choose_penalty(values, np.sqrt(values)[:, None] * along, variation, len(rows)).penalty
        dual = vectors @ (along / (values[:, None] + penalty))
        weights[:, drugs] = (inputs[rows] - centre).T @ dual
        intercept[drugs] = mean - centre @ weights[:, drugs]
    return Linear(weights, intercept)
