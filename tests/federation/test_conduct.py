"""A whole run over the sites' workers, with Flower's strategy; its network is left out."""

import logging
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Error, Message
from flwr.common.constant import ErrorCode

from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError, UserError
from oncotrain.federation.coordinator.conduct import conduct
from oncotrain.federation.coordinator.rounds import Rounds
from oncotrain.federation.site.site import answer
from oncotrain.federation.strategies.participation import draw_sites
from oncotrain.federation.wire.blocks import pack
from oncotrain.federation.wire.parcel import Parcel, body_of, size, to_records
from oncotrain.federation.wire.refusal import Refusal
from oncotrain.lake.audit import read, verify
from oncotrain.lake.filesystem import Lake
from oncotrain.training.collective import Alone
from oncotrain.training.evaluation import find_units, predict
from oncotrain.training.recompute import recompute
from oncotrain.training.run import RunDirectory
from oncotrain.training.state import get_parameters
from support.fedavg import average_by_hand, best_state, labelled_items, open_all
from support.federation import federated_config, loopback, open_worker, open_workers
from support.lakes import make_lake


def run(sites: Mapping[str, Lake], centre: Lake, config: RunConfig) -> dict[str, Any]:
    with loopback(open_workers(sites, config)) as group:
        return conduct(group, centre, config, "test.yaml")


