"""Strategies in YAML: a name or a mapping, and what contradicts itself is named with what is allowed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncotrain.config.federation import FederatedConfig
from oncotrain.config.load import parse
from oncotrain.config.strategy import FedAvgConfig, FedProxConfig, FedTrimmedAvgConfig
from oncotrain.errors import UserError


def federated(settings: dict[str, Any]) -> FederatedConfig:
    return parse(FederatedConfig, settings, "run.yaml")


def test_a_name_stands_for_the_strategy_with_its_defaults():
    assert federated({}).strategy == federated({"strategy": "fedavg"}).strategy == FedAvgConfig()
    prox = federated({"strategy": {"name": "fedprox", "proximal_mu": 0.1}})
    assert prox.strategy == FedProxConfig(proximal_mu=0.1)
    assert federated(prox.model_dump(mode="json")) == prox


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": "fedsgd"}, "key 'strategy' .*'fedsgd'.*'fedavg', 'fedprox', 'fedadam'"),
        ({"strategy": {"name": "fedprox", "mu": 1}}, "unknown key 'strategy.fedprox.mu'; allowed here: name, proximal"),
        ({"strategy": {"name": "fedprox", "proximal_mu": -1}}, "key 'strategy.fedprox.proximal_mu' has value -1"),
        ({"strategy": {"name": "fedtrimmedavg", "beta": 0.5}}, "beta' has value 0.5: Input should be less than 0.5"),
        ({"strategy": {"name": "fedtrimmedavg", "beta": 0.2}, "min_sites": 4}, "'min_sites' has value 4.* 5 sites"),
        ({"strategy": "krum"}, "key 'min_sites' has value 2: .*krum with its settings needs 5 sites or more"),
        ({"strategy": {"name": "krum", "malicious_sites": 2}, "min_sites": 6}, "krum .* needs 7 sites"),
        ({"strategy": "fedmedian"}, "fedmedian .* needs 3 sites"),
        ({"fraction": 0}, "key 'fraction' has value 0"),
        ({"fraction": 1.1}, "key 'fraction' has value 1.1"),
    ],
)
def test_nonsense_is_named(settings, message):
    with pytest.raises(UserError, match=rf"run\.yaml: {message}|run\.yaml: key.*{message}"):
        federated(settings)


@given(st.floats(0.01, 0.499))
def test_a_trimmed_mean_of_the_fewest_sites_cuts_some_off_and_leaves_some(beta):
    fewest = FedTrimmedAvgConfig(beta=beta).fewest_sites
    assert 1 <= int(beta * fewest) < fewest / 2
