"""Figures of a model on whole units: decisions chosen on validation patients, predictions of test patients saved.

A unit (a whole image, a sample) is assembled from all of its rows. Units are shared out over the ranks; sums are merged
in the units' storage order, so figures do not depend on the number of ranks.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
import torch

from oncotrain.errors import DataError
from oncotrain.lake.dataset import Dataset
from oncotrain.tasks import Plan, Row, Sums, Task
from oncotrain.training.collective import Collective, together
from oncotrain.training.loader import prefetch, read_rows

T = TypeVar("T")

Prediction = Mapping[str, np.ndarray]
Decision = Mapping[str, Any]


@dataclass(frozen=True)
class Unit:
    """What one prediction is made for."""

    key: str
    """Values of the task's unit columns, joined by '_'; names the prediction's file."""
    patient: str
    rows: tuple[int, ...]
    """All of its row numbers, in storage order."""


def find_units(dataset: Dataset, rows: np.ndarray, task: Task) -> list[Unit]:
    """The units that the selected rows make, in storage order.

    Raises:
        DataError: The rows of a unit do not lie together in the dataset.
    """
    keys = dataset.index(("patient", *task.unit)).iloc[np.sort(rows)]
    names = keys[list(task.unit)].astype(str).agg("_".join, axis=1)
    units = []
    for (name, patient), members in groupby(
        zip(names, keys["patient"], keys.index, strict=True), key=lambda row: row[:2]
    ):
        units.append(Unit(name, patient, tuple(int(row[2]) for row in members)))
    if len({unit.key for unit in units}) < len(units):
        raise DataError(f"{dataset.uri}: the rows of one {'/'.join(task.unit)} are not stored together")
    return units


def validate(
    model: torch.nn.Module, units: Sequence[Unit], *, task: Task, plan: Plan, dataset: Dataset, collective: Collective
) -> list[Sums]:
    """Sums over `units` (at least one) under each of the task's candidate decisions, in their order; on every rank."""

    def measure(_unit: Unit, content: Row, raw: Prediction) -> list[Sums]:
        return [task.measure(content, task.decide(raw, plan, decision), plan) for decision in task.decisions()]

    measured = _over_units(model, units, measure, task, plan, dataset, collective)
    return [task.merge(sums) for sums in zip(*measured, strict=True)]


def choose(task: Task, sums: Sequence[Sums]) -> tuple[dict[str, Any], dict[str, float]]:
    """The candidate decision with the best primary figure, the first of equals, and the figures under it.

    Args:
        sums: What `validate` gave, merged over sites where there are several.
    """
    figures = [task.figures(candidate) for candidate in sums]
    values = [figure[task.primary] for figure in figures]
    best = max(range(len(values)), key=lambda at: -math.inf if math.isnan(values[at]) else values[at])
    return dict(task.decisions()[best]), figures[best]


def predict(
    model: torch.nn.Module,
    units: Sequence[Unit],
    decision: Decision,
    save: Callable[[str, Prediction], None],
    *,
    task: Task,
    plan: Plan,
    dataset: Dataset,
    collective: Collective,
) -> dict[str, Sums]:
    """Predict `units` under `decision`, hand each prediction to `save` with its unit's key; sums per patient.

    `save` is called on the rank that predicted.
    """

    def measure(unit: Unit, content: Row, raw: Prediction) -> Sums:
        prediction = task.decide(raw, plan, decision)
        save(unit.key, prediction)
        return task.measure(content, prediction, plan)

    return per_patient(task, units, _over_units(model, units, measure, task, plan, dataset, collective))


def remeasure(
    units: Sequence[Unit], load: Callable[[str], Prediction], *, task: Task, plan: Plan, dataset: Dataset
) -> dict[str, Sums]:
    """Sums per patient of predictions saved earlier, against the truth read again from the dataset."""
    sums = [task.measure(content, load(unit.key), plan) for unit, content in _contents(units, task, plan, dataset)]
    return per_patient(task, units, sums)


def per_patient(task: Task, units: Sequence[Unit], sums: Sequence[Sums]) -> dict[str, Sums]:
    """Merge the units' sums by patient."""
    patients: dict[str, list[Sums]] = {}
    for unit, part in zip(units, sums, strict=True):
        patients.setdefault(unit.patient, []).append(part)
    return {patient: task.merge(parts) for patient, parts in patients.items()}


def patient_figures(task: Task, patients: Mapping[str, Sums]) -> dict[str, float]:
    """All figures over these patients, by the sums of each."""
    sums = list(patients.values())
    return {**task.figures(task.merge(sums)), **task.rank_figures(sums)}


def _over_units(
    model: torch.nn.Module,
    units: Sequence[Unit],
    measure: Callable[[Unit, Row, Prediction], T],
    task: Task,
    plan: Plan,
    dataset: Dataset,
    collective: Collective,
) -> list[T]:
    """`measure` of every unit, in order, on every rank; each rank infers its share."""

    def share() -> list[T]:
        model.eval()
        with torch.inference_mode(), closing(_contents(mine, task, plan, dataset)) as contents:
            return [measure(unit, content, task.infer(model, plan, content)) for unit, content in contents]

    mine = units[collective.rank :: collective.world]
    shares = together(collective, share)
    return [shares[number % collective.world][number // collective.world] for number in range(len(units))]


def _contents(units: Sequence[Unit], task: Task, plan: Plan, dataset: Dataset) -> Generator[tuple[Unit, Row]]:
    """Each unit with what it is assembled to, read ahead of its use."""
    return prefetch(lambda unit: (unit, task.assemble(read_rows(dataset, unit.rows, task, plan))), units)
