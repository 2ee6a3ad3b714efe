"""A whole run over workers whose sites hide their updates."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError, UserError
from oncotrain.federation.coordinator.conduct import conduct
from oncotrain.federation.coordinator.sites import Sites
from oncotrain.federation.secure.credentials import Credentials
from oncotrain.federation.wire.parcel import Parcel
from oncotrain.federation.wire.refusal import Refusal
from oncotrain.lake.audit import read
from oncotrain.lake.filesystem import Lake
from oncotrain.training.run import RunDirectory
from oncotrain.training.state import get_parameters
from support.fedavg import average_by_hand, best_state, labelled_items, open_all
from support.federation import federated_config, loopback, open_workers
from support.secure import key_of, roster_of

pytestmark = pytest.mark.usefixtures("_no_pauses")
SECURE = {"secure_aggregation": {"threshold": 2}}


@pytest.fixture
def _no_pauses(monkeypatch):
    """Five messages a round, each of them answered before the coordinator looks."""
    monkeypatch.setattr("oncotrain.federation.coordinator.sites.POLL_SECONDS", 0.0)


def credentials_of(sites: Mapping[str, Lake]) -> dict[str, Credentials]:
    return {site: Credentials(key_of(site), roster_of(tuple(sites))) for site in sites}


def run(sites: Mapping[str, Lake], centre: Lake, config: RunConfig) -> tuple[dict[str, Any], list[Any]]:
    """The summary, and the replies as the coordinator got them."""
    replies = []
    with loopback(open_workers(sites, config, credentials_of(sites))) as group:
        pull = group.grid.pull_messages
        group.grid.pull_messages = lambda identifiers: replies.extend(found := pull(identifiers)) or found
        summary = conduct(group, centre, config, "test.yaml", roster_of(tuple(sites)))
    return summary, replies


class Killed(BaseException):
    """The coordinator's process, in the middle of it."""


def dies_in_round(number: int, stage: str) -> Callable[..., list[Message]]:
    """`Sites.exchange` that dies once the sites of round `number` have answered messages of this type."""
    exchange, seen = Sites.exchange, []

    def dying(self: Sites, messages: Iterable[Message], *take: Any) -> list[Message]:
        messages = list(messages)
        replies = exchange(self, messages, *take)
        seen.extend({message.metadata.message_type for message in messages})
        if seen.count(stage) == number:
            raise Killed
        return replies

    return dying