def close(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.allclose(a, b, rtol=1e-9, atol=1e-11) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("task", ["drug_response", "histology"])
def test_rounds_are_fedavg_weighted_by_what_the_loss_counts(task, sites, centre):
    config = federated_config(task)
    summary = run(sites, centre, config)
    counts = [labelled_items(data) for data in open_all(sites, config)]
    round_ = summary["best_step"] // 3 - 1
    found = get_parameters(best_state(centre, summary, config).model)
    assert len(set(counts)) == len(sites), "the sites must differ for the weights to matter"
    assert close(found, average_by_hand(sites, config, counts)[round_])
    assert not close(found, average_by_hand(sites, config, [1.0, 1.0, 1.0])[round_])


def test_equal_weighting_gives_each_site_one_vote(sites, centre):
    config = federated_config("drug_response", {"weighting": "equal"})
    summary = run(sites, centre, config)
    found = get_parameters(best_state(centre, summary, config).model)
    assert close(found, average_by_hand(sites, config, [1.0, 1.0, 1.0])[summary["best_step"] // 3 - 1])


def test_fedprox_with_mu_0_is_fedavg_and_another_mu_is_not(sites, centre):
    found = []
    for strategy in ("fedavg", {"name": "fedprox", "proximal_mu": 0}, {"name": "fedprox", "proximal_mu": 1}):
        config = federated_config("drug_response", {"strategy": strategy})
        found.append(get_parameters(best_state(centre, run(sites, centre, config), config).model))
    assert all(np.array_equal(a, b) for a, b in zip(found[0], found[1], strict=True))
    assert not close(found[0], found[2])


SGD = {"optimizer": {"name": "sgd", "lr": 0.01}}


@pytest.mark.parametrize("strategy", ["fedadam", "fedmedian", "scaffold", {"name": "krum", "malicious_sites": 0}])
def test_every_strategy_goes_through_in_float32(strategy, sites, centre):
    """Nothing but SCAFFOLD's variates, as large as the parameters, is sent beside what FedAvg sends."""
    rounds = {"rounds": 3, "min_sites": 3}
    plain = run(sites, centre, federated_config("drug_response", rounds, precision="float32", **SGD))
    config = federated_config("drug_response", {"strategy": strategy, **rounds}, precision="float32", **SGD)
    summary = run(sites, centre, config)
    assert summary["arm"] == f"federated:{config.federated.strategy.name}"
    assert summary["best_step"] in (3, 6, 9)
    assert not close(*(get_parameters(best_state(centre, each, config).model) for each in (plain, summary)))
    parameters = to_records(Parcel({}, {}, get_parameters(best_state(centre, summary, config).model)))
    pack([parameters])
    more = summary["bytes_down"]["uz-leuven"] - plain["bytes_down"]["uz-leuven"]
    assert more == pytest.approx(3 * size(parameters) if strategy == "scaffold" else 0, abs=0.2 * size(parameters))


def test_scaffold_with_one_step_in_one_round_is_fedavg(sites, centre):
    found = []
    for strategy in ("fedavg", "scaffold"):
        config = federated_config("drug_response", {"strategy": strategy, "rounds": 1, "local_steps": 1}, **SGD)
        found.append(get_parameters(best_state(centre, run(sites, centre, config), config).model))
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("strategy", ["fedavg", "scaffold"])
def test_a_fraction_of_the_sites_trains_and_all_validate(strategy, sites, centre):
    settings = {"strategy": strategy, "fraction": 0.6, "rounds": 4, "evaluate_every": 2}
    config = federated_config("drug_response", settings, **SGD)
    summary = run(sites, centre, config)
    drawn = [draw_sites(config.train.seed, number, sites, sites, 0.6, 2) for number in range(1, 5)]
    assert {len(names) for names in drawn} == {2}
    for site, lake in sites.items():
        events = [line["event"] for line in read(lake, site)]
        trained = [event["round"] for event in events if event["kind"] == "train"]
        assert trained == [number for number, names in enumerate(drawn, start=1) if site in names]
        assert summary["rounds_trained"][site] == len(trained)
        assert [event["kind"] for event in events].count("validation") == 2
    batches = [min(7, len(data.rows("train"))) for data in open_all(sites, config)]
    assert 0 < summary["samples_seen"] <= sum(summary["rounds_trained"].values()) * 3 * max(batches)


def test_fewer_sites_than_the_strategy_needs_are_refused_at_once(sites, centre):
    with pytest.raises(UserError, match=r"test\.yaml: federated\.min_sites is 5; 3 sites take part"):
        run(sites, centre, federated_config("drug_response", {"strategy": "krum", "min_sites": 5}))


def test_figures_are_those_of_the_pooled_test_patients(sites, centre):
    config = federated_config("drug_response")
    summary = run(sites, centre, config)
    state, plan = best_state(centre, summary, config), RunDirectory(centre, summary["run"]).read_json("plan.json")
    sums = []
    for data in open_all(sites, config):
        units = find_units(data.dataset, data.rows("test"), data.task)
        patients = predict(
            state.model,
            units,
            summary["decision"],
            lambda _unit, _prediction: None,
            task=data.task,
            plan=plan,
            dataset=data.dataset,
            collective=Alone(),
        )
        sums += list(patients.values())
    assert summary["figures"] == pytest.approx(data.task.figures(data.task.merge(sums)), nan_ok=True)


def test_run_directories_at_both_sides_and_a_second_call(sites, centre):
    config = federated_config("drug_response")
    summary = run(sites, centre, config)
    points = RunDirectory(centre, summary["run"]).read_metrics()
    assert [(point["round"], point["step"]) for point in points] == [(1, 3), (2, 6)]
    assert summary["steps"] == 6
    assert summary["bytes_up"].keys() == summary["bytes_down"].keys() == sites.keys()
    assert all(recompute(lake, summary["run"])["same"] for lake in sites.values())
    assert run(sites, centre, config) == {"status": "done", **summary, "unchanged": True}


def test_validation_as_often_as_configured_and_after_the_last_round(sites, centre):
    summary = run(sites, centre, federated_config("drug_response", {"rounds": 5, "evaluate_every": 2}))
    points = RunDirectory(centre, summary["run"]).read_metrics()
    assert [point["round"] for point in points] == [2, 4, 5]


def test_every_answer_is_in_the_sites_audit(sites, centre):
    summary = run(sites, centre, federated_config("drug_response"))
    for site, lake in sites.items():
        verify(lake, site)
        events = [line["event"] for line in read(lake, site)]
        kinds = [event["kind"] for event in events]
        assert kinds == ["contract", "statistics", "plan", "train", "train", "validation", "test"]
        assert {event["run"] for event in events[1:]} == {summary["run"]}
        assert all(event["bytes_up"] > 0 and len(event["reply_sha256"]) == 64 for event in events)
        assert events[3]["rows"] > 0


def test_sums_over_few_patients_stay_at_the_site(sites, centre):
    """chu-grenoble has 4 test and 2 validation patients, the others more."""
    summary = run(sites, centre, federated_config("drug_response", {"min_patients": 5}))
    assert summary["withheld"] == ["chu-grenoble"]
    others = {site: lake for site, lake in sites.items() if site != "chu-grenoble"}
    tested: Counter[tuple[str, int]] = Counter()
    for site, data in zip(others, open_all(others, federated_config("drug_response")), strict=True):
        for row in data.dataset.iterate(["drug"], data.rows("test")):
            tested.update((site, int(drug)) for drug in row["drug"])
    pairs = sum(count for count in tested.values() if count >= 5)
    assert summary["figures"]["pairs"] == pairs > 0


def test_nothing_can_be_chosen_if_every_site_withholds(sites, centre):
    with pytest.raises(DataError, match="min_patients"):
        run(sites, centre, federated_config("drug_response", {"min_patients": 1000}))


def test_a_site_with_another_configuration_is_named_with_the_key(sites, centre):
    config = federated_config("drug_response")
    workers = open_workers(sites, config)
    other = federated_config("drug_response", optimizer={"name": "sgd", "lr": 0.5}, threads=2)
    workers["uz-leuven"] = open_worker("uz-leuven", sites["uz-leuven"], other)
    with (
        loopback(workers) as group,
        pytest.raises(UserError, match=r"uz-leuven differs in train\.optimizer\.lr") as error,
    ):
        conduct(group, centre, config, "test.yaml")
    assert "threads" not in str(error.value), "where work is done is each participant's own business"


def test_an_exception_at_a_site_arrives_as_a_code(sites, centre, caplog, monkeypatch):
    config = federated_config("drug_response")
    workers = open_workers(sites, config)

    def fail(*_arguments: object) -> None:
        raise RuntimeError("patient uz-leuven-p003 of /secret/path")

    monkeypatch.setitem(workers["uz-leuven"]._answers, "statistics", fail)
    monkeypatch.setattr(logging.getLogger("oncotrain"), "handlers", [caplog.handler])  # its lines go nowhere else
    with loopback(workers) as group, pytest.raises(DataError, match=r"query\.statistics: no answer from uz-leuven"):
        conduct(group, centre, config, "test.yaml")
    logged = caplog.text
    assert "refused: FAILED (1004)" in logged
    assert "RuntimeError in" in logged, "the site's own log says where"
    assert "p003" not in logged
    assert "/secret" not in logged


def test_rounds_go_on_without_a_site_down_to_the_minimum(sites, centre, monkeypatch):
    config = federated_config("drug_response", {"rounds": 3})
    workers = open_workers(sites, config)
    trained = []
    train = workers["uz-leuven"]._answers["train"]

    def fail_in_round_2(request: Any) -> Any:
        trained.append(request.body["round"])
        if request.body["round"] == 2:
            raise DataError("a row group is missing")
        return train(request)

    monkeypatch.setitem(workers["uz-leuven"]._answers, "train", fail_in_round_2)
    with loopback(workers) as group:
        conduct(group, centre, config, "test.yaml")
    assert trained == [1, 2, 3]


def test_fewer_sites_than_the_minimum_end_the_run(sites, centre, monkeypatch):
    config = federated_config("drug_response", {"min_sites": 3})
    workers = open_workers(sites, config)

    def fail(_request: object) -> None:
        raise DataError("a row group is missing")

    monkeypatch.setitem(workers["uz-leuven"]._answers, "train", fail)
    with loopback(workers) as group, pytest.raises(DataError, match="round 1: 2 sites answered, 3 are needed"):
        conduct(group, centre, config, "test.yaml")


def test_a_round_that_lost_its_sites_is_repeated(sites, centre, monkeypatch):
    config = federated_config("drug_response", {"min_sites": 3})
    undisturbed = run(sites, make_lake(Path(centre.root).parent / "undisturbed"), config)
    lost: list[Message] = []
    with loopback(open_workers(sites, config)) as group:
        reply = group.grid._reply

        def lose_one_once(message: Message, worker: Any) -> Message:
            if message.metadata.message_type == "train" and body_of(message.content)["round"] == 2 and not lost:
                lost.append(message)
                return Message(Error(ErrorCode.NODE_UNAVAILABLE, "it is gone"), reply_to=message)
            return reply(message, worker)

        monkeypatch.setattr(group.grid, "_reply", lose_one_once)
        summary = conduct(group, centre, config, "test.yaml")
    assert lost
    assert summary["rounds_trained"] == undisturbed["rounds_trained"]
    kinds = {site: [line["event"]["kind"] for line in read(lake, site)].count("train") for site, lake in sites.items()}
    assert sorted(kinds.values()) == [4, 5, 5], "two of the run before, two of this one, and of two sites one again"


def test_a_client_started_again_in_mid_run_goes_on(sites, centre, monkeypatch):
    config = federated_config("drug_response")
    train_one = Rounds._train_one
    with loopback(open_workers(sites, config)) as group:

        def start_again(self: Rounds, number: int, *arguments: Any) -> Any:
            if number == 2:
                group.grid.workers[2] = open_workers(sites, config)["uz-leuven"]
            return train_one(self, number, *arguments)

        monkeypatch.setattr(Rounds, "_train_one", start_again)
        summary = conduct(group, centre, config, "test.yaml")
    assert summary["rounds"] == 2
    kinds = [line["event"]["kind"] for line in read(sites["uz-leuven"], "uz-leuven")]
    assert kinds == ["contract", "statistics", "plan", "train", "train", "validation", "test"]


def test_a_client_with_the_key_of_another_site_is_named(sites, centre):
    config = federated_config("drug_response")
    workers = open_workers(sites, config)
    workers["uz-leuven"].site = "chu-grenoble"
    with (
        loopback(workers) as group,
        pytest.raises(UserError, match="the client with the key of uz-leuven calls itself 'chu-grenoble'"),
    ):
        conduct(group, centre, config, "test.yaml")


@pytest.mark.parametrize("name", ["../landing", "a/b", "", ".."])
def test_a_run_cannot_be_named_out_of_its_zone(name, sites):
    worker = open_workers(sites, federated_config("drug_response"))["uz-leuven"]
    reply = answer(worker, to_records(Parcel({"run": name, "plan": {}})), "plan")
    assert reply is Refusal.CONFIGURATION
    assert not list(Path(sites["uz-leuven"].root).rglob("plan.json"))


@pytest.mark.parametrize("strategy", ["fedavg", "fedadam"])
def test_a_coordinator_that_died_goes_on_after_the_last_finished_round(strategy, sites, centre, tmp_path, monkeypatch):
    settings = {"rounds": 3, "strategy": strategy}
    config = federated_config("drug_response", settings, optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.0})
    undisturbed = run(sites, make_lake(tmp_path / "elsewhere"), config)
    trained = []
    train_one = Rounds._train_one

    def die_in_round_two(self: Rounds, number: int, *arguments: Any) -> Any:
        trained.append(number)
        if trained.count(2) == 1 and number == 2:
            raise KeyboardInterrupt
        return train_one(self, number, *arguments)

    monkeypatch.setattr(Rounds, "_train_one", die_in_round_two)
    with pytest.raises(KeyboardInterrupt):
        run(sites, centre, config)
    summary = run(sites, centre, config)
    assert trained == ([1, 2, 2, 3] if strategy == "fedavg" else [1, 2, 1, 2, 3])
    same = ("best_step", "figures", "validation", "samples_seen", "rounds_trained")
    assert {key: summary[key] for key in same} == {key: undisturbed[key] for key in same}
    points = RunDirectory(centre, summary["run"]).read_metrics()
    assert [point["round"] for point in points] == [1, 2, 3]
    if strategy == "fedavg":
        assert summary["bytes_up"]["uz-leuven"] > undisturbed["bytes_up"]["uz-leuven"], "asked for its contract twice"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda arrays: [arrays[0] * np.nan, *arrays[1:]], "array 0 has values that are not finite"),
        (lambda arrays: [*arrays[:-1], np.zeros(10_000_000, np.float32)], r"has shape \(10000000,\)"),
        (lambda arrays: arrays[:-1], "arrays, where the model has"),
        (lambda arrays: [array + 1 for array in arrays], "longer than 5 times the median of the others'"),
    ],
)
def test_an_update_that_cannot_be_averaged_is_left_out_and_named(spoil, message, sites, centre, monkeypatch, caplog):
    config = federated_config("drug_response", {"min_sites": 2, "largest_update": 5})
    workers = open_workers(sites, config)
    train = workers["uz-leuven"]._train

    def spoiled(request: Parcel) -> Parcel:
        reply = train(request)
        return replace(reply, parameters=spoil(list(reply.parameters)))

    monkeypatch.setitem(workers["uz-leuven"]._answers, "train", spoiled)
    monkeypatch.setattr(logging.getLogger("oncotrain"), "propagate", True)
    with loopback(workers) as group:
        summary = conduct(group, centre, config, "test.yaml")
    assert summary["rounds_trained"] == {"chu-grenoble": 2, "uz-leuven": 0, "charite-berlin": 2}
    assert any(re.search(message, record.getMessage()) for record in caplog.records)


def test_sites_that_do_not_come_are_named(sites):
    workers = open_workers(sites, federated_config("drug_response"))
    with loopback(workers) as group:
        del group.grid.workers[2]
        with pytest.raises(DataError, match="3 sites are needed, 2 came within 0 s; not there: uz-leuven"):
            group.wait(3, 0.2)
        group.wait(2, 0.2)
