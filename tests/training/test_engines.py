"""Every engine gives the same parameters: real processes, real Spark tasks, the shipped models on real datasets."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError, UserError
from oncotrain.lake.filesystem import Lake, open_filesystem
from oncotrain.training.central import train_centralized
from oncotrain.training.collective import Collective
from oncotrain.training.data import open_data, plan_alone
from oncotrain.training.engines import create_engine
from oncotrain.training.fit import fit
from oncotrain.training.state import get_parameters, initial_state, set_parameters
from support.runs import copy_lake, last_parameters, run_config

Trained = dict[str, list[np.ndarray]]

pytestmark = pytest.mark.timeout(600)  # every rank imports torch afresh, DDP's twice: slow where cores are shared


@pytest.fixture(scope="session")
def work(trained_on: Lake) -> Callable[[Collective], Trained]:
    """Both tasks, in both precisions and with compressed gradients, and one beside a ridge; from parameters that only
    rank 0 has right.

    No name of a test's module is in it: it is pickled.
    """
    plans = {}
    configs = {}
    for task in ("histology", "drug_response"):
        for way, train in {
            "float32": {"precision": "float32"},
            "float64": {"precision": "float64"},
            "compressed": {"compression": "float16", "optimizer": {"name": "sgd", "lr": 0.01}},
        }.items():
            configs[f"{task} {way}"] = run_config(task, **train)
    ridge = configs["drug_response float64"].model_dump()
    ridge["task"] |= {"ridge": {"components": 5}}
    configs["ridge float64"] = RunConfig.model_validate(ridge)
    plans |= {name: plan_alone(open_data(trained_on, config, "test.yaml")) for name, config in configs.items()}

    def train_all(collective: Collective) -> Trained:
        trained = {}
        for name, config in configs.items():
            data = open_data(trained_on, config, "test.yaml")
            state = initial_state(data.task, plans[name], config.train)
            if collective.rank:
                set_parameters(state.model, [layer + 1 for layer in get_parameters(state.model)])
            collective.broadcast(list(state.model.state_dict().values()))
            state, _ = fit(
                state,
                5,
                task=data.task,
                plan=plans[name],
                dataset=data.dataset,
                rows=data.rows("train"),
                train=config.train,
                collective=collective,
            )
            trained[name] = get_parameters(state.model)
        assert collective.gather(collective.rank) == list(range(collective.world))
        return trained

    return train_all


@pytest.fixture(scope="session")
def alone(work: Callable[[Collective], Trained]) -> Trained:
    """What one rank trains."""
    return create_engine("single", None).run(work, 1)[0]


@pytest.mark.parametrize("name", ["horovod", "ddp"])
def test_two_processes_train_as_one(spark: SparkSession, work, alone, name):
    open_filesystem("hdfs://127.0.0.1:1/lake")  # a cached client must not hang the processes that an engine forks
    ranks = create_engine(name, spark).run(work, 2)
    assert len(ranks) == 2
    for trained in ranks:
        for case, layers in trained.items():
            tolerance = {"float32": 1e-5, "float64": 1e-10, "compressed": 1e-4}[case.split()[1]]
            assert max(np.abs(a - b).max() for a, b in zip(layers, alone[case], strict=True)) < tolerance, case


def test_a_run_on_horovod_is_the_run_alone(spark: SparkSession, trained_on: Lake, tmp_path):
    lakes = [copy_lake(trained_on, tmp_path / name) for name in ("one", "two")]
    single = train_centralized(None, lakes[0], run_config("drug_response", precision="float64"), source="test.yaml")
    config = run_config("drug_response", precision="float64", engine="horovod", ranks=2)
    ranks = train_centralized(spark, lakes[1], config, source="test.yaml")
    pairs = zip(last_parameters(lakes[0], single["run"]), last_parameters(lakes[1], ranks["run"]), strict=True)
    assert max(np.abs(a - b).max() for a, b in pairs) < 1e-10
    assert ranks["figures"] == pytest.approx(single["figures"], abs=1e-6, nan_ok=True)
    assert ranks["cpu_seconds"] > 0


def test_an_error_of_the_user_crosses_processes(spark: SparkSession):
    def refuse(_collective: Collective) -> None:
        raise DataError("no such row")

    with pytest.raises(DataError, match="no such row"):
        create_engine("horovod", spark).run(refuse, 2)


def test_ranks_are_started_by_the_python_of_the_executors(spark: SparkSession, tmp_path: Path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexport STARTED="$*"\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(spark.sparkContext, "pythonExec", str(python))

    def started(_collective: Collective) -> str:
        import os

        return os.environ["STARTED"]

    for arguments in create_engine("horovod", spark).run(started, 2):
        assert "gloo_exec_fn" in arguments


def test_engines_that_need_spark_or_one_rank_say_so():
    with pytest.raises(UserError, match="engine ddp runs its ranks in Spark tasks"):
        create_engine("ddp", None)
    with pytest.raises(UserError, match="engine single has 1 rank; found ranks: 2"):
        create_engine("single", None).run(lambda ranks: ranks.rank, 2)
