"""HDFS loses daemons, or room, in the middle of the work."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from oncotrain.cluster.folder import Cluster
from oncotrain.config.expression import ExpressionConfig
from oncotrain.errors import UserError
from oncotrain.expression.ingest import ingest_expression
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.lake.quarantine import list_refused
from oncotrain.lake.quota import set_quota
from oncotrain.training.central import train_centralized
from oncotrain.training.checkpoint import newest_step
from oncotrain.training.run import RunDirectory
from support.datasets import write_samples
from support.faults import wait, without
from support.hadoop import upload
from support.runs import last_parameters, run_config
from support.tables import Tables

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

SITE = "uz-leuven"


@pytest.fixture
def lake(cluster: Cluster, spark: SparkSession, request: pytest.FixtureRequest) -> Lake:  # noqa: ARG001 - its JVM
    """An empty lake in HDFS, laid out with its quotas."""
    lake = Lake(f"{cluster.uri}/lakes/{request.node.name.replace('_', '-')[:60]}")
    apply_layout(lake)
    return lake


@pytest.mark.quick
def test_a_datanode_dies_while_a_dataset_is_read(cluster: Cluster, spark: SparkSession, lake: Lake) -> None:
    write_samples(spark, lake, SITE, patients=60, row_group_patients=2)
    expected = open_dataset(lake, "samples").index(["sample"])["sample"].tolist()
    rows = open_dataset(lake, "samples").iterate(["sample", "expression"])
    found = [next(rows)["sample"] for _ in range(5)]
    with without(cluster, "datanode-1"):
        found += [row["sample"] for row in rows]
    assert found == expected


def test_a_datanode_dies_while_files_are_written(cluster: Cluster, lake: Lake) -> None:
    contents = {f"file-{number}": np.random.default_rng(number).bytes(20_000_000) for number in range(6)}
    first_is_there = threading.Event()

    def write_all() -> None:
        for name, content in contents.items():
            lake.write_atomic(content, "audit", name)
            first_is_there.set()

    with ThreadPoolExecutor(1) as writer:
        writing = writer.submit(write_all)
        assert first_is_there.wait(60)
        with without(cluster, "datanode-2"):
            writing.result(240)
            assert {name: lake.read_bytes("audit", name) == content for name, content in contents.items()} == (
                dict.fromkeys(contents, True)
            )
    assert lake.list("audit") == sorted(contents)


@pytest.mark.quick
def test_the_namenode_restarts_while_a_model_trains(
    cluster: Cluster, spark: SparkSession, lake: Lake, tmp_path: Path
) -> None:
    undisturbed = Lake(f"file://{tmp_path}/lake")
    apply_layout(undisturbed)
    for one in (lake, undisturbed):
        write_samples(spark, one, SITE, patients=40)
    config = run_config("drug_response", steps=30, validate_every=2)
    expected = train_centralized(None, undisturbed, config, source="test")
    with ThreadPoolExecutor(1) as trainer:
        training = trainer.submit(train_centralized, None, lake, config, source="test")
        wait(lambda: newest_step(RunDirectory(lake, expected["run"])))
        with without(cluster, "namenode"):
            assert not training.done()
            time.sleep(5)  # the NameNode is away, and training asks for it at every checkpoint
        found = training.result(200)
    assert found["figures"] == expected["figures"]
    for one, other in zip(
        last_parameters(lake, found["run"]), last_parameters(undisturbed, expected["run"]), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.quick
def test_a_used_up_quota_is_a_clear_error_and_publishes_nothing(
    spark: SparkSession, lake: Lake, tmp_path: Path
) -> None:
    inbox = upload(lake, [Path(file) for file in Tables(tmp_path).write()], "landing", "inbox")
    files = [f"{inbox}/{name}" for name in ("expression.csv", "samples.csv", "response.csv")]
    config = ExpressionConfig.model_validate({"columns": {"replicate": "replicate"}})
    set_quota(lake, lake.path("_staging"), 2**20)
    with pytest.raises(UserError, match=r"HDFS is full: The DiskSpace quota of \S+/_staging is exceeded.*larger quota"):
        ingest_expression(spark, lake, SITE, *files, config)
    assert lake.list("curated") == lake.list("_staging") == []
    assert list_refused(lake, "samples") == []

    set_quota(lake, lake.path("_staging"), 2**40)
    assert ingest_expression(spark, lake, SITE, *files, config)["version"] == "v0001"
