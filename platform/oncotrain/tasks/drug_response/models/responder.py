"""Who responds: a penalized logistic regression on gene-set scores and clinical columns."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from oncotrain.config import Frozen
from oncotrain.tasks.drug_response import clinical
from oncotrain.tasks.drug_response.inputs import value_matrix
from oncotrain.tasks.drug_response.models.model import Predictor
from oncotrain.tasks.drug_response.models.within_batches import batch_scales, standardized
from oncotrain.tasks.drug_response.response import response_matrix
from oncotrain.tasks.task import Plan, Row

Positive = Annotated[float, Field(gt=0)]


class Responder(Frozen):
    """Predicts the probability of a binary response, 1 being response; penalty and weight by folds of training rows."""

    model: Literal["responder"] = "responder"
    batch: Literal["cohort", "site"] | None = "cohort"
    """Scores and clinical numbers are standardized within each, which also counts its mutations in its own way; None:
    over all training rows. Penalty and weight are chosen by the mean AUROC within batches, whole ones left out if there
    are enough: a batch that is yet to come asks who responds within it, not which batch responds."""
    penalties: tuple[Positive, ...] = (0.001, 0.003, 0.01, 0.03)
    """Candidates for the inverse strength C."""
    weights: tuple[Positive, ...] = (0.3, 1.0, 3.0)
    """Candidates for the factor on clinical columns."""
    scores: bool = True
    """Without, clinical columns alone: what scores must beat."""
    folds: int = Field(default=5, ge=2)
    seed: int = 0

    def fit(self, plan: Plan, rows: Sequence[Row]) -> Predictor:
        known = batch_scales(value_matrix(rows, plan["clinical"]), self._batches(rows))

        def design(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
            values = standardized(value_matrix(rows, plan["clinical"]), self._batches(rows), known)
            scores, numbers = np.split(values, [len(plan["genes"])], axis=1)
            columns = clinical.encode(rows, plan["clinical"], numbers).astype(np.float64)
            return np.nan_to_num(scores[:, : None if self.scores else 0]), columns

        scores, columns = design(rows)
        groups = np.array([row[self.batch or "patient"] for row in rows])
        response = response_matrix(rows, len(plan["drugs"]))
        fitted = [self._fit_one(scores, columns, values, groups) for values in response.T]

        def predict(rows: Sequence[Row]) -> np.ndarray:
            scores, columns = design(rows)
            made = []
            for found, mean in zip(fitted, plan["drug_mean"], strict=True):
                if found is None:
                    made.append(np.full(len(rows), mean))
                else:
                    made.append(found[0].predict_proba(np.hstack([scores, found[1] * columns]))[:, 1])
            return np.stack(made, axis=1)

        return predict

    def _batches(self, rows: Sequence[Row]) -> np.ndarray:
        return np.array([row[self.batch] if self.batch else "" for row in rows])

    def _fit_one(
        self, scores: np.ndarray, columns: np.ndarray, values: np.ndarray, groups: np.ndarray
    ) -> tuple[LogisticRegression, float] | None:
        """The regression of one response and its weight on clinical columns; None where a class has too few rows."""
        seen = ~np.isnan(values)
        truth = values[seen].astype(int)
        if min(np.bincount(truth, minlength=2)) < self.folds:
            return None
        whole = len(np.unique(groups[seen])) >= self.folds
        splitter = (StratifiedGroupKFold if whole else StratifiedKFold)(
            self.folds, shuffle=True, random_state=self.seed
        )
        folds = list(splitter.split(truth, truth, groups[seen] if whole else None))
        best = max(
            ((weight, penalty) for weight in self.weights for penalty in self.penalties),
            key=lambda pair: left_out_auroc(
                np.hstack([scores, pair[0] * columns])[seen], truth, pair[1], folds, groups[seen]
            ),
        )
        inputs = np.hstack([scores, best[0] * columns])[seen]
        return LogisticRegression(C=best[1], max_iter=1000).fit(inputs, truth), best[0]


def left_out_auroc(
    inputs: np.ndarray,
    truth: np.ndarray,
    penalty: float,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    groups: np.ndarray,
) -> float:
    """Mean AUROC within groups of the folds' rows, each predicted where it was left out; of all rows where no group has
    both classes."""
    predicted = np.empty(len(truth))
    for train, test in folds:
        model = LogisticRegression(C=penalty, max_iter=1000).fit(inputs[train], truth[train])
        predicted[test] = model.predict_proba(inputs[test])[:, 1]
    within = [
        roc_auc_score(truth[mask], predicted[mask])
        for mask in (groups == group for group in np.unique(groups))
        if len(np.unique(truth[mask])) == 2
    ]
    return float(np.mean(within) if within else roc_auc_score(truth, predicted))
