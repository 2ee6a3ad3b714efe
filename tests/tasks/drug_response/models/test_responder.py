"""The responder classifier: batches do not mislead it, shuffled labels leave it at chance."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from oncotrain.tasks import create_task
from oncotrain.tasks.drug_response.models.responder import Responder, left_out_auroc
from oncotrain.tasks.drug_response.models.within_batches import batch_scales, standardized
from support.samples import features, sample_rows


def patients(count: int, seed: int) -> list[dict[str, Any]]:
    """Patients of three cohorts that differ in scale; response follows two genes, relative to the cohort."""
    rows = sample_rows(["drug"], samples=count, seed=seed)
    rng = np.random.default_rng(seed)
    for number, row in enumerate(rows):
        signal = row["expression"][0] - row["expression"][1]
        row["cohort"] = "abc"[number % 3]
        row["drug"] = np.zeros(1, np.int32)
        row["response"] = np.array([signal + 0.5 * rng.normal() > 0], np.float32)
        row["expression"] = row["expression"] * (1 + 3 * (number % 3)) + 20 * (number % 3)
    return rows


def values_of(rows: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([row["expression"] for row in rows]), np.array([row["cohort"] for row in rows])


def auroc(train: list[dict[str, Any]], test: list[dict[str, Any]], model: Responder) -> float:
    task = create_task({"name": "drug_response", "clinical": ["tissue", "age"]}, "test.yaml")
    contract = task.contract(features(["drug"]))
    plan = task.plan(contract, task.statistics(contract, train, 1))
    predicted = model.fit(plan, train)(test)
    assert ((predicted >= 0) & (predicted <= 1)).all()
    return roc_auc_score([row["response"][0] for row in test], predicted[:, 0])


def test_it_learns_and_shuffled_labels_score_at_chance() -> None:
    rows = patients(360, seed=1)
    train, test = rows[:240], rows[240:]
    assert auroc(train, test, Responder()) > 0.85
    # A direction found in noise may by luck lie near the true one: what must be at chance is the mean over shuffles.
    quick = Responder(penalties=(0.01,), weights=(1.0,))
    chance = []
    for seed in range(12):
        order = np.random.default_rng(seed).permutation(len(train))
        shuffled = [{**row, "response": train[at]["response"]} for row, at in zip(train, order, strict=True)]
        chance.append(auroc(shuffled, test, quick))
    assert np.mean(chance) == pytest.approx(0.5, abs=0.12)


def test_a_cohort_never_seen_is_standardized_by_its_own_rows() -> None:
    rows = patients(360, seed=3)
    train = [row for row in rows if row["cohort"] != "c"]
    test = [row for row in rows if row["cohort"] == "c"]
    assert auroc(train, test, Responder()) > 0.85
    values, batches = zip(*(values_of(side) for side in (train, test)), strict=True)
    scores = standardized(values[1], batches[1], batch_scales(values[0], batches[0]))
    assert scores.mean(axis=0) == pytest.approx(np.zeros(20), abs=1e-5)
    assert scores.std(axis=0) == pytest.approx(np.ones(20), rel=1e-5)


def test_one_class_alone_is_predicted_by_its_share() -> None:
    rows = patients(60, seed=4)
    for row in rows:
        row["response"] = np.ones(1, np.float32)
    task = create_task({"name": "drug_response"}, "test.yaml")
    contract = task.contract(features(["drug"]))
    plan = task.plan(contract, task.statistics(contract, rows, 1))
    assert Responder().fit(plan, rows)(rows[:3])[:, 0].tolist() == [1, 1, 1]


def test_telling_cohorts_apart_is_worth_nothing_where_settings_are_chosen() -> None:
    groups = np.repeat(["few respond", "many respond"], 100)
    truth = np.tile(np.arange(10), 20) < np.where(groups == "few respond", 2, 8)
    folds = [
        (np.flatnonzero(np.arange(200) % 4 != fold), np.flatnonzero(np.arange(200) % 4 == fold)) for fold in range(4)
    ]
    cohort = (groups == "many respond").astype(float)[:, None]
    assert left_out_auroc(cohort, truth, 1.0, folds, np.arange(200)) > 0.75, "patients, no cohorts: all are compared"
    # Within a cohort only the folds' own models differ.
    assert left_out_auroc(cohort, truth, 1.0, folds, groups) == pytest.approx(0.5, abs=0.1)
    assert left_out_auroc(np.hstack([cohort, truth[:, None]]), truth, 1.0, folds, groups) == 1
