"""A site's floor over the whole path: a code at the coordinator, words in the site's log, a line in its audit."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError, UserError
from oncotrain.federation.coordinator.conduct import conduct
from oncotrain.federation.coordinator.sites import Sites
from oncotrain.federation.local import federate_on_this_machine
from oncotrain.federation.secure.credentials import Credentials
from oncotrain.federation.site.policy import PolicyError, allowed_apps, read_policy
from oncotrain.lake.audit import read, verify
from oncotrain.lake.filesystem import Lake
from oncotrain.tasks.drug_response.metrics import METRICS
from support.federation import federated_config, loopback, open_workers
from support.secure import key_of, roster_of

CLIENT = Path(__file__).parents[2] / "jobs" / "federated_client.py"
SITE = "uz-leuven"
SECURE = {"secure_aggregation": {"threshold": 2}}


def set_policy(lakes: Mapping[str, Lake], **policy: Any) -> None:
    for lake in lakes.values():
        lake.write_atomic(yaml.safe_dump(policy).encode(), "audit", "policy.yaml")


def run(sites: Mapping[str, Lake], centre: Lake, config: RunConfig) -> dict[str, Any]:
    credentials = {site: Credentials(key_of(site), roster_of(tuple(sites))) for site in sites}
    with loopback(open_workers(sites, config, credentials)) as group:
        return conduct(group, centre, config, "test.yaml", roster_of(tuple(sites)))


def refusals(lake: Lake) -> list[tuple[str, str]]:
    events = [line["event"] for line in read(lake, SITE)]
    return [(event["kind"], event["refusal"]["name"]) for event in events if event["refusal"]]


@pytest.mark.parametrize(
    ("policy", "federated", "words"),
    [
        ({"min_training_rows": 1000}, {}, r"min_training_rows is 1000, training rows here: \d+$"),
        ({"min_training_patients": 1000}, {}, r"min_training_patients is 1000, training patients here: \d+$"),
        ({"min_sites": 3}, {}, r"min_sites is 3, federated\.min_sites: 2$"),
        (
            {"min_sites": 3},
            {"min_sites": 3, **SECURE},
            r"min_sites is 3, federated\.secure_aggregation\.threshold: 2$",
        ),
        ({"secure_aggregation": True}, {}, r"secure_aggregation is required, and the run is without$"),
        ({"strategies": ["fedprox", "fedmedian"]}, {}, r"strategies allows fedmedian, fedprox; .* asks for fedavg$"),
        (
            {"metrics": [name for name in METRICS if name != "rmse"]},
            {},
            r"metrics allows .*; the run asks for rmse$",
        ),
        (
            {"min_sites": 4, "strategies": ["krum"]},
            {},
            r"min_sites is 4, federated\.min_sites: 2; strategies allows krum; the run asks for fedavg$",
        ),
    ],
)
def test_a_run_below_the_floor_is_refused(policy, federated, words, sites, centre, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("oncotrain"), "handlers", [caplog.handler])
    set_policy({SITE: sites[SITE]}, **policy)
    with pytest.raises(DataError, match=f"query.contract: no answer from {SITE}; the logs there say why"):
        run(sites, centre, federated_config("drug_response", federated))
    messages = [record.getMessage() for record in caplog.records]
    assert any(message.endswith("query.contract refused: POLICY (1007)") for message in messages)
    assert any(re.search(rf"audit/policy\.yaml: {words}", message) for message in messages), messages
    assert refusals(sites[SITE]) == [("contract", "POLICY")]
    verify(sites[SITE], SITE)
    assert [line["event"]["kind"] for line in read(sites[SITE], SITE)] == ["contract"], "nothing more was asked"


@pytest.mark.parametrize(
    ("policy", "federated"),
    [
        ({}, {}),
        ({"min_training_rows": 2, "min_training_patients": 2, "min_sites": 2, "strategies": ["fedavg"]}, {}),
        ({"metrics": list(METRICS)}, {}),
        ({"secure_aggregation": True, "min_sites": 2}, SECURE),
    ],
)
def test_a_run_at_or_above_the_floor_is_as_without_it(policy, federated, sites, centre):
    config = federated_config("drug_response", federated)
    set_policy(sites, **policy)
    above = run(sites, centre, config)
    assert above["withheld"] == []
    assert set(above["figures"]) == set(METRICS)
    assert not refusals(sites[SITE])


def test_the_floor_on_patients_rises_above_the_runs_and_never_falls(sites, centre):
    """chu-grenoble has 4 test patients, the others more."""
    set_policy({"chu-grenoble": sites["chu-grenoble"]}, min_patients=5)
    set_policy({SITE: sites[SITE]}, min_patients=1)
    assert run(sites, centre, federated_config("drug_response"))["withheld"] == ["chu-grenoble"]
    with pytest.raises(DataError, match="min_patients"):
        run(sites, centre, federated_config("drug_response", {"min_patients": 1000}))


def test_a_floor_raised_in_mid_run_holds_from_the_next_message(sites, centre, monkeypatch):
    exchange = Sites.exchange

    def raise_floor(self: Sites, messages: Any, *take: Any) -> Any:
        messages = list(messages)
        if "train" in {message.metadata.message_type for message in messages}:
            set_policy({SITE: sites[SITE]}, strategies=["krum"])
        return exchange(self, messages, *take)

    monkeypatch.setattr(Sites, "exchange", raise_floor)
    with pytest.raises(DataError, match="test: no answer from uz-leuven"):
        run(sites, centre, federated_config("drug_response"))
    assert {name for _, name in refusals(sites[SITE])} == {"POLICY"}
    assert [kind for kind, _ in refusals(sites[SITE])][:2] == ["train", "train"]


def test_a_refusing_site_still_hears_that_the_run_is_over(sites):
    set_policy(sites, strategies=["krum"])
    workers = open_workers(sites, federated_config("drug_response"))
    with loopback(workers) as group:
        group.dismiss()
    assert all(worker.finished for worker in workers.values())


def test_a_policy_that_does_not_fit_lets_nothing_through(sites, centre):
    set_policy({SITE: sites[SITE]}, min_site=3)
    with pytest.raises(UserError, match=r"audit/policy\.yaml: unknown key 'min_site'; allowed here: .*min_sites"):
        read_policy(sites[SITE])
    with pytest.raises(DataError, match=f"no answer from {SITE}"):
        run(sites, centre, federated_config("drug_response"))
    assert refusals(sites[SITE]) == [("contract", "CONFIGURATION")]


def test_apps_of_the_policy_and_of_the_command(sites):
    lake, ours, theirs, third = sites[SITE], "a" * 64, "b" * 64, "c" * 64
    assert allowed_apps(lake, (), ours) == {ours}
    assert allowed_apps(lake, (theirs,), ours) == {theirs}
    set_policy({SITE: lake}, apps=[ours, theirs])
    assert allowed_apps(lake, (), third) == {ours, theirs}
    assert allowed_apps(lake, (theirs,), ours) == {theirs}
    with pytest.raises(PolicyError, match=f"apps does not have {third}, which --app names"):
        allowed_apps(lake, (ours, third), ours)
    set_policy({SITE: lake}, apps=["not a hash"])
    with pytest.raises(UserError, match=r"policy\.yaml: key 'apps"):
        allowed_apps(lake, (), ours)


@pytest.mark.parametrize("task", ["drug_response", "histology"])
def test_a_task_names_every_figure_that_it_makes(task, sites, centre):
    """Else a site would allow what it does not know of."""
    config = federated_config(task)
    summary = run(sites, centre, config)
    metrics = next(iter(open_workers(sites, config).values())).data.task.metrics
    stems = tuple(name.removesuffix("<class>") for name in metrics if name.endswith("<class>"))
    assert [name for name in summary["figures"] if name not in metrics and not name.startswith(stems or ("\0",))] == []
    assert [name for name in metrics if name not in summary["figures"] and not name.endswith("<class>")] == []


@pytest.mark.timeout(600)
def test_a_run_asking_for_a_metric_the_site_forbids_between_processes(sites, centre, tmp_path):
    """SuperLink, gateway and a client process a site: the words stay at the site that has them."""
    set_policy({SITE: sites[SITE]}, metrics=["r2_per_drug"])
    config, work = federated_config("drug_response"), tmp_path / "work"
    with pytest.raises(DataError, match=f"query.contract: no answer from {SITE}; the logs there say why"):
        federate_on_this_machine(centre, config, sites, source="test.yaml", work=work, client=CLIENT)
    assert "refused: POLICY (1007)" in (work / "federate.log").read_text()
    words = "metrics allows r2_per_drug; the run asks for drugs, pairs"
    assert words in (work / f"{SITE}.log").read_text()
    others = [file for file in work.rglob("*") if file.is_file() and file.name != f"{SITE}.log"]
    assert not [file for file in others if words in file.read_text(errors="replace")]
    assert refusals(sites[SITE]) == [("contract", "POLICY")]
    assert "train" not in {line["event"]["kind"] for line in read(sites["chu-grenoble"], "chu-grenoble")}
