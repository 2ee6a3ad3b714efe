"""A Hadoop of the tests' own, brought up when the first test asks and taken down after the last one here."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from oncotrain.cluster.code import write_code
from oncotrain.cluster.folder import Cluster
from support.hadoop import own_hadoop, training_layout


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Shared by the tests here."""
    with own_hadoop(tmp_path_factory.mktemp("hadoop") / "centre") as cluster:
        yield cluster


@pytest.fixture(scope="package")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is shipped with a submission."""
    return write_code(tmp_path_factory.mktemp("dist") / "oncotrain.zip")


@pytest.fixture(scope="package")
def layout_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layout that lets an account train which may not read `landing`."""
    return training_layout(tmp_path_factory.mktemp("layout") / "layout.yaml")
