"""A Hadoop of the tests' own, brought up when the first test asks and taken down after the last one here."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from oncotrain.cluster.code import write_code
from oncotrain.cluster.folder import Cluster
from oncotrain.cluster.jars import jar_directory
from oncotrain.cluster.local import down, up
from oncotrain.cluster.submit import environment
from oncotrain.lake.hdfs import Hdfs
from support.hadoop import training_layout


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """HDFS with two DataNodes and YARN with two NodeManagers; this process is a client of it, as the superuser."""
    if not jar_directory().is_dir() and shutil.which("mvn") is None:
        pytest.skip("Hadoop's jars are not here, and without Maven they cannot be fetched; deploy/README.md")
    cluster = Cluster(tmp_path_factory.mktemp("hadoop") / "centre")
    before = dict(os.environ)
    try:
        up(cluster)
        os.environ |= environment(cluster)
        yield cluster
    finally:
        os.environ.clear()
        os.environ |= before
        Hdfs.clear_instance_cache()
        down(cluster)


@pytest.fixture(scope="package")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is shipped with a submission."""
    return write_code(tmp_path_factory.mktemp("dist") / "oncotrain.zip")


@pytest.fixture(scope="package")
def layout_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layout that lets an account train which may not read `landing`."""
    return training_layout(tmp_path_factory.mktemp("layout") / "layout.yaml")
