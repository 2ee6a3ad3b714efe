"""Test every arm on the same patients: the test patients of all sites, in the pooled copy at the centre."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from oncotrain.config.training import RunConfig
from oncotrain.lake.filesystem import Lake
from oncotrain.study.statistics import PatientSums
from oncotrain.tasks import Row
from oncotrain.training.checkpoint import load_checkpoint
from oncotrain.training.collective import Alone
from oncotrain.training.data import RunData
from oncotrain.training.evaluation import find_units, predict, remeasure
from oncotrain.training.loader import read_rows
from oncotrain.training.rank import best_point
from oncotrain.training.run import RunDirectory
from oncotrain.training.state import initial_state


def predict_on_pool(pooled: RunData, config: RunConfig, trained: RunDirectory, centre: Lake, name: str) -> RunDirectory:
    """Predictions of a trained run on the pooled test patients, saved as the centre's run `name`, once.

    The plan, the checkpoint and the decision are the run's own: nothing is chosen here.
    """
    target = RunDirectory(centre, name)
    if target.exists("summary.json"):
        return target
    plan: dict[str, Any] = trained.read_json("plan.json")
    decision = best_point(trained.read_metrics(), pooled.task.primary)["decision"]
    state, _ = load_checkpoint(trained, "best", initial_state(pooled.task, plan, config.train))
    predict(
        state.model,
        find_units(pooled.dataset, pooled.rows("test"), pooled.task),
        decision,
        target.write_prediction,
        task=pooled.task,
        plan=plan,
        dataset=pooled.dataset,
        collective=Alone(),
    )
    target.write_json(plan, "plan.json")
    target.write_json({"status": "done", "trained": trained.uri, "decision": decision}, "summary.json")
    return target


def measure_on_pool(pooled: RunData, predicted: RunDirectory) -> PatientSums:
    """Sums per test patient, measured from the saved predictions each time: a report cannot outlive its predictions."""
    units = find_units(pooled.dataset, pooled.rows("test"), pooled.task)
    plan = predicted.read_json("plan.json")
    return remeasure(units, predicted.read_prediction, task=pooled.task, plan=plan, dataset=pooled.dataset)


def sample_units(
    pooled: RunData, predicted: Mapping[str, RunDirectory], count: int
) -> list[tuple[Row, dict[str, dict[str, np.ndarray]]]]:
    """Up to `count` test units spread evenly over the storage order, with every arm's prediction of each."""
    units = find_units(pooled.dataset, pooled.rows("test"), pooled.task)
    spread = np.linspace(0, len(units) - 1, min(count, len(units))).round().astype(int)
    plan = next(iter(predicted.values())).read_json("plan.json")
    return [
        (
            pooled.task.assemble(read_rows(pooled.dataset, units[at].rows, pooled.task, plan)),
            {arm: directory.read_prediction(units[at].key) for arm, directory in predicted.items()},
        )
        for at in spread
    ]
