"""Privacy of whole sites: what is clipped and where, how much noise there is, and what it costs."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.serverapp import RdpAccountant
from flwr.supercore.differential_privacy import compute_clip_model_update, compute_stdv
from flwr.supercore.privacy_accounting import (
    GaussianPrivacyEvent,
    NeighboringRelation,
    PrivacyConfig,
    SamplingMethod,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oncotrain.config import parse
from oncotrain.config.federation import FederatedConfig
from oncotrain.config.privacy import SitePrivacyConfig
from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError, UserError
from oncotrain.federation.coordinator import rounds as rounds_module
from oncotrain.federation.coordinator.conduct import conduct
from oncotrain.federation.coordinator.rounds import Rounds
from oncotrain.federation.secure.contribution import contribution
from oncotrain.federation.secure.credentials import Credentials
from oncotrain.federation.site import worker as worker_module
from oncotrain.federation.strategies.site_privacy import add_noise, clip, site_epsilon
from oncotrain.federation.wire.blocks import unpack
from oncotrain.federation.wire.parcel import Parcel, from_records
from oncotrain.lake.filesystem import Lake
from oncotrain.training.run import RunDirectory
from oncotrain.training.state import get_parameters
from support.fedavg import best_state
from support.federation import federated_config, loopback, open_workers
from support.lakes import make_lake
from support.secure import key_of, roster_of

DELTA = 1e-5
PRIVATE = {"noise_multiplier": 4.0, "clipping_norm": 0.02, "delta": DELTA, "max_epsilon": 50.0}
SHAPES = [(2, 3), (4,)]
values = st.floats(-1e3, 1e3)
updates = st.tuples(*(hnp.arrays(np.float64, shape, elements=values) for shape in SHAPES)).map(list)


def private(federated: Mapping[str, Any] | None = None, **changes: Any) -> RunConfig:
    settings = {"weighting": "equal", "site_privacy": PRIVATE | changes, **(federated or {})}
    return federated_config("drug_response", settings)


def run(sites: Mapping[str, Lake], centre: Lake, config: RunConfig) -> dict[str, Any]:
    return watched(sites, centre, config)[0]


def watched(sites: Mapping[str, Lake], centre: Lake, config: RunConfig) -> tuple[dict[str, Any], list[Any]]:
    """The summary, and pairs of a training request's and its reply's parcels."""
    credentials = {site: Credentials(key_of(site), roster_of(tuple(sites))) for site in sites}
    workers, pairs = open_workers(sites, config, credentials), []
    for worker in workers.values():

        def train(request: Parcel, answer: Any = worker._answers["train"]) -> Parcel:
            reply = answer(request)
            pairs.append((request, reply))
            return reply

        worker._answers["train"] = train
    with loopback(workers) as group:
        return conduct(group, centre, config, "test.yaml", roster_of(tuple(sites))), pairs


def norm(arrays: list[np.ndarray]) -> float:
    return float(np.linalg.norm(np.concatenate([array.ravel() for array in arrays])))


def change(before: list[np.ndarray], after: list[np.ndarray]) -> list[np.ndarray]:
    return [new - old for old, new in zip(before, after, strict=True)]


@given(updates, updates, st.floats(1e-3, 1e4))
def test_clipping_shortens_and_does_not_turn(before, after, bound):
    found = change(before, clip(before, after, bound))
    whole = change(before, after)
    assert norm(found) <= bound * (1 + 1e-9) + 1e-9
    assert norm(found) == pytest.approx(min(norm(whole), bound), rel=1e-6, abs=1e-9)
    if norm(whole) > bound:
        assert all(np.allclose(a * norm(whole), b * bound, atol=1e-6) for a, b in zip(found, whole, strict=True))
        theirs = list(after)
        compute_clip_model_update(theirs, before, bound)
        assert all(np.allclose(a, b, atol=1e-9) for a, b in zip(clip(before, after, bound), theirs, strict=True))
    else:
        assert all(np.array_equal(a, b) for a, b in zip(clip(before, after, bound), after, strict=True))


def test_a_site_that_changed_nothing_is_no_division_by_zero():
    same = [np.ones(3, np.float32)]
    assert np.array_equal(clip(same, same, 0.1)[0], same[0])
    with pytest.raises(ZeroDivisionError):  # Flower's, which is why it is not used
        compute_clip_model_update([np.ones(3)], [np.ones(3)], 0.1)


@pytest.mark.parametrize("sites", [1, 2, 40])
def test_noise_has_the_deviation_that_is_accounted_for_and_never_repeats(sites):
    privacy = SitePrivacyConfig.model_validate(PRIVATE)
    zeros = [np.zeros((300, 400), np.float32), np.zeros(7, np.float64)]
    first, second = add_noise(zeros, sites, privacy), add_noise(zeros, sites, privacy)
    assert [array.dtype for array in first] == [np.float32, np.float64]
    expected = compute_stdv(4.0, 0.02, sites)
    assert first[0].std() == pytest.approx(expected, rel=0.01)
    assert abs(first[0].mean()) < 5 * expected / np.sqrt(first[0].size)
    assert not np.isclose(first[0], second[0]).mean() > 0.01
    assert abs(np.corrcoef(first[0].ravel(), second[0].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("releases", [1, 10, 200])
@pytest.mark.parametrize("noise", [1.0, 4.0, 20.0])
def test_epsilon_is_that_of_flowers_accountant_within_1_percent(releases, noise):
    relation, sampling = NeighboringRelation.ADD_OR_REMOVE_ONE, SamplingMethod.NO_AMPLIFICATION
    theirs = RdpAccountant(PrivacyConfig(DELTA, 30, relation, sampling))
    theirs.compose(GaussianPrivacyEvent(noise, 30, 30), releases)
    privacy = SitePrivacyConfig.model_validate(PRIVATE | {"noise_multiplier": noise})
    assert site_epsilon(privacy, releases) == pytest.approx(theirs.get_epsilon(DELTA), rel=0.01)


@pytest.mark.parametrize("strategy", ["fedavg", {"name": "fedprox", "proximal_mu": 1}, "fedadam"])
@pytest.mark.parametrize("hidden", [False, True])
def test_without_a_bound_and_without_noise_it_is_the_plain_strategy(strategy, hidden, sites, centre, monkeypatch):
    common = {"strategy": strategy, "weighting": "equal"}
    if hidden:
        common["secure_aggregation"] = {"threshold": 2, "bits": 36, "clip": 2.0**10}
    plain = federated_config("drug_response", common)
    config = private(common, clipping_norm=1e6)
    monkeypatch.setattr("oncotrain.federation.coordinator.sites.POLL_SECONDS", 0.0)
    monkeypatch.setattr(rounds_module, "add_noise", lambda mean, _sites, _privacy: mean)
    found = [get_parameters(best_state(centre, run(sites, centre, each), each).model) for each in (plain, config)]
    tolerance = 1e-7 if hidden else 1e-12
    assert all(np.allclose(a, b, rtol=0, atol=tolerance) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("hidden", [False, True])
def test_a_private_run_clips_at_the_sites_and_adds_noise_to_their_mean(hidden, sites, centre, monkeypatch):
    monkeypatch.setattr("oncotrain.federation.coordinator.sites.POLL_SECONDS", 0.0)
    config = private({"secure_aggregation": {"threshold": 2}} if hidden else None)
    summary, pairs = watched(sites, centre, config)
    assert summary["arm"] == f"federated+sitedp{'+secure' if hidden else ''}:fedavg"
    assert summary["privacy"] == {
        "unit": "site",
        "delta": DELTA,
        "epsilon": pytest.approx(dict.fromkeys(sites, site_epsilon(config.federated.site_privacy, 2))),
    }
    assert all(point["loss"] is None for point in RunDirectory(centre, summary["run"]).read_metrics())
    assert len(pairs) == 6
    if hidden:
        assert not any(reply.parameters or reply.metrics for _, reply in pairs)
    else:
        of_round = [pair for pair in pairs if pair[0].body["round"] == 1]
        changes = [change(request.parameters, reply.parameters) for request, reply in of_round]
        assert [norm(each) for each in changes] == pytest.approx([0.02] * 3), "each wanted to go further"
        assert all(set(reply.metrics) == {"equal", "loss"} and np.isnan(reply.metrics["loss"]) for _, reply in pairs)
        mean = [np.mean(arrays, axis=0) for arrays in zip(*(reply.parameters for _, reply in of_round), strict=True)]
        following = next(request for request, _ in pairs if request.body["round"] == 2)
        noise = np.concatenate([array.ravel() for array in change(mean, list(following.parameters))])
        assert noise.std() == pytest.approx(4.0 * 0.02 / 3, rel=0.1)


def test_two_runs_with_one_seed_differ(sites, centre, tmp_path):
    found = []
    for lake in (centre, make_lake(tmp_path / "another")):
        summary = run(sites, lake, private())
        found.append(get_parameters(best_state(lake, summary, private()).model))
    assert not any(np.allclose(a, b) for a, b in zip(*found, strict=True))


def test_a_site_pays_for_the_rounds_in_which_it_trained(sites, centre):
    config = private({"fraction": 0.6, "rounds": 4, "evaluate_every": 2})
    summary = run(sites, centre, config)
    rounds = summary["rounds_trained"]
    assert len(set(rounds.values())) > 1, "sites must differ for this to mean anything"
    privacy = config.federated.site_privacy
    expected = {site: site_epsilon(privacy, count) for site, count in rounds.items() if count}
    assert summary["privacy"]["epsilon"] == pytest.approx(expected)


def test_noise_is_for_the_sites_that_answered(sites, centre, monkeypatch):
    config = private()
    counted = []
    monkeypatch.setattr(rounds_module, "add_noise", lambda mean, count, _privacy: counted.append(count) or mean)
    workers = open_workers(sites, config)

    def fail(_request: object) -> None:
        raise DataError("a row group is missing")

    monkeypatch.setitem(workers["uz-leuven"]._answers, "train", fail)
    with loopback(workers) as group:
        summary = conduct(group, centre, config, "test.yaml")
    assert counted == [2, 2]
    assert "uz-leuven" not in summary["privacy"]["epsilon"]


def test_a_weight_of_its_own_gives_a_site_no_more_votes(sites, centre, monkeypatch):
    """A negative one would let the others' shares of the mean grow beyond what the noise hides."""
    counted: list[list[np.ndarray]] = []
    monkeypatch.setattr(rounds_module, "add_noise", lambda mean, _sites, _privacy: counted.append(mean) or mean)
    config = private({"rounds": 1})
    workers = open_workers(sites, config)
    answer = workers["uz-leuven"]._answers["train"]
    trained = []

    def train(request: Parcel) -> Parcel:
        reply = answer(request)
        trained.append(reply.parameters)
        return replace(reply, metrics={**reply.metrics, "equal": -1.5})

    monkeypatch.setitem(workers["uz-leuven"]._answers, "train", train)
    with loopback(workers) as group:
        pull = group.grid.pull_messages

        def pulled(identifiers):
            replies = pull(identifiers)
            others = [
                reply
                for reply in replies
                if reply.metadata.message_type == "train" and group.name(reply) != "uz-leuven"
            ]
            contents = [deepcopy(reply.content) for reply in others]
            for content in contents:
                unpack(content)
            trained.extend(from_records(content).parameters for content in contents)
            return replies

        group.grid.pull_messages = pulled
        conduct(group, centre, config, "test.yaml")
    assert len(trained) == 3
    assert all(np.allclose(a, np.mean(b, axis=0)) for a, b in zip(counted[0], zip(*trained, strict=True), strict=True))


