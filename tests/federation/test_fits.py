"""Fits to exact sums as messages: the pooled plan, the floor, the audit, and who may forbid them."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import yaml

from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError, UserError
from oncotrain.federation.coordinator.agreement import agree_on_plan, collect_offers
from oncotrain.federation.coordinator.conduct import conduct
from oncotrain.federation.wire.parcel import Parcel
from oncotrain.lake.audit import read
from oncotrain.lake.filesystem import Lake
from oncotrain.tasks import Plan, create_task
from oncotrain.tasks.drug_response.arrays import from_text
from oncotrain.training.checkpoint import load_checkpoint
from oncotrain.training.data import local_fit_sums, local_statistics, open_data
from oncotrain.training.run import RunDirectory
from oncotrain.training.state import initial_state
from support.federation import federated_config, loopback, open_workers

SITE = "uz-leuven"
PRIVATE = {"noise_multiplier": 1.0, "max_grad_norm": 1.0, "delta": 0.01, "max_epsilon": 100}


def ridge_config(federated: Mapping[str, Any] | None = None, responses: str = "shared", **train: Any) -> RunConfig:
    config = federated_config("drug_response", federated, **train).model_dump()
    config["task"] = {**config["task"], "ridge": {"responses": responses, "components": 5}}
    return RunConfig.model_validate(config)


def agreed(sites: Mapping[str, Lake], config: RunConfig) -> Plan:
    with loopback(open_workers(sites, config)) as group:
        group.run = "test"
        task = create_task(config.task, "test.yaml")
        return agree_on_plan(group, task, collect_offers(group, config, "test.yaml"))


def pooled(sites: Mapping[str, Lake], config: RunConfig) -> Plan:
    """From the rows of all sites as one participant's."""
    data = [open_data(lake, config, "test.yaml") for lake in sites.values()]
    task = data[0].task
    contract = task.agree([task.contract(each.dataset.manifest.features) for each in data])
    plan = task.plan(contract, task.merge_statistics([local_statistics(each, contract, 1) for each in data]))
    for fit in task.fits:
        rows = [
            task.adapt(each.dataset.manifest.features, plan)(row)
            for each in data
            for row in each.dataset.iterate(("patient", *task.columns), each.rows("train"))
        ]
        plan = fit.fitted(plan, [fit.sums(plan, rows, 1)])
    return plan


def slope(plan: Plan) -> np.ndarray:
    """Of responses in the inputs; the axes alone are determined up to their sign."""
    product: np.ndarray = from_text(plan["axes"]["axes"]) @ from_text(plan["ridge"]["weights"])
    return product


@pytest.mark.parametrize("method", ["standardize", "combat"])
def test_by_messages_batches_and_quantiles_are_the_pooled_ones(method, sites):
    config = federated_config("drug_response").model_dump()
    config["task"] |= {"batch": {"by": "site", "method": method}, "normalization": "quantiles"}
    config = RunConfig.model_validate(config)
    plan, expected = agreed(sites, config), pooled(sites, config)
    assert set(plan["batches"]["scales"]) == set(sites)
    for site, scale in plan["batches"]["scales"].items():
        assert from_text(scale) == pytest.approx(from_text(expected["batches"]["scales"][site]), rel=1e-6)
    assert from_text(plan["scores"]) == pytest.approx(from_text(expected["scores"]), abs=1e-6)


