"""The task on made-up tiles."""

from typing import Any

import pytest

from oncotrain.tasks import Plan, create_task
from oncotrain.tasks.histology.task import Histology
from support.tiles import tile_features, tile_row

SETTINGS: dict[str, Any] = {"name": "histology", "widths": [8, 16, 16], "crop": 48}


@pytest.fixture(scope="session")
def task() -> Histology:
    return create_task(SETTINGS, "test.yaml")


@pytest.fixture(scope="session")
def plan(task: Histology) -> Plan:
    """The plan that four tiles make."""
    contract = task.contract(tile_features(64))
    return task.plan(contract, task.statistics(contract, [tile_row(seed) for seed in range(4)], 1))
