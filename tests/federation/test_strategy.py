"""Each strategy's aggregate against NumPy, and what it is for: outliers, drift, sites that take part now and then."""

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.supercore.task_identity import TaskIdentity
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oncotrain.config.federation import FederatedConfig
from oncotrain.config.training import RunConfig
from oncotrain.errors import UserError
from oncotrain.federation.schedule import federated_section
from oncotrain.federation.strategies.krum import krum
from oncotrain.federation.strategies.participation import draw_sites
from oncotrain.federation.strategies.strategy import create_strategy
from oncotrain.federation.wire.parcel import Parcel, to_records
from support.federation import LoopbackGrid, federated_config
from support.regression import RATE, make_data, optimum, train_rounds

SHAPES = [(2, 3), (4,)]
values = st.floats(-100, 100).map(lambda value: value + 0.0)  # no -0.0


@pytest.fixture(autouse=True, scope="module")
def _identity() -> None:
    """Messages carry the identity of the process that Flower started for the app; here there is none."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1


@st.composite
def cohorts(draw: st.DrawFn, fewest: int = 1) -> tuple[list[list[np.ndarray]], list[float]]:
    """Parameters of several sites, and the sites' loss counts."""
    count = draw(st.integers(fewest, 8))
    sites = [[draw(hnp.arrays(np.float64, shape, elements=values)) for shape in SHAPES] for _ in range(count)]
    return sites, draw(st.lists(st.floats(1, 1000), min_size=count, max_size=count))


def reply(node: int, parameters: list[np.ndarray], weight: float) -> Message:
    metrics = {"loss_count": weight, "equal": 1.0, "loss": float(node)}
    return Message(
        to_records(Parcel({}, {}, parameters, metrics)), reply_to=Message(to_records(Parcel()), node, "train")
    )


def federated(**changes: object) -> FederatedConfig:
    return FederatedConfig.model_validate({"min_sites": 1, **changes})


def aggregate(config: FederatedConfig, sites: list[list[np.ndarray]], counts: list[float]) -> list[np.ndarray]:
    """One round's, after common parameters of 0."""
    strategy = create_strategy(config, len(sites))
    zeros = ArrayRecord([np.zeros(shape) for shape in SHAPES])
    list(strategy.configure_train(1, zeros, ConfigRecord(), LoopbackGrid(dict.fromkeys(range(len(sites))))))
    replies = [reply(node, site, count) for node, (site, count) in enumerate(zip(sites, counts, strict=True))]
    arrays, metrics = strategy.aggregate_train(1, replies)
    weights = counts if config.weighting == "loss_count" else None
    assert metrics["loss"] == pytest.approx(np.average(np.arange(len(sites)), weights=weights))
    return arrays.to_numpy_ndarrays()


def by_layer(function, sites):
    return [function(np.stack(layers)) for layers in zip(*sites, strict=True)]


def close(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.allclose(a, b, rtol=1e-9, atol=1e-9) for a, b in zip(first, second, strict=True))


@settings(deadline=None, max_examples=30)
@given(cohorts(), st.sampled_from(["fedavg", "fedprox"]), st.sampled_from(["loss_count", "equal"]))
def test_means_are_weighted_as_configured(cohort, name, weighting):
    sites, counts = cohort
    found = aggregate(federated(strategy=name, weighting=weighting), sites, counts)
    weights = np.array(counts) if weighting == "loss_count" else np.ones(len(sites))
    assert close(found, by_layer(lambda layers: np.tensordot(weights / weights.sum(), layers, 1), sites))


@settings(deadline=None, max_examples=30)
@given(cohorts(), st.floats(0.01, 1), st.floats(0, 0.99), st.floats(0, 0.99), st.floats(1e-3, 1))
def test_fedadam_is_adam_on_the_mean_change(cohort, eta, beta_1, beta_2, tau):
    """The common parameters were 0, so the mean is the change; Flower corrects round t as Adam does step t + 1."""
    sites, counts = cohort
    options = {"name": "fedadam", "eta": eta, "beta_1": beta_1, "beta_2": beta_2, "tau": tau}
    found = aggregate(federated(strategy=options), sites, counts)
    rate = eta * np.sqrt(1 - beta_2**2) / (1 - beta_1**2)

    def adam(layers: np.ndarray) -> np.ndarray:
        change = np.average(layers, axis=0, weights=counts)
        return rate * (1 - beta_1) * change / (np.sqrt((1 - beta_2) * change**2) + tau)

    assert close(found, by_layer(adam, sites))


