"""A run whose both sides keep an audit: what it holds, and what happens to who cuts or rewrites one."""

import logging
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from flwr.app import RecordDict

from oncotrain.errors import DataError, UserError
from oncotrain.federation.audit.app_hash import app_sha256
from oncotrain.federation.audit.counterpart import verify_against
from oncotrain.federation.audit.digest import model_sha256, whole_number
from oncotrain.federation.audit.heads import Signer
from oncotrain.federation.audit.witness import WITNESSED
from oncotrain.federation.coordinator.account import CoordinatorAccount
from oncotrain.federation.coordinator.conduct import conduct
from oncotrain.federation.identity.keys import COORDINATOR, load_public_key, make_audit_key, make_site_key
from oncotrain.federation.site.account import SiteAccount
from oncotrain.federation.site.site import answer
from oncotrain.federation.wire.parcel import Parcel
from oncotrain.federation.wire.refusal import Refusal
from oncotrain.lake.audit import append, read, verify
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.manifest import newest_manifest
from oncotrain.training.state import get_parameters
from support.fedavg import best_state
from support.federation import federated_config, loopback, open_worker

LEUVEN = "uz-leuven"
KINDS = ["contract", "statistics", "plan", "train", "train", "train", "validation", "test", "stop"]


@pytest.fixture
def keys(tmp_path, sites):
    """Signers and public keys of all."""
    folder = tmp_path / "keys"
    folder.mkdir()
    paths = {**{site: make_site_key(folder, site) for site in sites}, COORDINATOR: make_audit_key(folder)}
    return SimpleNamespace(
        signers={name: Signer.load(name, path) for name, path in paths.items()},
        public={name: load_public_key(folder / f"{name}.key.pub") for name in paths},
    )


@contextmanager
def federation(sites: Mapping[str, Lake], centre: Lake, keys, **federated):
    """Workers that sign, and sites that the coordinator may ask."""
    config = federated_config("drug_response", {"rounds": 3} | federated)
    workers = {
        site: open_worker(
            *(site, lake, config),
            signer=keys.signers[site],
            coordinator_key=keys.public[COORDINATOR],
        )
        for site, lake in sites.items()
    }
    with loopback(workers) as group:
        group.account = CoordinatorAccount(centre, sites, keys.signers[COORDINATOR], keys.public)
        yield SimpleNamespace(config=config, workers=workers, group=group)


def run(one, centre: Lake):
    try:
        return conduct(one.group, centre, one.config, "test.yaml")
    finally:
        one.group.dismiss()


def events(lake: Lake, chain: str, **wanted: object) -> list[dict]:
    verify(lake, chain)
    found = [line["event"] for line in read(lake, chain)]
    return [event for event in found if all(event.get(key) == value for key, value in wanted.items())]


def cut(lake: Lake, chain: str, lines: int) -> None:
    path = Path(lake.path("audit", f"{chain}.jsonl"))
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-lines]))


@pytest.fixture
def logged(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("oncotrain"), "handlers", [caplog.handler])
    return caplog


def test_both_sides_hold_the_same_account_of_a_run(sites, centre, keys):
    with federation(sites, centre, keys) as one:
        summary = run(one, centre)
    for site, lake in sites.items():
        own = events(lake, site, action="federate")
        sent, received = (events(centre, COORDINATOR, action=action, site=site) for action in ("send", "receive"))
        assert [event["kind"] for event in own] == KINDS
        for there, down, up in zip(own, sent, received, strict=True):
            for key in ("kind", "run", "round", "bytes_down", "request_sha256", "model_in_sha256"):
                assert there[key] == down[key], key
            for key in ("kind", "run", "round", "rows", "bytes_up", "reply_sha256", "model_out_sha256", "refusal"):
                assert there[key] == up[key], key
        manifest = newest_manifest(lake, "samples")
        assert manifest is not None
        dataset = {"name": manifest.name, "version": manifest.version, "sha256": manifest.sha256}
        assert all(event["dataset"] == dataset for event in own)
        assert all(event["app_sha256"] == app_sha256() for event in own)
        assert own[3]["rows"] > 0
        assert (own[0]["model_in_sha256"], own[0]["model_out_sha256"]) == (None, None)
    best = model_sha256(get_parameters(best_state(centre, summary, one.config).model))
    assert {event["model_in_sha256"] for event in events(centre, COORDINATOR, kind="test", action="send")} == {best}


