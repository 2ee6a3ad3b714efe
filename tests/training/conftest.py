"""Tiny runs: a vector task in memory, and a lake with a small dataset of each shipped use case."""

from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from oncotrain.config.training import TrainConfig
from oncotrain.lake.filesystem import Lake
from oncotrain.tasks import create_task
from oncotrain.training.collective import Alone
from support.datasets import write_samples, write_tiles
from support.lakes import make_lake
from support.samples import features, sample_rows
from support.tiles import tile_features, tile_row
from support.vectors import MemoryDataset, VectorTask, make_plan, make_rows


@pytest.fixture
def vectors() -> dict[str, Any]:
    """Arguments of `fit` for one rank that trains on all rows but the last three, in uneven batches of 8."""
    rows = make_rows(50)
    return {
        "task": VectorTask(),
        "plan": make_plan(rows),
        "dataset": MemoryDataset(rows, (20, 5, 25)),
        "rows": np.arange(47),
        "train": TrainConfig(
            steps=20, batch_size=8, precision="float64", clip_norm=1.0, optimizer={"name": "adamw", "lr": 0.01}
        ),
        "collective": Alone(),
    }


@pytest.fixture(scope="session")
def trained_on(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with the datasets tiles (48 rows) and samples (20 rows), to be read or copied, not changed."""
    lake = make_lake(tmp_path_factory.mktemp("training") / "lake")
    write_tiles(spark, lake, "uz-leuven", patients=12, slides=2, tiles=2)
    write_samples(spark, lake, "uz-leuven", patients=20)
    return lake


@pytest.fixture(params=["histology", "drug_response"])
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Arguments of `fit` on 14 rows of a shipped task: one plain gradient step on all rows."""
    if request.param == "histology":
        task = create_task({"name": "histology", "widths": [8, 16]}, "test.yaml")
        labelled = [3, 1, 0, 3, 3, 1, 1, 3, 0, 3, 1, 3, 3, 1]
        rows = [tile_row(seed, side=48, labelled=bits) for seed, bits in enumerate(labelled)]
        offered = tile_features(48)
    else:
        network = {"members": 2, "width": 16, "input_dropout": 0.0, "dropout": 0.0}
        task = create_task({"name": "drug_response", "clinical": ["tissue", "age"], "network": network}, "test.yaml")
        drugs = ["afatinib", "bosutinib", "cisplatin", "dasatinib"]
        rows = sample_rows(drugs, 14, seed=1)
        rows[4] |= {"drug": np.array([], np.int32), "response": np.array([], np.float32)}
        offered = features(drugs)
    contract = task.contract(offered)
    return {
        "task": task,
        "plan": task.plan(contract, task.statistics(contract, rows, 1)),
        "dataset": MemoryDataset(rows, (6, 5, 3), offered),
        "rows": np.arange(14),
        "train": TrainConfig(
            steps=1,
            batch_size=14,
            precision="float64",
            augment=False,
            optimizer={"name": "sgd", "lr": 0.1},
            schedule={"name": "constant"},
        ),
        "collective": Alone(),
    }
