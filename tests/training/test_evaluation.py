"""Units are whole, shared out over ranks without a trace in the figures, and chosen on without NaN winning."""

import math
import threading
from typing import Any

import numpy as np
import pytest

from oncotrain.errors import DataError
from oncotrain.training.evaluation import choose, find_units, predict, remeasure, validate
from oncotrain.training.state import initial_state
from support.ranks import run_ranks
from support.vectors import MemoryDataset, VectorTask, make_rows


@pytest.fixture
def evaluated(vectors: dict[str, Any]) -> dict[str, Any]:
    """Arguments that the evaluation shares."""
    return {key: vectors[key] for key in ("task", "plan", "dataset", "collective")}


@pytest.fixture
def model(vectors: dict[str, Any]):
    return initial_state(vectors["task"], vectors["plan"], vectors["train"]).model


def test_units_hold_all_their_rows_in_storage_order(vectors):
    units = find_units(vectors["dataset"], np.array([9, 8, 7, 6, 2, 1, 0]), vectors["task"])
    assert [(unit.key, unit.patient, unit.rows) for unit in units] == [
        ("p000_0", "p000", (0, 1, 2)),
        ("p001_0", "p001", (6, 7, 8)),
        ("p001_1", "p001", (9,)),
    ]


def test_a_unit_that_is_not_stored_together_is_refused(vectors):
    rows = make_rows(9)
    scattered = MemoryDataset([*rows[:2], *rows[3:5], rows[2]], (5,))
    with pytest.raises(DataError, match="patient/visit are not stored together"):
        find_units(scattered, np.arange(5), vectors["task"])


@pytest.mark.parametrize("world", [2, 5])
def test_validation_does_not_depend_on_the_number_of_ranks(vectors, evaluated, model, world):
    units = find_units(vectors["dataset"], np.arange(47), vectors["task"])
    alone = validate(model, units, **evaluated)
    for sums in run_ranks(lambda ranks: validate(model, units, **evaluated | {"collective": ranks}), world):
        assert [{key: value.tolist() for key, value in part.items()} for part in sums] == [
            {key: value.tolist() for key, value in part.items()} for part in alone
        ]
    assert len(alone) == len(vectors["task"].decisions())


def test_a_rank_that_cannot_read_stops_all_ranks(vectors, evaluated, model):
    units = find_units(vectors["dataset"], np.arange(47), vectors["task"])
    vectors["dataset"].lost = {5}

    def work(ranks):
        with pytest.raises(DataError, match="a row is missing"):
            validate(model, units, **evaluated | {"collective": ranks})
        return True

    assert run_ranks(work, 3) == [True] * 3


def test_the_best_decision_is_the_first_of_the_best_and_never_undefined():
    def sums(error: float, n: float) -> dict[str, np.ndarray]:
        return {"squares": np.array([error]), "n": np.array([n])}

    task = VectorTask()
    assert choose(task, [sums(4.0, 2.0), sums(2.0, 2.0)]) == ({"scale": 1.0}, {"minus_mse": -1.0})
    assert choose(task, [sums(2.0, 2.0), sums(2.0, 2.0)])[0] == {"scale": 0.5}
    assert choose(task, [sums(0.0, 0.0), sums(9.0, 1.0)])[0] == {"scale": 1.0}
    decision, figures = choose(task, [sums(0.0, 0.0), sums(0.0, 0.0)])
    assert decision == {"scale": 0.5}
    assert math.isnan(figures["minus_mse"])


def test_saved_predictions_give_the_same_sums(vectors, evaluated, model):
    units = find_units(vectors["dataset"], np.arange(47), vectors["task"])
    saved: dict[str, dict[str, np.ndarray]] = {}
    lock = threading.Lock()

    def save(key: str, prediction: dict[str, np.ndarray]) -> None:
        with lock:
            saved[key] = prediction

    patients = run_ranks(
        lambda ranks: predict(model, units, {"scale": 1.0}, save, **evaluated | {"collective": ranks}), 2
    )[0]
    again = {key: evaluated[key] for key in ("task", "plan", "dataset")}
    assert remeasure(units, saved.__getitem__, **again) == patients
    assert list(patients) == sorted({unit.patient for unit in units})
    assert sorted(saved) == sorted(unit.key for unit in units)
    saved["p000_0"] = {"y": saved["p000_0"]["y"] + 1}
    changed = remeasure(units, saved.__getitem__, **again)
    assert [patient for patient in patients if changed[patient] != patients[patient]] == ["p000"]
