"""Batches, loss, and a network that learns what there is to learn and nothing else."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from oncotrain.errors import UserError
from oncotrain.tasks import Plan, Row, create_task
from oncotrain.tasks.drug_response.models.model import Model, score
from oncotrain.tasks.drug_response.models.naive import Mean
from oncotrain.tasks.drug_response.task import DrugResponse
from support.samples import features, sample_rows

from .conftest import DRUGS

MakePlan = Callable[[list[dict[str, Any]]], Plan]


def trained(task: DrugResponse, plan: Plan, rows: Sequence[Row], steps: int = 150) -> torch.nn.Module:
    torch.manual_seed(0)
    model = task.model(plan).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        batch = task.collate([rows[index] for index in rng.choice(len(rows), 32)], plan, None)
        loss, count = task.loss(model, batch)
        optimizer.zero_grad()
        (loss / count).backward()
        optimizer.step()
    return model.eval()


def figures(task: DrugResponse, plan: Plan, model: torch.nn.Module, rows: Sequence[Row]) -> dict[str, float]:
    with torch.inference_mode():
        predictions = [task.decide(task.infer(model, plan, row), plan, {"shrinkage": 1.0}) for row in rows]
    return task.figures(
        task.merge([task.measure(row, made, plan) for row, made in zip(rows, predictions, strict=True)])
    )


def fitted(task: DrugResponse, plan: Plan, model: Model, train: Sequence[Row], test: Sequence[Row]) -> dict[str, float]:
    return task.figures(task.merge(list(score(model.fit(plan, train), plan, test).values())))


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(UserError, match=r"run\.yaml: unknown key 'network\.layers'.*depth"):
        create_task({"name": "drug_response", "network": {"layers": 3}}, "run.yaml")


def test_loss_and_gradient_add_up_over_unequal_shards(task: DrugResponse, plan_of: MakePlan) -> None:
    rows = sample_rows(DRUGS, samples=23, seed=1)
    plan = plan_of(rows)
    torch.manual_seed(0)
    model = task.model(plan).double()

    def run(part: Sequence[Row]) -> tuple[float, int, torch.Tensor]:
        batch = task.collate(part, plan, None)
        batch |= {name: batch[name].double() for name in ("inputs", "response")}
        loss, count = task.loss(model, batch)
        gradient = torch.autograd.grad(loss, list(model.parameters()))
        return loss.item(), int(count), torch.cat([part.flatten() for part in gradient])

    whole, shards = run(rows), [run(rows[:4]), run(rows[4:5]), run(rows[5:])]

    assert sum(shard[1] for shard in shards) == whole[1] == sum(len(row["drug"]) for row in rows)
    assert sum(shard[0] for shard in shards) == pytest.approx(whole[0], rel=1e-13)
    assert torch.allclose(sum(shard[2] for shard in shards), whole[2], rtol=1e-12, atol=1e-13)


def test_missing_pairs_have_no_part_in_the_loss(task: DrugResponse, plan_of: MakePlan) -> None:
    rows = sample_rows(DRUGS, samples=12, seed=1)
    plan = plan_of(rows)
    torch.manual_seed(0)
    model = task.model(plan)
    batch = task.collate(rows, plan, None)
    changed = {**batch, "response": torch.where(batch["observed"], batch["response"], 1e3)}

    loss, count = task.loss(model, batch)

    assert count == sum(len(row["drug"]) for row in rows)
    assert torch.equal(task.loss(model, changed)[0], loss)


def test_inputs_are_standardized_and_missing_clinical_values_zero(task: DrugResponse, plan_of: MakePlan) -> None:
    rows = sample_rows(DRUGS, samples=70, seed=1)
    inputs = task.collate(rows, plan_of(rows), None)["inputs"].numpy()
    genes, tissue, age, age_known = np.split(inputs, [20, 23, 24], axis=1)
    assert genes.mean(axis=0) == pytest.approx(np.zeros(20), abs=1e-5)
    assert genes.std(axis=0) == pytest.approx(np.ones(20), rel=1e-5)
    assert tissue[6].tolist() == [0, 0, 0]
    assert tissue[:3].tolist() == np.eye(3).tolist()
    assert (age[4, 0], age_known[4, 0]) == (0, 0)
    assert age[age_known == 1].std() == pytest.approx(1, rel=1e-5)


def test_shrinkage_goes_from_the_drug_mean_to_the_network(task: DrugResponse, plan_of: MakePlan) -> None:
    plan = plan_of(sample_rows(DRUGS, samples=30, seed=1))
    raw = {"standardized": np.linspace(-1, 1, len(DRUGS)).astype(np.float32)}
    none, half, full = (task.decide(raw, plan, {"shrinkage": factor})["response"] for factor in (0.0, 0.5, 1.0))
    assert none == pytest.approx(plan["drug_mean"], rel=1e-6)
    assert half == pytest.approx((none + full) / 2, rel=1e-5)
    assert full - none == pytest.approx(raw["standardized"] * plan["drug_std"], rel=1e-4)


def test_the_network_beats_the_means_and_shuffled_labels_do_not(task: DrugResponse, plan_of: MakePlan) -> None:
    rows = sample_rows(DRUGS, samples=300, seed=3)
    train, test = rows[:220], rows[220:]
    plan = plan_of(train)
    naive = {of: fitted(task, plan, Mean(of=of), train, test) for of in ("drug", "drug and group")}

    learned = figures(task, plan, trained(task, plan, train), test)

    assert np.isnan(naive["drug"]["pearson_per_drug"])
    assert max(figure["r2_per_drug"] for figure in naive.values()) < 0.1
    assert learned["pearson_per_drug"] > 0.8
    assert learned["r2_per_drug"] > 0.5

    order = np.random.default_rng(4).permutation(len(train))
    shuffled = [{**row, "expression": train[at]["expression"]} for row, at in zip(train, order, strict=True)]
    chance = figures(task, plan, trained(task, plan, shuffled), test)
    assert abs(chance["pearson_per_drug"]) < 0.2
    assert chance["pearson_all_pairs"] > 0.5  # the drugs' potency alone: why figures are told per drug


def test_the_mean_per_group_is_found_where_it_matters(task: DrugResponse, plan_of: MakePlan) -> None:
    rows = sample_rows(DRUGS, samples=300, seed=5)
    for row in rows:
        row["response"] += {"blood": -4, None: 4}.get(row["clinical_tissue"], 0)
    parts = task, plan_of(rows[:200]), rows[:200], rows[200:]

    def r2(of: str) -> float:
        return fitted(*parts[:2], Mean(of=of), *parts[2:])["r2_per_drug"]

    assert r2("drug and group") > 0.5
    assert r2("effects") > 0.5
    assert r2("drug") < 0.05
    assert r2("all") < r2("group") < 0.5


def test_auxiliary_responses_are_learned_from_and_not_judged() -> None:
    drugs = ("a", "a [old]", "b")
    task = create_task({"name": "drug_response", "auxiliary": ["old"], "minimum_samples": 2}, "test.yaml")
    rows = sample_rows(drugs, samples=30, seed=2)
    contract = task.contract(features(drugs))
    plan = task.plan(contract, task.statistics(contract, rows, 1))
    batch = task.collate(rows, plan, None)
    assert batch["observed"][:, 1].any()
    sums = task.merge([task.measure(row, {"response": np.zeros(3)}, plan) for row in rows])
    assert sums["n"][1] == 0
    assert task.figures(sums)["drugs"] == 2
    judged = [task.judges(plan)(row) for row in rows]
    assert sum(map(sum, judged)) == sums["n"].sum()