def test_a_hidden_weight_of_its_own_ends_the_run(sites, centre, monkeypatch):
    monkeypatch.setattr("oncotrain.federation.coordinator.sites.POLL_SECONDS", 0.0)
    monkeypatch.setattr(worker_module, "contribution", lambda *parts: contribution(*parts[:-1], 0.5))
    with pytest.raises(DataError, match=r"round 1: 3 sites weigh 1\.5 together; each has one vote"):
        run(sites, centre, private({"secure_aggregation": {"threshold": 2}}))


def test_rounds_that_cannot_be_paid_for_are_not_begun(sites, centre):
    cost = site_epsilon(SitePrivacyConfig.model_validate(PRIVATE), 2)
    config = private(max_epsilon=0.99 * cost)
    with pytest.raises(UserError, match=r"test\.yaml: federated\.site_privacy\.max_epsilon .*; 2 rounds take"):
        run(sites, centre, config)
    assert not centre.list("runs")
    assert run(sites, centre, private(max_epsilon=1.01 * cost))["rounds"] == 2


def test_rounds_before_a_restart_count(sites, centre, monkeypatch):
    """fedadam begins anew: what its first two rounds released is out, and the third attempt cannot be paid for."""
    cost = site_epsilon(SitePrivacyConfig.model_validate(PRIVATE), 5)
    config = private({"strategy": "fedadam", "rounds": 3}, max_epsilon=1.01 * cost)
    train_one = Rounds._train_one

    class Killed(BaseException):
        pass

    def die_in_round_3(self: Rounds, number: int, *arguments: Any) -> Any:
        if number == 3:
            raise Killed
        return train_one(self, number, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Rounds, "_train_one", die_in_round_3)
        with pytest.raises(Killed):
            run(sites, centre, config)
    assert run(sites, centre, config)["privacy"]["epsilon"]["uz-leuven"] == pytest.approx(cost)
    [directory] = [RunDirectory(centre, name) for name in centre.list("runs")]
    directory.remove("summary.json")
    with pytest.raises(UserError, match=r"one more round takes charite-berlin, chu-grenoble, uz-leuven beyond"):
        run(sites, centre, config)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"strategy": "krum", "min_sites": 9}, "strategy 'krum' looks at single sites' updates, which site_privacy"),
        ({"strategy": "fedmedian", "min_sites": 9}, "strategy 'fedmedian' looks at single"),
        ({"strategy": "fedtrimmedavg", "min_sites": 9}, "strategy 'fedtrimmedavg' looks at single"),
        ({"strategy": "scaffold"}, "strategy 'scaffold' looks at single"),
        ({"weighting": "loss_count"}, "site_privacy needs weighting: equal"),
        ({"site_privacy": PRIVATE | {"noise_multiplier": 0}}, "federated.site_privacy.noise_multiplier|site_privacy"),
        ({"site_privacy": PRIVATE | {"clipping_norm": float("inf")}}, "clipping_norm"),
    ],
)
def test_what_makes_no_sense_is_refused(section, message):
    whole = {"weighting": "equal", "site_privacy": PRIVATE, **section}
    with pytest.raises(UserError, match=message):
        parse(FederatedConfig, whole, "r.yaml")


def test_privacy_of_patients_and_of_sites_exclude_each_other():
    data = private().model_dump(mode="json")
    for privacy in ({"control": True}, {"noise_multiplier": 1, "max_grad_norm": 1, "delta": 1e-5, "max_epsilon": 1}):
        data["train"]["privacy"] = privacy
        with pytest.raises(UserError, match=r"train\.privacy .* and federated\.site_privacy .* exclude each other"):
            parse(RunConfig, data, "r.yaml")
