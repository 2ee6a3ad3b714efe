"""A withdrawn consent in HDFS: what the trash and a snapshot still hold of a purged version goes as well."""

from typing import Any

import pytest
from pyspark import SparkContext
from pyspark.sql import SparkSession

from oncotrain.cluster.folder import Cluster
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.lake.withdrawal import withdraw
from support.datasets import write_tiles

pytestmark = pytest.mark.cluster
SITE = "uz-leuven"


def test_trash_and_snapshots_are_purged(cluster: Cluster, spark: SparkSession) -> None:
    lake = Lake(f"{cluster.uri}/lakes/withdrawal")
    apply_layout(lake)
    write_tiles(spark, lake, SITE, patients=3)
    patient = str(open_dataset(lake, "tiles").index(["patient"])["patient"].iloc[0])
    version = lake.path("curated", "tiles", "v0001")
    names = [path.rsplit("/", 1)[-1] for path in lake.fs.ls(version, detail=False)]
    trashed = f"/user/someone/.Trash/Current{version}"
    lake.fs.makedirs(trashed)
    for name in names:
        lake.fs.pipe_file(f"{trashed}/{name}", lake.fs.cat_file(f"{version}/{name}"))

    java: Any = SparkContext._jvm
    uri, configuration = java.java.net.URI(cluster.uri), java.org.apache.hadoop.conf.Configuration()
    hdfs = java.org.apache.hadoop.fs.FileSystem.get(uri, configuration)
    root = java.org.apache.hadoop.fs.Path(lake.root)
    hdfs.allowSnapshot(root)
    hdfs.createSnapshot(root, "nightly")
    held = f"{lake.root}/.snapshot/nightly/curated/tiles/v0001"
    assert lake.fs.exists(held)

    withdraw(spark, lake, SITE, patient)
    assert not any(lake.fs.exists(path) for path in (version, trashed, held))
    assert lake.fs.exists(f"{version}.purged.json")
    assert patient not in set(open_dataset(lake, "tiles").index(["patient"])["patient"])
