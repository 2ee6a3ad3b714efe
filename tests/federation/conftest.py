"""Three sites of unequal size, each with a small dataset of both use cases, and a coordinator's lake."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from oncotrain.lake.filesystem import Lake
from support.datasets import write_samples, write_tiles
from support.lakes import make_lake
from support.runs import copy_lake

PATIENTS = {"chu-grenoble": 12, "uz-leuven": 20, "charite-berlin": 32}


@pytest.fixture(scope="session")
def published(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Lake]:
    """The sites' lakes, to be copied, not changed."""
    lakes = {}
    for seed, (site, patients) in enumerate(PATIENTS.items()):
        lakes[site] = make_lake(tmp_path_factory.mktemp("federation") / site)
        write_samples(spark, lakes[site], site, patients=patients, seed=seed)
        write_tiles(spark, lakes[site], site, patients=patients // 2, slides=2, tiles=2, seed=seed)
    return lakes


@pytest.fixture
def sites(published: Mapping[str, Lake], tmp_path: Path) -> dict[str, Lake]:
    """The sites' lakes, each in a folder of its own."""
    return {site: copy_lake(lake, tmp_path / "sites" / site / "lake") for site, lake in published.items()}


@pytest.fixture
def centre(tmp_path: Path) -> Lake:
    """The coordinator's lake."""
    return make_lake(tmp_path / "centre" / "lake")