def test_each_side_can_be_held_against_the_other(sites, centre, keys):
    with federation(sites, centre, keys) as one:
        run(one, centre)
    for site, lake in sites.items():
        heads = verify_against(lake, site, centre, keys.public[site])
        assert [each.head.number for each in heads] == list(range(len(KINDS))), "a head of every line, the last too"
        heads = verify_against(centre, COORDINATOR, lake, keys.public[COORDINATOR])
        assert len(heads) == len(KINDS)


def test_a_later_run_goes_on_with_both_chains(sites, centre, keys):
    for rounds in (1, 2):
        with federation(sites, centre, keys, rounds=rounds) as one:
            run(one, centre)
    for site, lake in sites.items():
        assert len(verify_against(lake, site, centre, keys.public[site])) == len(read(lake, site))


@pytest.mark.parametrize("rewritten", [False, True], ids=["cut", "rewritten"])
def test_a_site_that_cuts_or_rewrites_its_chain_is_dropped_by_name(sites, centre, keys, logged, monkeypatch, rewritten):
    with federation(sites, centre, keys) as one:
        train = one.workers[LEUVEN]._answers["train"]

        def train_and_tamper(request: Parcel) -> Parcel:
            if request.body["round"] == 2:
                cut(sites[LEUVEN], LEUVEN, 2)
                if rewritten:
                    append(sites[LEUVEN], LEUVEN, {"action": "federate", "kind": "plan", "rows": 0})
            return train(request)

        monkeypatch.setitem(one.workers[LEUVEN]._answers, "train", train_and_tamper)
        with pytest.raises(DataError, match=f"no answer from {LEUVEN}"):  # all must answer the test
            run(one, centre)
    assert f"[site={LEUVEN} stage=federate] train dropped: " in logged.text
    found = events(centre, COORDINATOR, action="receive", kind="train")
    refused = [event for event in found if event["refusal"]]
    assert {(event["site"], event["refusal"]["name"]) for event in refused} == {(LEUVEN, "AUDIT")}
    assert [event["round"] for event in refused] == [2, 3], "its chain has grown again, and it stays out"
    assert refused[0]["refused_head"]["site"] == LEUVEN
    with pytest.raises(DataError, match="rewritten from a line on"):
        verify_against(sites[LEUVEN], LEUVEN, centre, keys.public[LEUVEN])


def test_a_site_with_another_key_is_dropped(sites, centre, keys, tmp_path, logged):
    keys.signers[LEUVEN] = Signer.load(LEUVEN, make_site_key(tmp_path, LEUVEN))
    with (
        federation(sites, centre, keys) as one,
        pytest.raises(DataError, match=rf"query\.contract: no answer from {LEUVEN}"),
    ):
        run(one, centre)
    assert f"the head of {LEUVEN}'s audit is not signed with the key known for it" in logged.text


def test_a_site_that_sends_no_head_is_dropped(sites, centre, keys, logged):
    keys.signers[LEUVEN] = None
    with (
        federation(sites, centre, keys) as one,
        pytest.raises(DataError, match=rf"query\.contract: no answer from {LEUVEN}"),
    ):
        run(one, centre)
    assert f"no head of {LEUVEN}'s audit came with the message" in logged.text


def test_sites_refuse_a_coordinator_whose_chain_was_cut(sites, centre, keys, logged):
    with federation(sites, centre, keys, rounds=1) as one:
        run(one, centre)
    cut(centre, COORDINATOR, 20)
    with (
        federation(sites, centre, keys, rounds=2) as one,
        pytest.raises(DataError, match=r"query\.contract: no answer from charite-berlin, chu-grenoble, uz-leuven"),
    ):
        run(one, centre)
    assert "coordinator's audit has" in logged.text
    assert "refused: AUDIT (1005)" in logged.text
    for site, lake in sites.items():
        refused = [event for event in events(lake, site) if event["refusal"]]
        assert refused[0]["kind"] == "contract"
        assert refused[0]["refusal"] == {"code": Refusal.AUDIT, "name": "AUDIT"}
        assert refused[0]["refused_head"]["site"] == COORDINATOR
        assert refused[0][WITNESSED] is None
    back = [event for event in events(centre, COORDINATOR, action="receive") if event["refusal"]]
    assert {event["site"] for event in back} == set(sites)


