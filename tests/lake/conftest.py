"""Two sites with published datasets and their pool, written once; tests that damage a lake take a copy."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pyspark.sql import SparkSession

from oncotrain.lake.filesystem import Lake
from oncotrain.lake.pool import pool
from support.datasets import write_samples, write_tiles
from support.lakes import make_lake


class Pooled(NamedTuple):
    """Lakes of two sites and of the centre, with the summaries of pooling."""

    sites: dict[str, Lake]
    centre: Lake
    tiles: dict[str, Any]
    samples: dict[str, Any]


@pytest.fixture(scope="session")
def pooled(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Pooled:
    """`chu-grenoble` and `uz-leuven`, of unequal size and with different drugs, and their pool."""
    root = tmp_path_factory.mktemp("pooled")
    sites = {site: make_lake(root / site) for site in ("chu-grenoble", "uz-leuven")}
    centre = make_lake(root / "centre")
    for seed, (site, lake) in enumerate(sites.items()):
        write_tiles(spark, lake, site, patients=4 + 3 * seed, slides=2, seed=seed)
        write_samples(spark, lake, site, patients=11 + 6 * seed, drugs=["cisplatin", f"drug-{3 - seed}"], seed=seed)
    sources = list(sites.values())
    return Pooled(sites, centre, pool(spark, sources, centre, "tiles"), pool(spark, sources, centre, "samples"))


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Lake], Lake]:
    """A function that copies a lake, so that a test may damage it."""

    def copy(lake: Lake) -> Lake:
        target = tmp_path / Path(lake.root).name
        shutil.copytree(lake.root, target)
        return Lake(f"file://{target}")

    return copy
