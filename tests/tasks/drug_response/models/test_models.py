"""Every model behind the one interface: what it learns, what it must not, and a ridge against scikit-learn's."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge

from oncotrain.tasks import Plan, Row, create_task
from oncotrain.tasks.drug_response.models.boosting import Boosting
from oncotrain.tasks.drug_response.models.components import principal_components
from oncotrain.tasks.drug_response.models.elastic_net import ElasticNet
from oncotrain.tasks.drug_response.models.model import Model, score
from oncotrain.tasks.drug_response.models.naive import Mean
from oncotrain.tasks.drug_response.models.ridge import Ridge, fit_ridge
from oncotrain.tasks.drug_response.models.shared_ridge import SharedRidge
from oncotrain.tasks.drug_response.models.spectrum import PENALTIES, choose_penalty
from oncotrain.tasks.drug_response.task import DrugResponse
from support.samples import features, sample_rows

DRUGS = ("afatinib", "bosutinib", "cisplatin", "dasatinib", "erlotinib")
LEARNERS: list[Model] = [Ridge(), SharedRidge(), ElasticNet(components=20), Boosting(components=20)]


@pytest.fixture
def task() -> DrugResponse:
    return create_task({"name": "drug_response", "clinical": ["tissue", "age"]}, "test.yaml")


@pytest.fixture
def plan_of(task: DrugResponse) -> Callable[[Sequence[Row]], Plan]:
    def make(rows: Sequence[Row]) -> Plan:
        contract = task.contract(features(DRUGS))
        return task.plan(contract, task.statistics(contract, rows, 1))

    return make


def figures(
    task: DrugResponse, plan: Plan, model: Model, train: Sequence[Row], test: Sequence[Row]
) -> dict[str, float]:
    return task.figures(task.merge(list(score(model.fit(plan, train), plan, test).values())))


@pytest.mark.parametrize("model", LEARNERS, ids=lambda model: model.model)
def test_a_model_finds_the_signal_and_none_in_shuffled_labels(task, plan_of, model: Model) -> None:
    rows = sample_rows(DRUGS, samples=400, seed=3)
    train, test = rows[:320], rows[320:]
    plan = plan_of(train)
    order = np.random.default_rng(4).permutation(len(train))
    shuffled = [{**row, "expression": train[at]["expression"]} for row, at in zip(train, order, strict=True)]
    assert figures(task, plan, model, train, test)["pearson_per_drug"] > 0.75
    assert abs(figures(task, plan, model, shuffled, test)["pearson_per_drug"]) < 0.2


@pytest.mark.parametrize("model", [Mean(of="drug and group"), *LEARNERS], ids=lambda model: model.model)
def test_a_drug_that_nobody_was_tested_with_gets_the_overall_mean(plan_of, model: Model) -> None:
    rows: list[dict[str, Any]] = sample_rows(DRUGS, samples=60, seed=3)
    for row in rows:
        known = row["drug"] != 2
        row["drug"], row["response"] = row["drug"][known], row["response"][known]
    plan = plan_of(rows)
    predicted = model.fit(plan, rows)(rows[:5])
    assert np.isfinite(predicted).all()
    assert predicted[:, 2] == pytest.approx(np.full(5, plan["drug_mean"][2]))


def test_a_lines_own_mean_ranks_lines_for_a_new_drug(plan_of) -> None:
    rows: list[dict[str, Any]] = sample_rows(DRUGS, samples=60, seed=3)
    shifts = np.random.default_rng(0).normal(scale=5, size=len(rows))
    for row, shift in zip(rows, shifts, strict=True):
        row["response"] = row["response"] + np.float32(shift)
        known = row["drug"] != 2
        row["drug"], row["response"] = row["drug"][known], row["response"][known]
    predicted = Mean(of="effects", group="sample").fit(plan_of(rows), rows)(rows)
    assert np.corrcoef(predicted[:, 2], shifts)[0, 1] > 0.9


def test_shared_directions_help_where_drugs_are_alike_and_pairs_few() -> None:
    rng = np.random.default_rng(5)
    inputs, latent = rng.normal(size=(160, 60)), rng.normal(size=(60, 2))
    true = inputs @ latent @ rng.normal(size=(2, 30)) / 8
    noisy = true + rng.normal(scale=1.5, size=true.shape)
    noisy[rng.random(true.shape) < 0.3] = np.nan
    train, test = slice(0, 80), slice(80, 160)
    alone = fit_ridge(inputs[train], noisy[train], np.zeros(30))(inputs[test])
    shared = SharedRidge().solve(inputs[train], noisy[train])(inputs[test])
    assert ((shared - true[test]) ** 2).mean() < 0.7 * ((alone - true[test]) ** 2).mean()


def test_ridge_equals_sklearns_drug_by_drug() -> None:
    rng = np.random.default_rng(0)
    inputs, response = rng.normal(size=(40, 90)), rng.normal(size=(40, 7))
    response += inputs[:, :7]
    response[rng.random(response.shape) < 0.3] = np.nan
    linear = fit_ridge(inputs, response, np.zeros(7))
    for drug, values in enumerate(response.T):
        seen = ~np.isnan(values)
        x, y = inputs[seen], values[seen]
        values, vectors = np.linalg.eigh(np.cov(x.T, bias=True) * len(x))
        values = np.maximum(values, 0)
        projected = vectors.T @ (x - x.mean(axis=0)).T @ (y - y.mean())
        penalty = choose_penalty(values, projected[:, None], np.array([y.var() * len(y)]), len(y)).penalty[0]
        peer = SklearnRidge(alpha=penalty).fit(x, y)
        assert linear.weights[:, drug] == pytest.approx(peer.coef_, rel=1e-6, abs=1e-9)
        assert linear.intercept[drug] == pytest.approx(peer.intercept_, rel=1e-6, abs=1e-9)


def test_gcv_is_the_criterion_of_the_paper() -> None:
    """From the hat matrix, as Golub, Heath and Wahba write it."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(30, 8)), rng.normal(size=30)
    x, y = x - x.mean(axis=0), y - y.mean()
    values, vectors = np.linalg.eigh(x.T @ x)
    choice = choose_penalty(values, (vectors.T @ x.T @ y)[:, None], np.array([y @ y]), 30)
    criteria = []
    for penalty in PENALTIES * values.sum() / 30:
        hat = x @ np.linalg.solve(x.T @ x + penalty * np.eye(8), x.T) + 1 / 30
        residual = y - (hat - 1 / 30) @ y
        criteria.append(30 * (residual @ residual) / np.trace(np.eye(30) - hat) ** 2)
    assert choice.gcv[0] == pytest.approx(min(criteria))
    assert choice.penalty[0] == pytest.approx((PENALTIES * values.sum() / 30)[int(np.argmin(criteria))])


def test_components_are_orthonormal_and_no_more_than_there_are() -> None:
    inputs = np.random.default_rng(2).normal(size=(12, 50))
    components = principal_components(inputs, 30)
    assert components.axes.shape == (50, 11)
    assert components.axes.T @ components.axes == pytest.approx(np.eye(11))
    spread = components(inputs).var(axis=0)
    assert (np.diff(spread) <= 0).all()
    assert spread.sum() == pytest.approx(inputs.var(axis=0).sum())