@settings(deadline=None, max_examples=30)
@given(cohorts(fewest=3))
def test_the_median_is_each_parameters(cohort):
    sites, counts = cohort
    found = aggregate(federated(strategy="fedmedian", min_sites=3), sites, counts)

    def median(layers: np.ndarray) -> np.ndarray:
        ordered, n = np.sort(layers, axis=0), len(layers)
        return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2

    assert close(found, by_layer(median, sites))


@settings(deadline=None, max_examples=30)
@given(cohorts(fewest=3), st.floats(0.34, 0.49))
def test_the_trimmed_mean_leaves_out_both_ends(cohort, beta):
    sites, counts = cohort
    found = aggregate(federated(strategy={"name": "fedtrimmedavg", "beta": beta}, min_sites=3), sites, counts)
    cut = int(np.floor(beta * len(sites)))
    assert cut >= 1
    assert close(found, by_layer(lambda layers: np.sort(layers, axis=0)[cut : len(layers) - cut].mean(axis=0), sites))


@settings(deadline=None, max_examples=30)
@given(cohorts(fewest=5))
def test_krum_is_the_site_with_the_nearest_neighbours(cohort):
    sites, counts = cohort
    found = aggregate(federated(strategy="krum", min_sites=5), sites, counts)
    flat = [np.concatenate([layer.ravel() for layer in site]) for site in sites]

    def score(index: int) -> float:
        others = sorted(float(np.sum((flat[index] - flat[j]) ** 2)) for j in range(len(flat)) if j != index)
        return sum(others[: len(flat) - 1 - 2])

    best = min(score(index) for index in range(len(sites)))
    chosen = [index for index, site in enumerate(sites) if close(site, found)]
    assert min(score(index) for index in chosen) == pytest.approx(best)


def test_krum_tells_sites_apart_that_differ_little_in_float32():
    """|a|^2 + |b|^2 - 2 a b in float32 has nothing left of such distances."""
    rng = np.random.default_rng(0)
    common = (0.05 * rng.normal(size=100_000)).astype(np.float32)
    spreads = [5e-5, 4e-5, 1e-5, 3e-5, 2e-5, 6e-5]
    sites = [[common + (spread * rng.normal(size=common.size)).astype(np.float32)] for spread in spreads]
    assert krum(sites, 1) == 2


def test_krum_never_takes_a_site_that_is_not_finite():
    sites = [[np.full(3, value)] for value in (np.nan, 1.0, 1.1, 0.9, np.inf)]
    assert krum(sites, 1) in (1, 2, 3)


@pytest.mark.parametrize("name", ["fedmedian", "fedtrimmedavg", "krum"])
def test_one_site_far_off_moves_robust_strategies_little_and_fedavg_a_lot(name):
    rng = np.random.default_rng(3)
    centre = [rng.normal(size=shape) for shape in SHAPES]
    sites = [[layer + 0.1 * rng.normal(size=layer.shape) for layer in centre] for _ in range(5)]
    spoilt = [*sites[:4], [-10 * layer for layer in sites[4]]]

    def moved(config: FederatedConfig) -> float:
        pairs = zip(aggregate(config, sites, [1.0] * 5), aggregate(config, spoilt, [1.0] * 5), strict=True)
        return float(np.sqrt(sum(np.sum((a - b) ** 2) for a, b in pairs)))

    norm = float(np.sqrt(sum(np.sum(layer**2) for layer in sites[4])))
    assert moved(federated(strategy=name, min_sites=5)) < 0.2 * norm
    assert moved(federated()) > 2 * norm


def test_fedprox_with_mu_0_is_fedavg_and_a_large_mu_holds_sites_at_the_common_parameters():
    data = make_data([20, 30])
    run = {"rounds": 3, "local_steps": 5}
    fedavg = train_rounds(data, federated(**run))
    assert np.array_equal(fedavg, train_rounds(data, federated(strategy={"name": "fedprox", "proximal_mu": 0}, **run)))
    near = train_rounds(data, federated(strategy={"name": "fedprox", "proximal_mu": 15}, **run))
    assert 0 < np.linalg.norm(near[0]) < 0.5 * np.linalg.norm(fedavg[0])


