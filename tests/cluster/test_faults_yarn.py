"""YARN loses a container in the middle of a job, or is given the same work twice."""

import time
from pathlib import Path

import psutil
import pytest
from pyspark.sql import SparkSession

from oncotrain.cluster.folder import Cluster
from oncotrain.cluster.processes import processes_of
from oncotrain.config import load_yaml
from oncotrain.config.slides import SlidesConfig
from oncotrain.demo.slides import write_slides
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.slides.ingest import ingest_slides
from support.hadoop import ROOT, driver_log, start, summary_in, upload

pytestmark = [pytest.mark.faults, pytest.mark.timeout(580)]

SITE = "chu-grenoble"
SLIDES = 8
CONFIG = ROOT / "jobs" / "configs" / "ingest_slides.yaml"


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a few slides."""
    return write_slides(tmp_path_factory.mktemp("slides"), SITE, seed=1, patients=SLIDES, size=1024)


def laid_out(cluster: Cluster, name: str, delivery: Path) -> tuple[Lake, list[str]]:
    """A lake with the delivery in its landing zone, and the options of an ingest."""
    lake = Lake(f"{cluster.uri}/lakes/{name}")
    apply_layout(lake)
    lake.write_atomic(bytes(range(32)), "landing", "pseudonym.key")
    inbox = upload(lake, sorted(delivery.parent.iterdir()), "landing", "inbox")
    manifest = f"{inbox}/{delivery.name}"
    return lake, ["--lake", lake.uri, "--site", SITE, "--manifest", manifest, "--config", CONFIG.name]


def executors(cluster: Cluster) -> list[psutil.Process]:
    """The JVMs of executors, of every application that runs."""
    return [
        process
        for process in processes_of(cluster.folder)
        if process.name() == "java" and any("ExecutorBackend" in word for word in process.cmdline())
    ]


def test_an_executor_dies_in_ingest(cluster: Cluster, spark: SparkSession, code: Path, delivery: Path) -> None:
    lake, options = laid_out(cluster, "executor-dies", delivery)
    process = start(cluster, "ingest_slides", options, mode="cluster", code=code, files=[CONFIG])
    try:
        deadline = time.monotonic() + 200
        while not lake.list("landing", "_work", "tiles"):
            assert process.poll() is None, driver_log(cluster)
            assert time.monotonic() < deadline
            time.sleep(0.05)
        victim = executors(cluster)[0]
        done_before = len(lake.list("landing", "_work", "tiles"))
        victim.kill()
        assert done_before < SLIDES, "every slide was done before the executor died"
        output, _ = process.communicate(timeout=250)
    finally:
        process.kill()
    assert process.returncode == 0, f"{output[-3000:]}\n{driver_log(cluster)}"

    undisturbed, _ = laid_out(cluster, "undisturbed", delivery)
    manifest = undisturbed.child_uri("landing", "inbox", delivery.name)
    ingest_slides(spark, undisturbed, SITE, manifest, load_yaml(CONFIG, SlidesConfig))
    dataset, expected = open_dataset(lake, "tiles"), open_dataset(undisturbed, "tiles")
    assert dataset.manifest.sha256 == expected.manifest.sha256
    assert lake.list("_staging") == []


def test_two_ingests_of_one_delivery_at_once(cluster: Cluster, spark: SparkSession, code: Path, delivery: Path) -> None:  # noqa: ARG001 - its JVM
    lake, options = laid_out(cluster, "twice", delivery)
    options[-1] = str(CONFIG)
    jobs = [start(cluster, "ingest_slides", options, mode="client", code=code) for _ in range(2)]
    try:
        outputs = [job.communicate(timeout=500)[0] for job in jobs]
    finally:
        for job in jobs:
            job.kill()
    assert [job.returncode for job in jobs] == [0, 0], "\n\n".join(output[-3000:] for output in outputs)
    summaries = [summary_in(output) for output in outputs]
    assert sorted(summary["unchanged"] for summary in summaries) == [False, True]
    assert lake.list("curated", "tiles") == ["summary.json", "v0001"]
    dataset = open_dataset(lake, "tiles")
    dataset.check()
    assert dataset.rows == summaries[0]["rows"] == summaries[1]["rows"]
    assert lake.list("_staging") == []
