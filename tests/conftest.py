"""What tests share: one Spark session, a laid-out lake, the development data where it is present."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from oncotrain.lake.filesystem import Lake
from oncotrain.spark import spark_session
from support.lakes import make_lake


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """The one local session of the test run."""
    session = spark_session("oncotrain-tests")
    yield session
    session.stop()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty, laid-out lake."""
    return make_lake(tmp_path / "lake")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data, beside the checkout."""
    path = Path(__file__).parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the development data (../shared/data) is not on this machine")
    return path
