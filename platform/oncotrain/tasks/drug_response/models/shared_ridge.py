"""Ridge regression of all responses together: each direction in which responses vary gets a penalty of its own.

Directions that many drugs share (general sensitivity, a pathway) are predictable and are shrunk little, those of single
drugs much. That is a Gaussian process whose covariance is a product of samples' and drugs' (Bonilla, Chai and Williams
2007, NIPS 20:153), solved in the drugs' eigenbasis; auxiliary responses help to find the directions.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from oncotrain.config import Frozen
from oncotrain.tasks.drug_response.inputs import input_matrix
from oncotrain.tasks.drug_response.models.model import Predictor
from oncotrain.tasks.drug_response.models.ridge import Linear
from oncotrain.tasks.drug_response.models.spectrum import choose_penalty
from oncotrain.tasks.drug_response.response import response_matrix
from oncotrain.tasks.task import Plan, Row


class SharedRidge(Frozen):
    """Responses that were not observed are filled by a ridge of one penalty, again and again until they agree."""

    model: Literal["shared ridge"] = "shared ridge"
    fill_penalty: float = Field(default=1.5, gt=0)
    """Of the filling, as a share of the mean squared length of an input row."""
    rounds: int = Field(default=30, ge=1)

    def fit(self, plan: Plan, rows: Sequence[Row]) -> Predictor:
        inputs = input_matrix(rows, plan).astype(np.float64)
        response = (response_matrix(rows, len(plan["drugs"])) - plan["drug_mean"]) / plan["drug_std"]
        linear = self.solve(inputs, response)

        def predict(rows: Sequence[Row]) -> np.ndarray:
            standardized = linear(input_matrix(rows, plan).astype(np.float64))
            return np.array(plan["drug_mean"]) + standardized * np.array(plan["drug_std"])

        return predict

    def solve(self, inputs: np.ndarray, response: np.ndarray) -> Linear:
        """Of standardized responses (rows, drugs), NaN where missing, on inputs (rows, inputs), float64."""
        centre = inputs.mean(axis=0)
        centred = inputs - centre
        values, vectors = np.linalg.eigh(centred @ centred.T)
        values = np.maximum(values, 0)
        shrink = values / (values + self.fill_penalty * values.sum() / len(inputs))
        missing, filled = np.isnan(response), np.nan_to_num(response)
        mean = filled.mean(axis=0)
        for _ in range(self.rounds):
            mean = filled.mean(axis=0)
            fitted = mean + vectors @ (shrink[:, None] * (vectors.T @ (filled - mean)))
            filled = np.where(missing, fitted, filled)
        left, lengths, directions = np.linalg.svd(filled - mean, full_matrices=False)
        scores = left * lengths
        along = vectors.T @ scores
        projected = np.sqrt(values)[:, None] * along
        penalty = choose_penalty(values, projected, (scores**2).sum(axis=0), len(inputs)).penalty
        weights = centred.T @ (vectors @ (along / (values[:, None] + penalty))) @ directions
        return Linear(weights, mean - centre @ weights)
