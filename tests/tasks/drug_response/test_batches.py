"""Batches brought to one scale from sums: ComBat as another library has it, sites as their pooled rows, floors held."""

from functools import partial
from importlib import import_module
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from oncotrain.errors import UserError
from oncotrain.tasks import Sums, create_task
from oncotrain.tasks.drug_response.arrays import from_text
from oncotrain.tasks.drug_response.batches import Method, Scale, batch_scale, moments_of, overall_scale
from oncotrain.tasks.drug_response.inputs import input_matrix
from oncotrain.tasks.drug_response.models.shared_ridge import SharedRidge
from oncotrain.tasks.drug_response.task import DrugResponse
from support.samples import CLINICAL, GENES, agreed_plan, features, sample_rows

DRUGS = ("afatinib", "bosutinib", "cisplatin")
NEUROCOMBAT = import_module("neuroCombat.neuroCombat")
METHODS: tuple[Method, ...] = ("standardize", "combat")


def task_by(by: str, method: str, **settings: Any) -> DrugResponse:
    batch, clinical = {"by": by, "method": method}, [*CLINICAL]
    return create_task({"name": "drug_response", "clinical": clinical, "batch": batch, **settings}, "test.yaml")


def measured(site: str, samples: int, seed: int, shift: float = 0.0, factor: float = 1.0, **row: Any) -> list[dict]:
    """Rows of one site whose values are shifted and stretched by measuring, responses apart."""
    rows = sample_rows(DRUGS, samples, seed)
    moved = [np.float32(factor) * each["expression"] + np.float32(shift) for each in rows]
    return [{**each, "expression": values, "site": site, **row} for each, values in zip(rows, moved, strict=True)]


