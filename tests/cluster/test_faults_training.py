"""A training of two Horovod ranks in YARN's containers loses a part of what carries it.

Whatever that is, the run ends with the parameters of an undisturbed one.
"""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from pyspark.sql import SparkSession

from oncotrain.cluster.folder import Cluster
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.training.central import train_centralized
from oncotrain.training.checkpoint import newest_step
from oncotrain.training.run import RunDirectory, run_name
from support.datasets import write_samples
from support.faults import in_containers, wait, without
from support.hadoop import driver_log, newest_logs, start
from support.lakes import make_lake
from support.runs import last_parameters, run_config

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

SETTINGS = {"steps": 2000, "validate_every": 50, "precision": "float64"}


@dataclass(frozen=True)
class Undisturbed:
    """The lake on a disk that is trained on, and how a run without faults ends there."""

    lake: Lake
    parameters: list[np.ndarray]


@dataclass(frozen=True)
class Training:
    """A run in cluster mode, past its first checkpoint."""

    cluster: Cluster
    run: RunDirectory
    submitter: subprocess.Popen[str]
    expected: list[np.ndarray]

    def rank(self, number: int) -> psutil.Process:
        (process,) = in_containers(self.cluster, "HOROVOD_RANK", str(number))
        return process

    @property
    def unfinished(self) -> bool:
        return self.steps_done < SETTINGS["steps"]

    @property
    def steps_done(self) -> int:
        return int((newest_step(self.run) or "step-0").removeprefix("step-"))

    def ends_well(self) -> None:
        """The submitter learns of it."""
        output, _ = self.submitter.communicate(timeout=200)
        assert self.submitter.returncode == 0, f"{output[-3000:]}\n{driver_log(self.cluster)}"
        self.is_as_undisturbed()

    def is_as_undisturbed(self) -> None:
        assert self.run.read_json("summary.json")["status"] == "done"
        every = range(SETTINGS["validate_every"], SETTINGS["steps"] + 1, SETTINGS["validate_every"])
        assert [point["step"] for point in self.run.read_metrics()] == list(every)
        pairs = zip(last_parameters(self.run.lake, self.run.name), self.expected, strict=True)
        assert max(np.abs(one - other).max() for one, other in pairs) < 1e-5

    def said(self, words: str) -> int:
        """How many lines of the containers' logs hold `words`."""
        return sum(words in line for log in newest_logs(self.cluster) for line in log.read_text().splitlines())


@pytest.fixture(scope="module")
def undisturbed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    lake = make_lake(tmp_path_factory.mktemp("undisturbed") / "lake")
    write_samples(spark, lake, "uz-leuven", patients=40)
    summary = train_centralized(None, lake, run_config("drug_response", **SETTINGS), source="test")
    return Undisturbed(lake, last_parameters(lake, summary["run"]))


@pytest.fixture
def training(
    cluster: Cluster, code: Path, undisturbed: Undisturbed, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Training]:
    """In a lake in HDFS of its own, with the dataset and the split of the undisturbed one."""
    lake = Lake(f"{cluster.uri}/lakes/{request.node.name.replace('_', '-')}")
    apply_layout(lake)
    root = Path(undisturbed.lake.root)
    for file in (file for zone in ("curated", "splits") for file in (root / zone).rglob("*") if file.is_file()):
        lake.write_atomic(file.read_bytes(), *file.relative_to(root).parts)
    config = run_config("drug_response", **SETTINGS, engine="horovod", ranks=2)
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    name = run_name("drug_response", "centralized", config, open_dataset(lake, "samples").manifest.sha256)
    run = RunDirectory(lake, name)
    options = ["--lake", lake.uri, "--config", path.name, "--tracking", ""]
    submitter = start(cluster, "centralized_train", options, mode="cluster", code=code, files=[path])
    try:
        wait(lambda: newest_step(run) or submitter.poll() is not None, 150)
        assert submitter.poll() is None, driver_log(cluster)
        yield Training(cluster, run, submitter, undisturbed.parameters)
    finally:
        submitter.kill()


def test_a_rank_is_killed(training: Training) -> None:
    training.rank(1).kill()
    assert training.unfinished
    training.ends_well()
    assert training.said("a rank was lost") == training.said("going on from step") / 2 == 1


def test_a_container_is_killed(training: Training) -> None:
    container = training.rank(1).environ()["CONTAINER_ID"]
    processes = in_containers(training.cluster, "CONTAINER_ID", container)
    assert "java" in {process.name() for process in processes}
    for process in processes:
        process.kill()
    assert training.unfinished
    training.ends_well()
    assert training.said("a rank was lost") == 1
    assert len({log.parent for log in newest_logs(training.cluster)}) == 4, "driver, two executors, and one in place"


def test_the_driver_is_killed(training: Training) -> None:
    first = in_containers(training.cluster, "CONTAINER_ID")
    (master,) = [
        process
        for process in first
        if process.name() == "java" and any("ApplicationMaster" in word for word in process.cmdline())
    ]
    master.kill()
    wait(lambda: not {*first} & {*in_containers(training.cluster, "CONTAINER_ID")}, 60)
    assert training.unfinished, "nothing is left to do for the second attempt"
    training.ends_well()
    assert training.said("going on from step") == 2
    assert {log.parent.name.split("_")[-2] for log in newest_logs(training.cluster)} == {"01", "02"}


def test_the_submitter_is_killed(training: Training) -> None:
    training.submitter.kill()
    assert training.unfinished
    wait(lambda: training.run.exists("summary.json"), 150)
    training.is_as_undisturbed()
    assert training.said("a rank was lost") == 0


def test_the_namenode_is_restarted(training: Training) -> None:
    assert training.unfinished
    before = training.rank(0), training.rank(1)
    with without(training.cluster, "namenode"):
        time.sleep(5)  # the NameNode is away, and rank 0 asks for it at every checkpoint
        assert {*before} <= {*in_containers(training.cluster, "HOROVOD_RANK")}
    assert training.unfinished
    training.ends_well()
    assert training.said("a rank was lost") == 0, "it waited, and did not begin again"
