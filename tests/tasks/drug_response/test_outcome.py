"""Responders: a binary outcome is learned above chance, judged by AUROC, and refuses what is no class."""

import numpy as np
import pytest
import torch

from oncotrain.errors import DataError
from oncotrain.tasks import create_task
from support.samples import features, sample_rows

from .test_task import figures, trained

DRUG = ("pd1",)


def test_responders_are_told_from_others_as_probabilities() -> None:
    task = create_task({"name": "drug_response", "outcome": "binary", "clinical": ["age"]}, "test.yaml")
    rows = [row for row in sample_rows(DRUG, samples=300, seed=3) if len(row["drug"])]
    middle = np.median([row["response"][0] for row in rows])
    rows = [{**row, "response": (row["response"] > middle).astype(np.float32)} for row in rows]
    contract = task.contract(features(DRUG))
    plan = task.plan(contract, task.statistics(contract, rows[:150], 1))
    model = trained(task, plan, rows[:150])
    found = figures(task, plan, model, rows[150:])
    assert set(found) == set(task.metrics)
    assert found[task.primary] > 0.8
    with torch.inference_mode():
        raw = [task.infer(model, plan, row) for row in rows]
    probabilities = [task.decide(one, plan, {"shrinkage": 1.0})["response"] for one in raw]
    assert 0 <= np.min(probabilities) < 0.2
    assert 0.8 < np.max(probabilities) <= 1
    with pytest.raises(DataError, match=r"outcome' is binary, .* neither 0 nor 1"):
        task.measure({**rows[0], "response": np.array([0.5])}, {"response": np.array([0.5])}, plan)
