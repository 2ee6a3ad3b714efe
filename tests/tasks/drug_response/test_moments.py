"""The plan from sites' moments is that of the pooled rows."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from oncotrain.errors import DataError
from oncotrain.tasks import Plan
from oncotrain.tasks.drug_response.task import DrugResponse
from support.samples import features, sample_rows

from .conftest import DRUGS

NUMERIC = ("gene_mean", "gene_std", "drug_mean", "drug_std", "number_mean", "number_std")


def test_the_plan_of_sites_is_that_of_the_pooled_rows(
    task: DrugResponse, plan_of: Callable[[list[dict[str, Any]]], Plan]
) -> None:
    rows = sample_rows(DRUGS, samples=50, seed=1)
    contract = task.contract(features(DRUGS))
    sites = [rows[:7], rows[7:8], [], rows[8:]]

    merged = task.merge_statistics([task.statistics(contract, site, 1) for site in sites])
    plan = task.plan(contract, merged)

    pooled = plan_of(rows)
    for name in NUMERIC:
        assert plan[name] == pytest.approx(pooled[name], rel=1e-12), name
    assert json.loads(json.dumps(plan)) == plan


def test_the_plan_holds_moments_of_observed_values(plan_of: Callable[[list[dict[str, Any]]], Plan]) -> None:
    rows = sample_rows(DRUGS, samples=50, seed=1)
    plan = plan_of(rows)
    expression = np.stack([row["expression"] for row in rows]).astype(float)
    assert plan["gene_std"] == pytest.approx(expression.std(axis=0), rel=1e-9)
    second = np.concatenate([row["response"][row["drug"] == 2] for row in rows]).astype(float)
    assert (plan["drug_mean"][2], plan["drug_std"][2]) == pytest.approx((second.mean(), second.std()), rel=1e-9)
    ages = [row["clinical_age"] for row in rows if row["clinical_age"] is not None]
    assert plan["number_mean"] == pytest.approx([np.mean(ages)], rel=1e-9)


def test_what_training_rows_cannot_tell_is_filled(plan_of: Callable[[list[dict[str, Any]]], Plan]) -> None:
    rows = sample_rows(DRUGS, samples=30, seed=2)
    for row in rows:
        row["expression"][3] = 11.7  # a constant gene
        seen = row["drug"] != 4  # a drug without pairs
        row |= {"drug": row["drug"][seen], "response": row["response"][seen]}
    plan = plan_of(rows)
    responses = np.concatenate([row["response"] for row in rows]).astype(float)
    assert plan["gene_std"][3] == 1
    assert (plan["drug_mean"][4], plan["drug_std"][4]) == pytest.approx((responses.mean(), responses.std()), rel=1e-9)


def test_no_observed_pair_is_refused(plan_of: Callable[[list[dict[str, Any]]], Plan]) -> None:
    (row,) = sample_rows(DRUGS, samples=1, seed=0)
    row |= {"drug": np.array([], np.int32), "response": np.array([], np.float32)}
    with pytest.raises(DataError, match="LN_IC50"):
        plan_of([row])
