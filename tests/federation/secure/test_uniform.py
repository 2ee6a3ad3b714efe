"""What the coordinator receives of one site looks random and does not depend on the update.

P-values below 1e-6 fail: one in a million runs by chance.
"""

import numpy as np
import pytest
from scipy.stats import chisquare, ks_2samp

from oncotrain.federation.secure.fixed_point import encode
from support.secure import SITES, Round, session_of

NAMES = SITES[:3]
LENGTH, ROUNDS = 64, 60
UPDATES = {"zero": np.zeros(LENGTH), "large": np.full(LENGTH, 2.0**20), "ramp": np.linspace(-1.0, 1.0, LENGTH)}


@pytest.fixture(scope="module")
def received() -> dict[str, np.ndarray]:
    """uint64[ROUNDS, LENGTH] of one site, by the update that it sent each time under fresh keys."""
    session = session_of(NAMES)
    return {
        name: np.stack([Round(session, dict.fromkeys(NAMES, update)).masked()["basel"] for _ in range(ROUNDS)])
        for name, update in UPDATES.items()
    }


@pytest.mark.parametrize("update", UPDATES)
def test_bytes_of_every_place_in_a_word_are_uniform(update, received):
    octets = received[update].view(np.uint8).reshape(-1, 8)
    for place in range(8):
        nibbles = np.concatenate([octets[:, place] >> 4, octets[:, place] & 15])
        assert chisquare(np.bincount(nibbles, minlength=16)).pvalue > 1e-6
    assert chisquare(np.bincount(octets.ravel(), minlength=256)).pvalue > 1e-6


@pytest.mark.parametrize("update", UPDATES)
def test_each_element_is_uniform_over_many_rounds(update, received):
    """Not only all of them together: Fourier's first coefficients of the words on a circle are small."""
    angle = received[update] / 2.0**64 * 2 * np.pi
    strength = np.abs(np.exp(1j * angle).mean(axis=0)) ** 2 * ROUNDS  # Exponential with mean 1 where uniform
    assert strength.max() < np.log(LENGTH) + 14
    assert len(np.unique(received[update])) == ROUNDS * LENGTH


def test_two_updates_cannot_be_told_apart(received):
    for other in ("large", "ramp"):
        assert ks_2samp(received["zero"].ravel(), received[other].ravel()).pvalue > 1e-6
        correlation = np.corrcoef(received["ramp"].astype(float).mean(axis=0), UPDATES["ramp"])[0, 1]
        assert abs(correlation) < 5 / np.sqrt(LENGTH)


def test_the_tests_above_would_notice_an_update_without_masks():
    plain = np.tile(encode(UPDATES["ramp"], session_of(NAMES).settings), (ROUNDS, 1))
    assert chisquare(np.bincount(plain.view(np.uint8).ravel(), minlength=256)).pvalue < 1e-6
    assert ks_2samp(plain.ravel(), np.zeros(plain.size)).pvalue < 1e-6


def test_a_second_round_with_the_same_update_has_nothing_in_common_with_the_first(received):
    differences = (received["zero"][1:] - received["zero"][:-1]).view(np.uint8)
    assert chisquare(np.bincount(differences.ravel(), minlength=256)).pvalue > 1e-6
