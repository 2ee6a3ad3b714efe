"""The ridge as a part of the task: fitted from sums, kept in the plan, half a say in predictions, none in training."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from oncotrain.errors import UserError
from oncotrain.tasks import Plan, Row, create_task
from oncotrain.tasks.drug_response.arrays import from_text
from oncotrain.tasks.drug_response.inputs import input_matrix
from oncotrain.tasks.drug_response.models.ridge import fit_ridge
from oncotrain.tasks.drug_response.models.shared_ridge import SharedRidge
from oncotrain.tasks.drug_response.response import response_matrix
from oncotrain.tasks.drug_response.task import DrugResponse
from oncotrain.training.state import get_parameters
from support.samples import agreed_plan, sample_rows

DRUGS = ("afatinib", "bosutinib", "bosutinib [early]", "cisplatin")
SETTINGS = {
    "name": "drug_response",
    "clinical": ["tissue", "age"],
    "auxiliary": ["early"],
    "network": {"members": 2, "width": 8, "dropout": 0.0, "input_dropout": 0.0},
}


@pytest.fixture(params=["shared", "each"])
def task(request: pytest.FixtureRequest) -> DrugResponse:
    return made(request.param)


def made(responses: str) -> DrugResponse:
    return create_task({**SETTINGS, "ridge": {"responses": responses, "components": 6}}, "test.yaml")


def arrays(plan: Plan) -> dict[str, np.ndarray]:
    return {name: from_text(text) for part in ("axes", "ridge") for name, text in plan[part].items()}


def standardized(plan: Plan, rows: Sequence[Row]) -> np.ndarray:
    return (response_matrix(rows, len(DRUGS)) - plan["drug_mean"]) / plan["drug_std"]


@pytest.mark.parametrize("responses", ["shared", "each"])
def test_many_sites_get_the_ridge_of_all_rows_together(responses: str) -> None:
    rows, task = sample_rows(DRUGS, samples=90, seed=1), made(responses)
    plan = agreed_plan(task, DRUGS, [rows[:11], rows[11:40], rows[40:]])
    assert [fit.name for fit in task.fits] == ["axes", "ridge"]
    # One participant on these axes: of the axes themselves, only the last digits differ, and signs may.
    _, ridge = task.fits
    alone = arrays(ridge.fitted(plan, [ridge.sums(plan, rows, 1)]))
    assert arrays(plan)["weights"] == pytest.approx(alone["weights"], rel=1e-8, abs=1e-11)
    assert arrays(plan)["intercept"] == pytest.approx(alone["intercept"], rel=1e-8, abs=1e-11)
    product, again = (
        each["axes"] @ each["weights"] for each in (arrays(plan), arrays(agreed_plan(task, DRUGS, [rows])))
    )
    assert product == pytest.approx(again, rel=1e-4, abs=1e-6)


def test_each_drug_has_the_ridge_of_the_samples_it_was_tested_on() -> None:
    rows = sample_rows(DRUGS, samples=90, seed=1)
    plan = agreed_plan(made("each"), DRUGS, [rows[:11], rows[11:40], rows[40:]])
    found = arrays(plan)
    coordinates = (input_matrix(rows, plan) - found["centre"]) @ found["axes"].astype(np.float64)
    pooled = fit_ridge(coordinates, standardized(plan, rows), np.zeros(len(DRUGS)))
    judged = [number for number, drug in enumerate(sorted(DRUGS)) if "[" not in drug]
    assert found["weights"][:, judged] == pytest.approx(pooled.weights[:, judged], rel=1e-8, abs=1e-10)
    assert found["intercept"][judged] == pytest.approx(pooled.intercept[judged], rel=1e-8, abs=1e-10)
    assert not found["weights"][:, sorted(DRUGS).index("bosutinib [early]")].any()


def test_shared_responses_have_the_ridge_of_filled_rows() -> None:
    rows = sample_rows(DRUGS, samples=90, seed=1)
    plan = agreed_plan(made("shared"), DRUGS, [rows[:50], rows[50:]])
    found, response = arrays(plan), standardized(plan, rows)
    coordinates = (input_matrix(rows, plan) - found["centre"]) @ found["axes"].astype(np.float64)
    mean = np.array([np.nanmean(row) if not np.isnan(row).all() else 0.0 for row in response])
    filled = np.where(np.isnan(response), mean[:, None], response)
    expected = SharedRidge().solve(coordinates, filled)  # nothing is left for it to fill
    assert found["weights"] == pytest.approx(expected.weights, rel=1e-7, abs=1e-9)
    assert found["intercept"] == pytest.approx(expected.intercept, rel=1e-7, abs=1e-9)


def test_a_response_of_few_patients_leaves_no_trace_in_shared_sums() -> None:
    rows, task = sample_rows(DRUGS, samples=30, seed=5), made("shared")
    plan = agreed_plan(task, DRUGS, [rows])
    _, ridge = task.fits
    rare = 3
    few = [{**row, "drug": row["drug"], "response": row["response"]} for row in rows]
    holders = [row for row in few if rare in row["drug"]]
    for row in holders[3:]:
        keep = row["drug"] != rare
        row["drug"], row["response"] = row["drug"][keep], row["response"][keep]
    other = [dict(row) for row in few]
    for row in other:
        row["response"] = np.where(row["drug"] == rare, row["response"] + 5, row["response"]).astype(np.float32)
    held = [ridge.sums(plan, rows, 4)["second"].tolist() for rows in (few, other)]
    assert held[0] == held[1]
    shown = [ridge.sums(plan, rows, 3)["second"].tolist() for rows in (few, other)]
    assert shown[0] != shown[1]


def test_rows_are_summed_by_block_as_together(task: DrugResponse, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = sample_rows(DRUGS, samples=50, seed=2)
    whole = agreed_plan(task, DRUGS, [rows])
    monkeypatch.setattr("oncotrain.tasks.drug_response.blocks.BLOCK", 7)
    for fit in task.fits:
        together, blocks = fit.sums(whole, rows, 1), fit.sums(whole, iter(rows), 1)
        for name, values in together.items():
            assert blocks[name] == pytest.approx(values, rel=1e-10, abs=1e-12)


def test_a_prediction_is_the_mean_of_network_and_ridge(task: DrugResponse) -> None:
    rows = sample_rows(DRUGS, samples=60, seed=3)
    plan = agreed_plan(task, DRUGS, [rows])
    bare = create_task(SETTINGS, "test.yaml")
    torch.manual_seed(0)
    model = task.model(plan).eval()
    torch.manual_seed(0)
    network = bare.model(plan).eval()
    with torch.inference_mode():
        mixed, alone = (
            each.infer(made, plan, rows[0])["standardized"] for each, made in ((task, model), (bare, network))
        )
    found = arrays(plan)
    ridge = (input_matrix(rows[:1], plan) - found["centre"]) @ found["axes"] @ found["weights"] + found["intercept"]
    assert mixed == pytest.approx((alone + ridge[0]) / 2, abs=1e-5)
    assert not np.allclose(mixed, alone, atol=1e-3)
    batch = task.collate(rows, plan, None)
    assert task.loss(model, batch)[0] == bare.loss(network, batch)[0]


def test_the_ridge_is_state_that_is_not_trained(task: DrugResponse) -> None:
    plan = agreed_plan(task, DRUGS, [sample_rows(DRUGS, samples=40, seed=4)])
    model, network = task.model(plan), create_task(SETTINGS, "test.yaml").model(plan)
    assert [value.shape for value in get_parameters(model)] == [value.shape for value in get_parameters(network)]
    kept = model.state_dict()
    buffers = {f"ridge.{name}" for name in ("centre", "axes", "weights", "intercept")}
    assert set(kept) - set(network.state_dict()) == buffers
    assert kept["ridge.weights"].numpy() == pytest.approx(arrays(plan)["weights"])


def test_a_ridge_for_each_drug_has_few_components() -> None:
    with pytest.raises(UserError, match="components is at most 128 where responses is each"):
        create_task({**SETTINGS, "ridge": {"responses": "each", "components": 129}}, "test.yaml")
