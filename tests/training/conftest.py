"""Tiny runs: a vector task on 50 rows, of which some have no label."""

from typing import Any

import numpy as np
import pytest

from oncotrain.config.training import TrainConfig
from oncotrain.training.collective import Alone
from support.vectors import MemoryDataset, VectorTask, make_plan, make_rows


def train_config(**changes: Any) -> TrainConfig:
    """A short float64 run with uneven batches: 50 rows in batches of 8."""
    settings = {"steps": 20, "batch_size": 8, "precision": "float64", "clip_norm": 1.0, "optimizer": {"lr": 0.01}}
    return TrainConfig.model_validate(settings | changes)


@pytest.fixture
def vectors() -> dict[str, Any]:
    """Arguments of `fit` for one rank that trains on all rows but the last three."""
    rows = make_rows(50)
    return {
        "task": VectorTask(),
        "plan": make_plan(rows),
        "dataset": MemoryDataset(rows, (20, 5, 25)),
        "rows": np.arange(47),
        "train": train_config(),
        "collective": Alone(),
    }