@pytest.mark.parametrize("task", ["drug_response", "histology"])
def test_a_run_is_fedavg_to_quantization_and_no_reply_has_parameters(task, sites, centre):
    config = federated_config(task, SECURE)
    summary, replies = run(sites, centre, config)
    counts = [labelled_items(data) for data in open_all(sites, config)]
    assert len(set(counts)) == len(sites), "the sites must differ for the weights to matter"
    by_hand = average_by_hand(sites, config, counts)[summary["best_step"] // 3 - 1]
    found = get_parameters(best_state(centre, summary, config).model)
    assert all(np.allclose(a, b, rtol=0, atol=1e-6) for a, b in zip(found, by_hand, strict=True))
    assert not any(reply.content.array_records or reply.content.metric_records for reply in replies)


def test_equal_weighting_and_the_kinds_in_the_audit(sites, centre):
    config = federated_config("drug_response", {**SECURE, "weighting": "equal"})
    summary, _ = run(sites, centre, config)
    by_hand = average_by_hand(sites, config, [1.0, 1.0, 1.0])[summary["best_step"] // 3 - 1]
    found = get_parameters(best_state(centre, summary, config).model)
    assert all(np.allclose(a, b, rtol=0, atol=1e-6) for a, b in zip(found, by_hand, strict=True))
    kinds = [line["event"]["kind"] for line in read(sites["uz-leuven"], "uz-leuven")]
    stages = ["secagg_share", "secagg_mask", "secagg_confirm", "secagg_open"]
    assert kinds == ["contract", "statistics", "plan", *(["train", *stages] * 2), "validation", "test"]


@pytest.mark.parametrize("stage", ["secagg_share", "secagg_mask", "secagg_confirm", "secagg_open"])
def test_rounds_go_on_without_a_site_that_drops_out(stage, sites, centre, monkeypatch):
    config = federated_config("drug_response", SECURE)
    workers = open_workers(sites, config, credentials_of(sites))

    def fail(_request: object) -> None:
        raise DataError("gone")

    monkeypatch.setitem(workers["uz-leuven"]._answers, stage, fail)
    with loopback(workers) as group:
        summary = conduct(group, centre, config, "test.yaml", roster_of(tuple(sites)))
    counts = dict(zip(sites, map(labelled_items, open_all(sites, config)), strict=True))
    if stage in ("secagg_share", "secagg_mask"):
        counts["uz-leuven"] = 0.0  # Later its update is in the sum already
    by_hand = average_by_hand(sites, config, list(counts.values()))[summary["best_step"] // 3 - 1]
    found = get_parameters(best_state(centre, summary, config).model)
    assert all(np.allclose(a, b, rtol=0, atol=1e-6) for a, b in zip(found, by_hand, strict=True))


def test_fewer_than_the_threshold_end_the_run(sites, centre, monkeypatch):
    config = federated_config("drug_response", {"secure_aggregation": {"threshold": 3}})
    workers = open_workers(sites, config, credentials_of(sites))

    def fail(_request: object) -> None:
        raise DataError("gone")

    monkeypatch.setitem(workers["uz-leuven"]._answers, "secagg_mask", fail)
    with (
        loopback(workers) as group,
        pytest.raises(DataError, match=r"round 1: 2 sites sent masked updates \(.*\); the threshold is 3"),
    ):
        conduct(group, centre, config, "test.yaml", roster_of(tuple(sites)))


def test_a_site_that_was_sent_other_parameters_is_not_summed(sites, centre, monkeypatch):
    """Its signature is under what it was asked, not under what the others were."""
    config = federated_config("drug_response", SECURE)
    workers = open_workers(sites, config, credentials_of(sites))
    train = workers["uz-leuven"]._answers["train"]

    def with_other_parameters(request: Parcel) -> Parcel:
        others = [np.zeros_like(array) for array in request.parameters]
        return train(Parcel(request.body, request.sums, others, request.metrics))

    monkeypatch.setitem(workers["uz-leuven"]._answers, "train", with_other_parameters)
    with loopback(workers) as group, pytest.raises(UserError, match="the keys of uz-leuven do not have its signature"):
        conduct(group, centre, config, "test.yaml", roster_of(tuple(sites)))


def test_a_round_asked_twice_and_an_earlier_one_are_refused(sites, centre, monkeypatch):
    config = federated_config("drug_response", SECURE)
    workers = open_workers(sites, config, credentials_of(sites))
    requests = []
    worker = workers["uz-leuven"]
    train = worker._answers["train"]
    monkeypatch.setitem(worker._answers, "train", lambda request: requests.append(request) or train(request))
    with loopback(workers) as group:
        conduct(group, centre, config, "test.yaml", roster_of(tuple(sites)))
    for request, run_name in [(requests[0], None), (requests[1], None), (requests[0], "another-run")]:
        body = {**request.body, **({"run": run_name, "round": 9} if run_name else {})}
        answer = worker.answer(Parcel(body, {}, request.parameters))
        assert answer.body == {"refusal": Refusal.CONFIGURATION}


def test_both_sides_need_the_roster(sites, centre):
    config = federated_config("drug_response", SECURE)
    with pytest.raises(UserError, match=r"test\.yaml: federated\.secure_aggregation needs the roster"):
        open_workers(sites, config)
    workers = open_workers(sites, config, credentials_of(sites))
    with loopback(workers) as group, pytest.raises(UserError, match="needs the sites' roster"):
        conduct(group, centre, config, "test.yaml")


def test_a_round_is_summed_once_even_by_a_client_started_again(sites, centre):
    config = federated_config("drug_response", SECURE)
    summary, _ = run(sites, centre, config)
    again = open_workers(sites, config, credentials_of(sites))["uz-leuven"]
    before = len(read(sites["uz-leuven"], "uz-leuven"))
    body = {"kind": "train", "run": summary["run"], "round": 2, "step": 3, "validate": False}
    reply = again.answer(Parcel(body, {}, get_parameters(best_state(centre, summary, config).model)))
    assert reply.body == {"refusal": Refusal.CONFIGURATION}
    assert len(read(sites["uz-leuven"], "uz-leuven")) == before + 1, "the refusal, and nothing trained"


@pytest.mark.parametrize("stage", ["train", "query.secagg_mask", "query.secagg_open"])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_coordinator_that_died_goes_on_with_a_round_that_no_site_has_seen(
    stage, restarted, sites, centre, monkeypatch
):
    """The round in which it died is lost, whichever stage that was in, and whether or not the clients started anew."""
    config = federated_config("drug_response", {**SECURE, "rounds": 4})
    workers = open_workers(sites, config, credentials_of(sites))
    with loopback(workers) as group, monkeypatch.context() as patched:
        patched.setattr(Sites, "exchange", dies_in_round(2, stage))
        with pytest.raises(Killed):
            conduct(group, centre, config, "test.yaml", roster_of(tuple(sites)))
    again = open_workers(sites, config, credentials_of(sites)) if restarted else workers
    with loopback(again) as group:
        summary = conduct(group, centre, config, "test.yaml", roster_of(tuple(sites)))
    assert summary["rounds_lost"] == [2]
    assert summary["rounds_trained"] == dict.fromkeys(sites, 3)
    events = [line["event"] for line in read(sites["uz-leuven"], "uz-leuven")]
    assert [event["round"] for event in events if event["kind"] == "train"] == [1, 2, 3, 4]
    assert not [event for event in events if event["refusal"]]
    points = RunDirectory(centre, summary["run"]).read_metrics()
    assert [point["round"] for point in points] in ([1, 2, 3, 4], [2, 3, 4])


@pytest.mark.parametrize(
    ("strategy", "rounds", "died_in"), [("fedadam", 3, 2), ("fedavg", 1, 1)], ids=["remembers", "no round was finished"]
)
def test_where_nothing_is_left_to_go_on_from_it_says_so(strategy, rounds, died_in, sites, centre, monkeypatch):
    config = federated_config("drug_response", {**SECURE, "rounds": rounds, "strategy": strategy})
    with monkeypatch.context() as patched:
        patched.setattr(Sites, "exchange", dies_in_round(died_in, "query.secagg_mask"))
        with pytest.raises(Killed):
            run(sites, centre, config)
    before = len(read(sites["uz-leuven"], "uz-leuven"))
    with pytest.raises(UserError, match=rf"round {died_in} was begun .* start the run under another train\.seed"):
        run(sites, centre, config)
    kinds = [line["event"]["kind"] for line in read(sites["uz-leuven"], "uz-leuven")]
    assert "train" not in kinds[before:]
