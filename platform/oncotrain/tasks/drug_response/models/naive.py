"""Predictors that know no gene: what a model must beat before its figures mean anything."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np

from oncotrain.config import Frozen
from oncotrain.tasks.drug_response import clinical
from oncotrain.tasks.drug_response.models.model import Predictor
from oncotrain.tasks.drug_response.response import response_matrix
from oncotrain.tasks.task import Plan, Row

_PRIOR = 3.0
"""Samples that the drug's overall mean counts as, beside those of one group."""


class Mean(Frozen):
    """The mean of all responses, of the drug's, of the group's, their sum of effects, or of drug and group together.

    A group, such as a tissue, is the value of a clinical category. A mean of few samples is drawn to the drug's (to the
    overall one for `group`), which stands in for a group or value never seen.
    """

    model: Literal["mean"] = "mean"
    of: Literal["all", "drug", "group", "effects", "drug and group"]
    group: str = "tissue"
    """A clinical category; or `sample`, whose own mean tells how sensitive it is to drugs altogether."""

    def fit(self, plan: Plan, rows: Sequence[Row]) -> Predictor:
        response, drugs = response_matrix(rows, len(plan["drugs"])), np.array(plan["drug_mean"])
        base = drugs if self.of != "all" and self.of != "group" else np.full(len(drugs), np.nanmean(response))
        if self.of in ("all", "drug"):
            return lambda rows: np.tile(base, (len(rows), 1))
        column, members = self.group if self.group == "sample" else clinical.column(self.group), defaultdict(list)
        for row, values in zip(rows, response, strict=True):
            members[row[column]].append(values)
        means = {value: self._mean(np.stack(values), base) for value, values in members.items()}
        return lambda rows: np.stack([means.get(row[column], base) for row in rows])

    def _mean(self, response: np.ndarray, base: np.ndarray) -> np.ndarray:
        """Responses (drugs,) of a group whose members' are `response` (rows, drugs)."""
        deviation = response - base
        if self.of == "drug and group":
            return base + np.nansum(deviation, axis=0) / ((~np.isnan(response)).sum(axis=0) + _PRIOR)
        # One effect for all drugs: pairs of one sample are no more than one sample, so samples are averaged first.
        effects = [np.nanmean(values) for values in deviation if not np.isnan(values).all()]
        return base + sum(effects) / (len(effects) + _PRIOR)
