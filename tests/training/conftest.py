"""Tiny runs: a vector task in memory, and a lake with a small dataset of each shipped use case."""

from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from oncotrain.config.training import TrainConfig
from oncotrain.lake.filesystem import Lake
from oncotrain.training.collective import Alone
from support.datasets import write_samples, write_tiles
from support.lakes import make_lake
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