def test_scaffold_with_one_local_step_begins_as_fedavg():
    data = make_data([20, 30])
    fedavg = train_rounds(data, federated(rounds=1, local_steps=1))
    assert np.array_equal(fedavg, train_rounds(data, federated(strategy="scaffold", rounds=1, local_steps=1)))


def test_scaffold_is_algorithm_1_of_the_paper():
    """Equal weights, some sites away: against the paper's update of c, (|S| / N) times the mean change of c_i."""
    data, away = make_data([20, 30, 25]), {2: [1], 3: [2, 3], 5: [3]}
    x, c = np.zeros(3), np.zeros(3)
    own = [np.zeros(3) for _ in data]
    # A site that was not heard yet weighs as the others do, so that c is the paper's from the first round on.
    found = train_rounds(data, federated(strategy="scaffold", weighting="equal", rounds=6, local_steps=4), away=away)
    for number in range(1, 7):
        taking_part = [index for index in range(3) if index + 1 not in away.get(number, ())]
        ends, changes = [], []
        for index in taking_part:
            rows, targets = data[index]
            y = x.copy()
            for _ in range(4):
                gradient = 2 * rows.T @ (rows @ y - targets) / len(rows)
                y -= RATE * (gradient - own[index] + c)
            new = own[index] - c + (x - y) / (4 * RATE)
            ends.append(y)
            changes.append(new - own[index])
            own[index] = new
        x = np.mean(ends, axis=0)
        c = c + len(taking_part) / 3 * np.mean(changes, axis=0)
        assert np.allclose(found[number - 1], x, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("weighting", ["loss_count", "equal"])
@pytest.mark.parametrize(
    "irregular", [{}, {"away": {number: [number % 3 + 1] for number in range(1, 61)}}, {"late": {3: [1], 7: [2, 3]}}]
)
def test_scaffold_finds_the_optimum_of_the_union_from_which_fedavg_drifts(weighting, irregular):
    data = make_data([5, 10, 30])
    best = optimum(data, [5, 10, 30] if weighting == "loss_count" else [1, 1, 1])
    run = {"weighting": weighting, "rounds": 60, "local_steps": 6}
    scaffold = train_rounds(data, federated(strategy="scaffold", **run), **irregular)
    assert np.linalg.norm(scaffold[-1] - best) < 1e-4
    assert np.linalg.norm(train_rounds(data, federated(**run))[-1] - best) > 0.1


@pytest.mark.parametrize(
    "train",
    [
        {"optimizer": {"name": "adamw"}},
        {"optimizer": {"name": "sgd", "momentum": 0.9}},
        {"optimizer": {"name": "sgd"}, "precision": "float16"},
    ],
)
def test_scaffold_wants_steps_that_it_can_take_apart(train):
    def config(strategy: str) -> RunConfig:
        return federated_config("drug_response", {"strategy": strategy}, **train)

    with pytest.raises(UserError, match=r"run\.yaml: strategy scaffold needs"):
        federated_section(config("scaffold"), "run.yaml")
    assert federated_section(config("fedprox"), "run.yaml")


SITES = [f"site-{number}" for number in range(10)]


@given(st.integers(0, 99), st.integers(1, 99), st.sets(st.sampled_from(SITES)), st.floats(0.01, 1), st.integers(1, 4))
def test_a_draw_is_a_function_of_seed_and_round(seed, number, online, fraction, minimum):
    drawn = draw_sites(seed, number, SITES, online, fraction, minimum)
    assert drawn == draw_sites(seed, number, SITES[::-1], sorted(online), fraction, minimum)
    assert set(drawn) <= online
    assert len(drawn) == len(set(drawn)) == min(len(online), max(minimum, round(fraction * len(online))))
    for absent in online - set(drawn):
        assert draw_sites(seed, number, SITES, online - {absent}, fraction, len(drawn))[: len(drawn)] == drawn


def test_every_site_is_drawn_as_often_as_another():
    counts = dict.fromkeys(SITES, 0)
    for number in range(1, 1001):
        for site in draw_sites(7, number, SITES, SITES, 0.3, 1):
            counts[site] += 1
    assert all(240 < count < 360 for count in counts.values())
