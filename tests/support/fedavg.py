"""Federated averaging from nothing but `fit` and a weighted mean, to hold federated runs against."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from oncotrain.config.training import RunConfig
from oncotrain.federation.schedule import federated_train
from oncotrain.lake.filesystem import Lake
from oncotrain.tasks import create_task
from oncotrain.training.checkpoint import load_checkpoint
from oncotrain.training.collective import Alone
from oncotrain.training.data import RunData, local_statistics, open_data
from oncotrain.training.fit import fit
from oncotrain.training.run import RunDirectory
from oncotrain.training.state import TrainState, get_parameters, initial_state, set_parameters

LABELS = {"drug_response": "response", "histology": "labelled"}


def best_state(centre: Lake, summary: Mapping[str, Any], config: RunConfig) -> TrainState:
    directory = RunDirectory(centre, summary["run"])
    task = create_task(config.task, "test.yaml")
    return load_checkpoint(directory, "best", initial_state(task, directory.read_json("plan.json"), config.train))[0]


def require_same_run(
    one: tuple[Lake, Mapping[str, Any]], other: tuple[Lake, Mapping[str, Any]], config: RunConfig
) -> None:
    """Two runs, each by the coordinator's lake and its summary, end with the same figures and the same parameters."""
    assert one[1]["figures"] == pytest.approx(other[1]["figures"], rel=1e-6, nan_ok=True)
    found, wanted = (get_parameters(best_state(lake, summary, config).model) for lake, summary in (one, other))
    assert all(np.allclose(a, b, rtol=1e-9, atol=1e-11) for a, b in zip(found, wanted, strict=True))


def open_all(sites: Mapping[str, Lake], config: RunConfig) -> list[RunData]:
    return [open_data(lake, config, "test.yaml") for lake in sites.values()]


def labelled_items(data: RunData) -> float:
    """What the task's loss counts, from the rows themselves: observed pairs, or images with any label."""
    column = LABELS[data.task.name]
    values = [row[column] for row in data.dataset.iterate([column], data.rows("train"))]
    return float(sum(len(value) if column == "response" else value.any() for value in values))


def average_by_hand(sites: Mapping[str, Lake], config: RunConfig, weights: list[float]) -> list[list[np.ndarray]]:
    """The common parameters after each round, from nothing but `fit` and a weighted mean."""
    assert config.federated is not None
    train = federated_train(config.train, config.federated)
    data = open_all(sites, config)
    task = data[0].task
    contract = task.agree([task.contract(each.dataset.manifest.features) for each in data])
    plan = task.plan(contract, task.merge_statistics([local_statistics(each, contract, 1) for each in data]))
    states = [initial_state(task, plan, train) for _ in data]
    common, after = get_parameters(states[0].model), []
    for _ in range(config.federated.rounds):
        for number, each in enumerate(data):
            set_parameters(states[number].model, common)
            states[number], _ = fit(
                states[number],
                config.federated.local_steps,
                task=task,
                plan=plan,
                dataset=each.dataset,
                rows=each.rows("train"),
                train=train,
                collective=Alone(),
            )
        layers = zip(*(get_parameters(state.model) for state in states), strict=True)
        common = [np.average(layer, axis=0, weights=weights) for layer in layers]
        after.append(common)
    return after