def adjusted(values: np.ndarray, batches: np.ndarray, method: Method) -> np.ndarray:
    genes = values.shape[1]
    moments = {label: moments_of(values[batches == label]) for label in np.unique(batches)}
    overall = overall_scale([*moments.values()], method, genes)
    made = np.empty_like(values)
    for label, batch in moments.items():
        scale = batch_scale(batch, overall, method, genes)
        made[batches == label] = (values[batches == label] - scale.centre) / scale.spread
    return made * overall.spread + overall.centre


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(2, 40), min_size=2, max_size=5),
    genes=st.integers(5, 40),
    spread=st.floats(0.05, 2.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_combat_is_what_neurocombat_makes(sizes: list[int], genes: int, spread: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    batches = np.repeat([f"b{number}" for number in range(len(sizes))], sizes)
    parts = [
        rng.normal(number, spread, genes) + np.exp(rng.normal(0, 0.5, genes)) * rng.normal(size=(size, genes))
        for number, size in enumerate(sizes)
    ]
    values = np.vstack(parts) + rng.normal(8, 2, genes)
    for label in np.unique(batches):  # two values may fall together, and only here is a constant gene left as it is
        of_batch = values[batches == label]
        assume((of_batch.std(axis=0) > 1e-5 * np.sqrt((of_batch**2).mean(axis=0))).all())
    covars = pd.DataFrame({"batch": batches})
    # As released it stops iterating at changes below 1e-4.
    with mock.patch.object(NEUROCOMBAT, "it_sol", partial(NEUROCOMBAT.it_sol, conv=1e-10)):
        expected = NEUROCOMBAT.neuroCombat(dat=values.T, covars=covars, batch_col="batch")["data"].T
    assert adjusted(values, batches, "combat") == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_combat_draws_small_batches_more_to_what_their_genes_have_in_common() -> None:
    rng = np.random.default_rng(0)
    overall, shift = Scale(np.zeros(500), np.ones(500)), rng.normal(3, 0.5, 500)
    small, large = (rng.normal(shift, 1, (rows, 500)) for rows in (4, 400))
    moved, errors = {}, {}
    for name, values in {"small": small, "large": large}.items():
        own, drawn = values.mean(axis=0), batch_scale(moments_of(values), overall, "combat", 500).centre
        moved[name] = np.abs(drawn - own).mean()
        errors[name] = np.abs(drawn - shift).mean() / np.abs(own - shift).mean()
    assert moved["small"] > 10 * moved["large"]
    assert errors["small"] < 0.9, "means of four values scatter more than the genes' shifts"
    assert errors["large"] == pytest.approx(1, abs=0.02)
    one = batch_scale(moments_of(small[:1]), overall, "combat", 500)
    assert (one.centre == overall.centre).all()


def test_genes_that_are_constant_stay_finite_and_zero() -> None:
    rng = np.random.default_rng(1)
    values, batches = rng.normal(size=(60, 6)), np.repeat(["a", "b", "c"], 20)
    values[:, 0] = 7.25  # everywhere
    values[batches == "b", 1] = 3.5  # in one batch
    for method in METHODS:
        made = adjusted(values, batches, method)
        assert np.isfinite(made).all()
        assert made[:, 0] == pytest.approx(np.full(60, 7.25))
        assert made[batches == "b", 1].std() == pytest.approx(0, abs=1e-9)
        assert made[batches == "b", 1].mean() == pytest.approx(values[:, 1].mean(), abs=1e-9)
    same = np.tile(rng.normal(size=5), (12, 1))  # a batch in which nothing varies
    for method in METHODS:
        scale = batch_scale(moments_of(same), Scale(np.zeros(5), np.ones(5)), method, 5)
        assert (same[0] - scale.centre) / scale.spread == pytest.approx(np.zeros(5), abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("by", ["site", "cohort"])
def test_sites_get_the_plan_of_their_pooled_rows(by: str, method: str) -> None:
    """A cohort may be in several sites, a site in several cohorts."""
    parts = [measured(site, 40, seed, seed, 1 + seed) for seed, site in enumerate(("lyon", "nantes", "brest"))]
    for rows in parts:
        for number, row in enumerate(rows):
            row["cohort"] = "ab"[number % 2]
    task = task_by(by, method)
    plan, pooled = agreed_plan(task, DRUGS, parts), agreed_plan(task, DRUGS, [[row for rows in parts for row in rows]])
    assert set(plan["batches"]["scales"]) == ({"lyon", "nantes", "brest"} if by == "site" else {"a", "b"})
    for label, scale in plan["batches"]["scales"].items():
        assert from_text(scale) == pytest.approx(from_text(pooled["batches"]["scales"][label]), rel=1e-6, abs=1e-9)
    rows = [row for part in parts for row in part]
    assert input_matrix(rows, plan) == pytest.approx(input_matrix(rows, pooled), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_shift_of_measuring_is_taken_off(method: str) -> None:
    """The inputs of a site that measures otherwise are those of one that does not; without batches they are not."""
    plain = [measured("lyon", 100, 0), measured("nantes", 100, 1)]
    moved = [plain[0], measured("nantes", 100, 1, shift=5.0, factor=3.0, clinical_age=90.0)]
    inputs = {
        name: input_matrix(rows[1], agreed_plan(task_by("site", method), DRUGS, rows))[:, : len(GENES)]
        for name, rows in {"plain": plain, "moved": moved}.items()
    }
    assert np.abs(inputs["moved"] - inputs["plain"]).mean() < {"standardize": 1e-5, "combat": 0.1}[method]
    without = create_task({"name": "drug_response"}, "test.yaml")
    assert (
        np.abs(input_matrix(moved[1], agreed_plan(without, DRUGS, moved))[:, : len(GENES)] - inputs["plain"]).mean()
        > 0.5
    )


def test_models_gain_where_sites_measure_otherwise() -> None:
    """The ridge in one go and the network's inputs both follow the plan."""
    train = [*measured("lyon", 120, 0), *measured("nantes", 120, 1, shift=4.0, factor=2.0)]
    test = measured("nantes", 80, 2, shift=4.0, factor=2.0)
    truth = np.array([row["response"].mean() for row in test if len(row["response"])])
    errors = {}
    for name, task in {"none": create_task({"name": "drug_response"}, "t"), "own": task_by("site", "combat")}.items():
        plan = agreed_plan(task, DRUGS, [train])
        predicted = SharedRidge().fit(plan, train)(test)
        seen = [predicted[at][row["drug"]].mean() for at, row in enumerate(test) if len(row["response"])]
        errors[name] = float(np.mean((np.array(seen) - truth) ** 2))
    assert errors["own"] < 0.8 * errors["none"]


def test_a_batch_that_training_did_not_see_is_on_the_scale_of_all() -> None:
    rows = [*measured("lyon", 30, 0), *measured("nantes", 30, 1, shift=2.0)]
    plan = agreed_plan(task_by("site", "standardize"), DRUGS, [rows])
    strange = [{**row, "site": "brest"} for row in rows[:5]]
    genes = input_matrix(strange, plan)[:, : len(GENES)]
    expression = np.stack([row["expression"] for row in strange])
    assert genes == pytest.approx((expression - plan["gene_mean"]) / plan["gene_std"], abs=1e-5)


def sums_over(sums: Sums, kind: str) -> set[str]:
    return {name.removeprefix(f"batch/{kind}/") for name in sums if name.startswith(f"batch/{kind}/")}


def test_no_sum_is_over_fewer_patients_than_the_floor() -> None:
    """Of small batches, rare drugs and rarely recorded numbers; several rows of a patient count as one patient."""
    rows = measured("lyon", 30, 0, cohort="large") + measured("lyon", 4, 1, cohort="small")
    rows += measured("lyon", 3, 2, cohort="tiny")
    for number, row in enumerate(rows):
        seen = row["drug"] != 2 if number >= 3 else np.ones(len(row["drug"]), bool)
        row |= {"drug": row["drug"][seen], "response": row["response"][seen]}
        row["clinical_age"] = 50.0 if number < 2 else None
    task = task_by("cohort", "standardize")
    contract = task.contract(features(DRUGS))
    open_sums, held = task.statistics(contract, rows, 1), task.statistics(contract, rows, 5)
    assert sums_over(open_sums, "n") == {"large", "small", "tiny"}
    assert sums_over(held, "n") == {"large", ""}, "seven patients of two cohorts are told as one"
    assert 0 < open_sums["response/n"][2] < 5
    assert [held[f"response/{part}"][2] for part in ("n", "total", "squares")] == [0, 0, 0]
    assert held["response/n"][0] == open_sums["response/n"][0]
    assert (open_sums["batch/n/large"][-1], held["batch/n/large"][-1]) == (2, 0)
    assert not any(values[..., -1].any() for name, values in held.items() if name.startswith("batch/"))
    eight = task.statistics(contract, rows, 8)
    assert not eight["batch/n/"].any(), "seven are fewer than eight, together too"
    twice = [{**row, "patient": f"p{number // 2}"} for number, row in enumerate(rows)]
    assert sums_over(task.statistics(contract, twice, 5), "n") == {"large", ""}
    assert not task.statistics(contract, twice, 5)["batch/n/"].any(), "seven rows of four patients"


@pytest.mark.parametrize("method", METHODS)
def test_the_network_trains_on_it_and_the_ridge_stands_beside(method: str) -> None:
    parts = [measured("lyon", 40, 0), measured("nantes", 40, 1, shift=3.0)]
    task = task_by("site", method, ridge={"components": 5}, network={"members": 1, "width": 8})
    plan = agreed_plan(task, DRUGS, parts)
    assert "site" in task.columns
    batch = task.collate(parts[1], plan, None)
    assert batch["inputs"][:, : len(GENES)].mean().abs() < 0.05
    torch.manual_seed(0)
    total, count = task.loss(task.model(plan), batch)
    assert total.isfinite()
    assert count == sum(len(row["drug"]) for row in parts[1])


def test_a_batch_is_of_a_known_column_and_method() -> None:
    with pytest.raises(UserError, match=r"batch\.by.*'site' or 'cohort'"):
        task_by("tissue", "combat")
    with pytest.raises(UserError, match=r"batch\.method.*'standardize' or 'combat'"):
        task_by("site", "quantile")
