"""Gradient-boosted trees for every drug: LightGBM by its scikit-learn interface."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from lightgbm import LGBMRegressor
from pydantic import Field

from oncotrain.config import Frozen
from oncotrain.tasks.drug_response.inputs import input_matrix
from oncotrain.tasks.drug_response.models.components import principal_components
from oncotrain.tasks.drug_response.models.model import Predictor
from oncotrain.tasks.drug_response.response import response_matrix
from oncotrain.tasks.task import Plan, Row


class Boosting(Frozen):
    """Trees over principal components and the clinical columns as they are."""

    model: Literal["boosting"] = "boosting"
    components: int = Field(default=64, ge=1)
    trees: int = Field(default=150, ge=1)
    learning_rate: float = Field(default=0.05, gt=0)
    leaves: int = Field(default=7, ge=2)
    column_share: float = Field(default=0.3, gt=0, le=1)
    """Of the columns, drawn anew for each tree."""
    fewest: int = Field(default=15, ge=1)
    """Samples in a leaf; a drug with fewer than twice as many gets its mean."""
    threads: int = Field(default=1, ge=1)
    seed: int = 0

    def fit(self, plan: Plan, rows: Sequence[Row]) -> Predictor:
        inputs, response = input_matrix(rows, plan).astype(np.float64), response_matrix(rows, len(plan["drugs"]))
        project, genes = principal_components(inputs, self.components), len(plan["genes"])

        def columns(inputs: np.ndarray) -> np.ndarray:
            return np.hstack([project(inputs), inputs[:, genes:]])

        made = columns(inputs)
        trees: dict[int, LGBMRegressor] = {}
        for drug, values in enumerate(response.T):
            seen = ~np.isnan(values)
            if seen.sum() >= 2 * self.fewest:
                trees[drug] = self._trees().fit(made[seen], values[seen])

        def predict(rows: Sequence[Row]) -> np.ndarray:
            made = columns(input_matrix(rows, plan).astype(np.float64))
            predicted = np.tile(np.array(plan["drug_mean"]), (len(rows), 1))
            for drug, fitted in trees.items():
                predicted[:, drug] = fitted.predict(made)
            return predicted

        return predict

    def _trees(self) -> LGBMRegressor:
        return LGBMRegressor(
            n_estimators=self.trees,
            learning_rate=self.learning_rate,
            num_leaves=self.leaves,
            colsample_bytree=self.column_share,
            min_child_samples=self.fewest,
            reg_lambda=1.0,
            subsample=0.8,
            subsample_freq=1,
            n_jobs=self.threads,
            random_state=self.seed,
            verbosity=-1,
        )
