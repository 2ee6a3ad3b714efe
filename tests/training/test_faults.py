"""Ranks that are killed: the run goes on from its newest checkpoint, or says that it cannot."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from oncotrain.errors import DataError
from oncotrain.lake.filesystem import Lake
from oncotrain.training.central import train_centralized
from oncotrain.training.checkpoint import newest_step
from oncotrain.training.collective import Collective
from oncotrain.training.data import open_data
from oncotrain.training.engines import RankLost, create_engine
from oncotrain.training.run import RunDirectory, run_name
from support.faults import runs, wait
from support.rank_processes import ranks_of
from support.runs import copy_lake, last_parameters, run_config

pytestmark = [
    pytest.mark.timeout(600),
    # Horovod leaves the thread of its Spark job, which is cut off with the ranks.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


@pytest.mark.faults
@pytest.mark.parametrize("engine", [pytest.param("horovod", marks=pytest.mark.quick), "ddp"])
def test_a_killed_rank_costs_the_steps_since_the_checkpoint(spark: SparkSession, trained_on: Lake, tmp_path, engine):
    settings = {"steps": 400, "validate_every": 40, "precision": "float64"}
    undisturbed = copy_lake(trained_on, tmp_path / "undisturbed")
    expected = train_centralized(None, undisturbed, run_config("drug_response", **settings), source="test.yaml")

    lake = copy_lake(trained_on, tmp_path / "lake")
    config = run_config("drug_response", **settings, engine=engine, ranks=2)
    sha256 = open_data(lake, config, "test.yaml").dataset.manifest.sha256
    run = RunDirectory(lake, run_name("drug_response", "centralized", config, sha256))
    killed_at = []

    def kill() -> None:
        wait(lambda: newest_step(run), 300)
        ranks_of(engine)[1].kill()
        killed_at.append(newest_step(run))

    killer = threading.Thread(target=kill)
    killer.start()
    summary = train_centralized(spark, lake, config, source="test.yaml")
    killer.join()
    [step] = killed_at
    assert step < newest_step(run) == "step-000000400"
    assert [point["step"] for point in run.read_metrics()] == list(range(40, 401, 40))
    pairs = zip(last_parameters(undisturbed, expected["run"]), last_parameters(lake, summary["run"]), strict=True)
    assert max(np.abs(a - b).max() for a, b in pairs) < 1e-5
    assert summary["figures"] == pytest.approx(expected["figures"], abs=1e-5, nan_ok=True)


def test_ranks_that_are_lost_again_and_again_end_the_run(trained_on: Lake, tmp_path: Path, monkeypatch):
    class Lost:
        starts = 0

        def run(self, _work: object, _ranks: int) -> None:
            self.starts += 1
            raise RankLost("killed")

    engine = Lost()
    monkeypatch.setattr("oncotrain.training.central.create_engine", lambda _name, _spark: engine)
    lake = copy_lake(trained_on, tmp_path / "lake")
    with pytest.raises(DataError, match="were lost 2 times"):
        train_centralized(None, lake, run_config("drug_response", attempts=2), source="test.yaml")
    assert engine.starts == 2


def test_an_engine_names_a_lost_rank(spark: SparkSession):
    def die(ranks: Collective) -> None:
        if ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        ranks.gather(0)

    with pytest.raises(RankLost):
        create_engine("horovod", spark).run(die, 2)


@pytest.mark.faults
def test_a_frozen_rank_is_not_waited_for(spark: SparkSession, tmp_path: Path, monkeypatch):
    def work(ranks: Collective) -> None:
        (tmp_path / str(ranks.rank)).write_text(str(os.getpid()))
        if ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        ranks.gather(0)

    monkeypatch.setattr("oncotrain.training.engines.patience.PATIENCE", 5)
    with pytest.raises(RankLost):
        create_engine("horovod", spark).run(work, 2)
    pids = [int((tmp_path / name).read_text()) for name in ("0", "1")]
    wait(lambda: not any(map(runs, pids)))