@pytest.mark.parametrize("responses", ["shared", "each"])
def test_by_messages_the_ridge_is_the_pooled_one(responses, sites, centre):
    config = ridge_config(responses=responses)
    expected = slope(pooled(sites, config))
    with loopback(open_workers(sites, config)) as group:
        summary = conduct(group, centre, config, "test.yaml")
    plan = RunDirectory(centre, summary["run"]).read_json("plan.json")
    assert slope(plan) == pytest.approx(expected, rel=1e-8, abs=1e-8 * np.abs(expected).max())
    for site, lake in sites.items():
        assert RunDirectory(lake, summary["run"]).read_json("plan.json") == plan
        events = [line["event"] for line in read(lake, site)]
        fits = [event for event in events if event["kind"] == "fit"]
        assert [event["refusal"] for event in fits] == [None, None]
        inputs, drugs = len(from_text(plan["axes"]["centre"])), len(plan["drugs"])
        assert fits[0]["bytes_up"] > 8 * (inputs * 5 + inputs + 1)
        assert fits[1]["bytes_up"] > 8 * (5 * drugs + 5 * 6 / 2)
        assert {event["rows"] for event in fits} == {len(open_data(lake, config, "test.yaml").rows("train"))}
        # Rounds carry what is trained and no more.
        train = next(event for event in events if event["kind"] == "train")
        assert train["model_in_sha256"]
    run, task = RunDirectory(centre, summary["run"]), create_task(config.task, "test.yaml")
    state, _ = load_checkpoint(run, "best", initial_state(task, plan, config.train))
    assert state.model.ridge.weights.tolist() == from_text(plan["ridge"]["weights"]).tolist()


def test_a_site_below_the_floor_is_left_out_of_fits(sites):
    config = ridge_config({"min_patients": 9})  # chu-grenoble trains on fewer
    plan = agreed(sites, config)
    assert len(open_data(sites["chu-grenoble"], config, "test.yaml").split.train) < 9
    large = {site: lake for site, lake in sites.items() if site != "chu-grenoble"}
    data = [open_data(lake, config, "test.yaml") for lake in large.values()]
    axes, ridge = data[0].task.fits
    again = axes.fitted(plan, [local_fit_sums(each, axes, plan, 9) for each in data])
    again = ridge.fitted(again, [local_fit_sums(each, ridge, again, 9) for each in data])
    assert slope(plan) == pytest.approx(slope(again), rel=1e-10)
    everybody = pooled(sites, ridge_config())
    assert not np.allclose(slope(plan), slope(everybody), rtol=0.01)


def test_a_fit_that_the_task_has_not_is_refused(sites, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("oncotrain"), "handlers", [caplog.handler])
    config = ridge_config()
    with loopback(open_workers(sites, config)) as group:
        assert group.ask("query.fit", Parcel({"fit": "rows", "plan": {}})) == {}
    assert any("the task has no fit 'rows'" in record.getMessage() for record in caplog.records)


def test_a_sites_policy_forbids_fits(sites, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("oncotrain"), "handlers", [caplog.handler])
    sites[SITE].write_atomic(yaml.safe_dump({"fits": []}).encode(), "audit", "policy.yaml")
    with pytest.raises(DataError, match=f"no answer from {SITE}"):
        agreed(sites, ridge_config())
    assert any("fits allows none; the run asks for axes, ridge" in record.getMessage() for record in caplog.records)
    agreed(sites, federated_config("drug_response"))


@pytest.mark.parametrize(
    ("federated", "train", "key"),
    [
        ({"weighting": "equal"}, {"privacy": PRIVATE}, "train.privacy"),
        ({"secure_aggregation": {"threshold": 2}}, {}, "federated.secure_aggregation"),
        (
            {
                "weighting": "equal",
                "site_privacy": {"noise_multiplier": 1.0, "clipping_norm": 1.0, "delta": 0.01, "max_epsilon": 100},
            },
            {},
            "federated.site_privacy",
        ),
    ],
)
def test_a_run_that_hides_what_sites_send_has_no_fits(federated, train, key, sites, centre):
    config = ridge_config(federated, **train)
    with pytest.raises(UserError, match=rf"fits \(axes, ridge\) to exact sums .* which {key} does not hide"):
        open_workers(sites, config)
    with loopback(open_workers(sites, ridge_config())) as group, pytest.raises(UserError, match=key):
        conduct(group, centre, config, "test.yaml", roster=object())