def test_a_message_by_nobody_known_is_refused_and_noted(sites, centre, keys):
    with federation(sites, centre, keys) as one:
        worker = one.workers[LEUVEN]
        strange = {"kind": "dump", "run": "\ud800" + "x" * 999, "round": float("nan")}
        assert answer(worker, RecordDict(), "stop") is Refusal.FAILED
        for request in (Parcel({"kind": "stop"}), Parcel(strange)):
            assert worker.answer(request).body.keys() == {"refusal"}
        assert not worker.finished
    found = events(sites[LEUVEN], LEUVEN)
    assert [(event["kind"], event["refusal"]["name"]) for event in found] == [
        ("unknown", "FAILED"),
        ("stop", "AUDIT"),
        ("unknown", "AUDIT"),
    ]
    assert (len(found[2]["run"]), found[2]["round"]) == (200, 0)


@pytest.mark.parametrize(
    ("sent", "noted"), [(7, 7), (7.0, 7), (float("nan"), 0), (float("inf"), 0), (10**400, 0), ("7", 0), (None, 0)]
)
def test_what_the_other_side_calls_a_number_is_one(sent, noted):
    assert whole_number(sent) == noted


def test_what_failed_at_a_site_is_noted_without_its_text(sites, centre, keys, monkeypatch):
    with federation(sites, centre, keys) as one:

        def fail(_request: Parcel) -> Parcel:
            raise DataError("patient p003 has no rows")

        monkeypatch.setitem(one.workers[LEUVEN]._answers, "statistics", fail)
        with pytest.raises(DataError, match=r"query\.statistics: no answer"):
            run(one, centre)
    [refused] = [event for event in events(sites[LEUVEN], LEUVEN) if event["refusal"]]
    assert refused["refusal"] == {"code": Refusal.DATA, "name": "DATA"}
    assert refused[WITNESSED]["site"] == COORDINATOR
    [back] = [event for event in events(centre, COORDINATOR, action="receive") if event["refusal"]]
    assert (back["site"], back["kind"], back["refusal"]) == (LEUVEN, "statistics", refused["refusal"])
    for lake, chain in ((sites[LEUVEN], LEUVEN), (centre, COORDINATOR)):
        assert b"p003" not in lake.read_bytes("audit", f"{chain}.jsonl")


def test_a_site_whose_audit_cannot_be_written_sends_a_code_alone(sites, centre, keys, logged):
    with federation(sites, centre, keys) as one:
        with Path(sites[LEUVEN].path("audit", f"{LEUVEN}.jsonl")).open("ab") as file:
            file.write(b"torn")
        with pytest.raises(DataError, match=rf"query\.contract: no answer from {LEUVEN}"):
            run(one, centre)
    assert "its last line is cut short" in logged.text
    assert "this refusal is not in the audit" in logged.text


def test_nobody_takes_part_with_a_broken_chain(sites, centre):
    manifest = newest_manifest(sites[LEUVEN], "samples")
    for lake, chain in ((sites[LEUVEN], LEUVEN), (centre, COORDINATOR)):
        append(lake, chain, {"rows": 1})
        path = Path(lake.path("audit", f"{chain}.jsonl"))
        path.write_text(path.read_text().replace('"rows":1', '"rows":2'))
    with pytest.raises(DataError, match="line 1 was edited"):
        SiteAccount(LEUVEN, sites[LEUVEN], manifest, None, None)
    with pytest.raises(DataError, match="line 1 was edited"):
        CoordinatorAccount(centre, sites, None, {})


def test_no_site_is_called_coordinator(centre):
    with pytest.raises(UserError, match="site 'coordinator'"):
        CoordinatorAccount(centre, [COORDINATOR], None, {})
