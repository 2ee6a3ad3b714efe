"""What a run's ranks do together."""

import time
from functools import partial
from typing import Any

import numpy as np

from oncotrain.lake.filesystem import Lake
from oncotrain.training import rank
from oncotrain.training.checkpoint import load_checkpoint
from oncotrain.training.collective import Alone
from oncotrain.training.data import open_data, plan_alone
from oncotrain.training.evaluation import find_units, predict
from oncotrain.training.run import RunDirectory
from oncotrain.training.state import initial_state
from support.ranks import run_ranks
from support.runs import copy_lake, run_config


def test_every_rank_tests_the_best_checkpoint_however_slowly_it_is_written(trained_on: Lake, tmp_path, monkeypatch):
    lake = copy_lake(trained_on, tmp_path / "lake")
    config = run_config("drug_response", precision="float64")
    data = open_data(lake, config, "test.yaml")
    work = rank.RankWork(RunDirectory(lake, "run"), lake, "v0001", config, plan_alone(data), "test.yaml")
    save = rank.save_checkpoint

    def save_slowly(*arguments: Any) -> None:
        time.sleep(0.5)
        save(*arguments)

    monkeypatch.setattr(rank, "save_checkpoint", save_slowly)
    shared = run_ranks(partial(rank.work_on_rank, work), 2)
    points, patients, _ = shared[0]
    state, _ = load_checkpoint(work.run, "best", initial_state(data.task, work.plan, config.train))
    expected = predict(
        state.model,
        find_units(data.dataset, data.rows("test"), data.task),
        rank.best_point(points, data.task.primary)["decision"],
        work.run.write_prediction,
        task=data.task,
        plan=work.plan,
        dataset=data.dataset,
        collective=Alone(),
    )
    assert patients.keys() == expected.keys()
    for patient, sums in expected.items():
        assert all(np.array_equal(sums[key], patients[patient][key], equal_nan=True) for key in sums)


def test_the_best_validation_is_the_first_of_the_best():
    points = [{"step": step, "figures": {"aji": value}} for step, value in [(1, None), (2, 0.5), (3, 0.7), (4, 0.7)]]
    assert rank.best_point(points, "aji")["step"] == 3
    assert rank.best_point(points[:1], "aji")["step"] == 1
