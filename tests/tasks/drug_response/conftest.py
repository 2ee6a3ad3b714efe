"""The task on made-up samples."""

from collections.abc import Callable
from typing import Any

import pytest

from oncotrain.tasks import Plan, create_task
from oncotrain.tasks.drug_response.task import DrugResponse
from support.samples import features

DRUGS = ("afatinib", "bosutinib", "cisplatin", "dasatinib", "erlotinib")
SETTINGS: dict[str, Any] = {
    "name": "drug_response",
    "clinical": ["tissue", "age"],
    "network": {"members": 2, "width": 24, "input_dropout": 0.0, "dropout": 0.0},
}


@pytest.fixture
def task() -> DrugResponse:
    return create_task(SETTINGS, "test.yaml")


@pytest.fixture
def plan_of(task: DrugResponse) -> Callable[[list[dict[str, Any]]], Plan]:
    """The plan that rows over all of `DRUGS` make."""

    def make(rows: list[dict[str, Any]]) -> Plan:
        contract = task.contract(features(DRUGS))
        return task.plan(contract, task.statistics(contract, rows, 1))

    return make
