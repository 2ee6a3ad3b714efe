"""Elastic net of every drug on principal components, its penalty by cross-validation."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field
from sklearn.linear_model import ElasticNetCV

from oncotrain.config import Frozen
from oncotrain.tasks.drug_response.inputs import input_matrix
from oncotrain.tasks.drug_response.models.components import principal_components
from oncotrain.tasks.drug_response.models.model import Predictor
from oncotrain.tasks.drug_response.models.ridge import FEWEST, Linear
from oncotrain.tasks.drug_response.response import response_matrix
from oncotrain.tasks.task import Plan, Row


class ElasticNet(Frozen):
    """scikit-learn's coordinate descent, a drug at a time, on components of equal variance."""

    model: Literal["elastic net"] = "elastic net"
    components: int = Field(default=128, ge=1)
    l1_ratio: float = Field(default=0.1, gt=0, le=1)
    folds: int = Field(default=5, ge=2)

    def fit(self, plan: Plan, rows: Sequence[Row]) -> Predictor:
        inputs, response = input_matrix(rows, plan).astype(np.float64), response_matrix(rows, len(plan["drugs"]))
        project = principal_components(inputs, self.components)
        made = project(inputs)
        scale = made.std()  # one for all: components keep their weights, as in a ridge
        weights, intercept = np.zeros((made.shape[1], len(plan["drugs"]))), np.array(plan["drug_mean"])
        for drug, values in enumerate(response.T):
            seen = ~np.isnan(values)
            if seen.sum() < max(FEWEST, self.folds):
                continue
            found = ElasticNetCV(l1_ratio=self.l1_ratio, cv=self.folds, alphas=20).fit(made[seen] / scale, values[seen])
            weights[:, drug], intercept[drug] = found.coef_ / scale, found.intercept_
        linear = Linear(weights, intercept)
        return lambda rows: linear(project(input_matrix(rows, plan).astype(np.float64)))
