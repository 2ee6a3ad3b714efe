"""Predictors that know no gene: what a network must beat before its figures mean anything."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from oncotrain.tasks.drug_response import clinical
from oncotrain.tasks.drug_response.metrics import merge_sums, pair_sums
from oncotrain.tasks.drug_response.response import response_matrix
from oncotrain.tasks.task import Plan, Row, Sums

_PRIOR = 3.0
"""Samples that the drug's overall mean counts as, beside those of one group."""


def baselines(plan: Plan, train: Sequence[Row], test: Sequence[Row], group: str) -> dict[str, Sums]:
    """Sums over adapted `test` rows of the mean per drug, and of the mean per drug and `group`, of `train` rows.

    Args:
        group: A clinical category, such as the tissue. A group's mean is drawn to the drug's, which stands in for a
            group or value never seen.
    """
    response = response_matrix(train, len(plan["drugs"]))
    drug_mean = np.array(plan["drug_mean"])
    members = defaultdict(list)
    for row, values in zip(train, response, strict=True):
        members[row[clinical.column(group)]].append(values)
    group_mean = {value: _drawn_mean(np.stack(values), drug_mean) for value, values in members.items()}
    truth = response_matrix(test, len(plan["drugs"]))
    guesses = [group_mean.get(row[clinical.column(group)], drug_mean) for row in test]
    return {
        "mean per drug": merge_sums([pair_sums(true, drug_mean) for true in truth]),
        f"mean per drug and {group}": merge_sums(
            [pair_sums(true, guess) for true, guess in zip(truth, guesses, strict=True)]
        ),
    }


def _drawn_mean(response: np.ndarray, drug_mean: np.ndarray) -> np.ndarray:
    count = (~np.isnan(response)).sum(axis=0)
    return (np.nansum(response, axis=0) + _PRIOR * drug_mean) / (count + _PRIOR)
