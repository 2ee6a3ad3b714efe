"""The sum is the plain sum to quantization, whoever drops out, or there is none."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncotrain.config.secure_aggregation import SecureAggregation
from oncotrain.errors import DataError, UserError
from oncotrain.federation.secure.coordinator import SecureSum
from oncotrain.federation.secure.fixed_point import decode, encode, mean, require_room, weigh
from oncotrain.federation.secure.site import SecureSite
from support.secure import SITES, STAGES, Round, key_of, session_of

THREE = SecureAggregation(threshold=3)


def updates(seed: int, shapes: tuple[tuple[int, ...], ...] = ((3, 2), (4,))) -> dict[str, list[np.ndarray]]:
    random = np.random.default_rng(seed)
    return {site: [random.normal(size=shape) for shape in shapes] for site in SITES}


def test_two_of_five_sites_drop_out_after_masking():
    """Their updates are in the sum: 'confirm' is the first stage that they miss."""
    weights = dict(zip(SITES, (120.0, 7.0, 33.5, 1.0, 410.0), strict=True))
    arrays = updates(1)
    values = {site: weigh(arrays[site], weights[site]) for site in SITES}
    found = Round(session_of(), values, {"basel": "confirm", "essen": "confirm"}).total()
    assert np.abs(found - sum(values.values())).max() <= 5 * 2.0**-25
    expected = [np.average([arrays[site][i] for site in SITES], axis=0, weights=list(weights.values())) for i in (0, 1)]
    for one, other in zip(mean(found, expected), expected, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= 5 * 2.0**-25 * (1 + np.abs(other).max()) / (sum(weights.values()) - 1)


def test_two_of_five_sites_drop_out_between_their_shares_and_their_updates():
    """The others' masks with them are in the sum and must be rebuilt."""
    values = {site: weigh(arrays, 2.0) for site, arrays in updates(2).items()}
    found = Round(session_of(), values, {"aachen": "mask", "delft": "mask"}).total()
    plain = values["basel"] + values["chu-grenoble"] + values["essen"]
    assert np.abs(found - plain).max() <= 3 * 2.0**-25


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_vectors_weights_and_drops(data):
    number = data.draw(st.integers(3, 5), label="sites")
    names = SITES[:number]
    bits = data.draw(st.integers(1, 24), label="bits")
    length = data.draw(st.integers(1, 9), label="length")
    element = st.floats(-1e3, 1e3)
    arrays = {name: [np.array(data.draw(st.lists(element, min_size=length, max_size=length)))] for name in names}
    weights = {name: data.draw(st.floats(0.0, 1e3)) for name in names}
    drops = data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from(STAGES)), label="drops")
    values = {name: weigh(arrays[name], weights[name]) for name in names}
    session = session_of(names, bits=bits)
    one = Round(session, values, drops)
    if len(one.there("open")) < session.settings.threshold:
        with pytest.raises(DataError, match=rf"the threshold is {session.settings.threshold}"):
            one.total()
        return
    summed = [values[name] for name in one.there("mask")]
    assert np.abs(one.total() - sum(summed)).max() <= len(summed) * 2.0 ** -(bits + 1) + 1e-9


def test_the_failure_says_who_is_left():
    with pytest.raises(DataError, match=r"round 1: 2 sites confirmed the survivors \(aachen, basel\); the threshold"):
        Round(
            session_of(),
            {site: weigh(arrays, 1.0) for site, arrays in updates(3).items()},
            {"chu-grenoble": "confirm", "delft": "confirm", "essen": "confirm"},
        ).total()


def test_the_largest_values_allowed_do_not_wrap():
    values = {site: np.full(2, -(2.0**20)) for site in SITES}
    assert Round(session_of(), values).total().tolist() == [-5 * 2.0**20] * 2


@pytest.mark.parametrize("value", [2.0**20 + 1, -1e30])
def test_beyond_the_clip_is_refused_not_wrapped(value):
    with pytest.raises(DataError, match=r"beyond secure_aggregation\.clip = 1\.04858e\+06"):
        encode(np.array([0.0, value]), THREE)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(DataError, match="not finite"):
        encode(np.array([value]), THREE)


@given(st.lists(st.floats(-(2.0**20), 2.0**20), max_size=20), st.integers(1, 32))
def test_encoding_is_within_half_a_step(values, bits):
    array, chosen = np.array(values), SecureAggregation(threshold=2, bits=bits)
    assert (np.abs(decode(encode(array, chosen), chosen) - array) <= 2.0 ** -(bits + 1)).all()


def test_as_many_sites_as_the_modulus_has_room_for():
    widest = SecureAggregation(threshold=3, bits=32)
    require_room(widest, 2047)
    with pytest.raises(UserError, match=r"2048 sites, clip 1\.04858e\+06 and 32 bits overflow 64 bits"):
        require_room(widest, 2048)


def test_no_weight_no_mean():
    with pytest.raises(DataError, match="sum to nothing"):
        mean(np.zeros(3), [np.zeros(2)])


def test_another_sites_shape_is_named():
    one = Round(session_of(), {site: np.ones(4) for site in SITES})
    masked = one.masked()
    masked["delft"] = masked["delft"][:3]
    with pytest.raises(UserError, match=r"delft sent uint64\[3\]; expected is uint64\[4\]"):
        one.coordinator.add(masked)


def test_cost_of_masking_2400000_parameters_with_5_sites(capsys):
    """No limit: the figure is printed for who looks for it."""
    session = session_of()
    sites = {name: SecureSite(name, key_of(name), session) for name in SITES}
    values = np.random.default_rng(0).normal(size=2_400_000)
    coordinator = SecureSum(session, len(values))
    keys = coordinator.keys([site.advertise() for site in sites.values()])
    sealed = coordinator.route({name: site.share(keys) for name, site in sites.items()})
    began = time.perf_counter(), time.process_time()
    masked = {name: site.mask(sealed[name], values) for name, site in sites.items()}
    ended = time.perf_counter(), time.process_time()
    gone = ("basel", "essen")
    survivors = coordinator.add({name: vector for name, vector in masked.items() if name not in gone})
    staying = [sites[name] for name in survivors]
    confirmed = coordinator.agree([site.confirm(survivors) for site in staying])
    openings = [site.open(confirmed) for site in staying]
    opened = time.perf_counter(), time.process_time()
    total = coordinator.total(openings)
    seconds = time.perf_counter() - opened[0], time.process_time() - opened[1]
    assert np.abs(total - 3 * values).max() <= 3 * 2.0**-25
    with capsys.disabled():
        print(
            f"\nmasking: {(ended[0] - began[0]) / 5:.2f} s, {(ended[1] - began[1]) / 5:.2f} CPU s a site; lifting, 2 "
            f"of 5 gone: {seconds[0]:.2f} s, {seconds[1]:.2f} CPU s; {masked['aachen'].nbytes / 1e6:.1f} MB up a site"
        )
