"""Which settings of secure aggregation make sense."""

import pytest
from pydantic import ValidationError

from oncotrain.config import parse
from oncotrain.config.federation import FederatedConfig
from oncotrain.config.secure_aggregation import SecureAggregation, refuse_single_updates
from oncotrain.errors import UserError


def test_off_unless_asked_for():
    assert FederatedConfig().secure_aggregation is None
    assert FederatedConfig.model_validate({"secure_aggregation": {"threshold": 3}}).secure_aggregation is not None


@pytest.mark.parametrize("strategy", ["median", "trimmed_mean", "krum", "multi_krum", "bulyan"])
def test_strategies_that_look_at_single_updates(strategy):
    with pytest.raises(ValueError, match=f"'{strategy}' looks at single sites' updates.*allowed: .*fedavg"):
        refuse_single_updates(strategy, secure_aggregation=SecureAggregation(threshold=3))
    refuse_single_updates(strategy, secure_aggregation=None)


@pytest.mark.parametrize("name", ["krum", "fedmedian", "fedtrimmedavg", "scaffold"])
def test_the_section_refuses_them(name):
    section = {"strategy": name, "min_sites": 9, "secure_aggregation": {"threshold": 5}}
    with pytest.raises(UserError, match=f"strategy '{name}' looks at single sites' updates"):
        parse(FederatedConfig, section, "r.yaml")


@pytest.mark.parametrize(
    "hidden",
    [
        {"secure_aggregation": {"threshold": 3}},
        {
            "site_privacy": {"noise_multiplier": 1.0, "clipping_norm": 1.0, "delta": 1e-5, "max_epsilon": 8.0},
            "weighting": "equal",
        },
    ],
)
def test_nor_are_lengths_of_updates_compared(hidden):
    with pytest.raises(UserError, match="largest_update compares single sites' updates"):
        parse(FederatedConfig, {"largest_update": 5} | hidden, "r.yaml")
    parse(FederatedConfig, hidden, "r.yaml")


@pytest.mark.parametrize(("key", "value"), [("threshold", 1), ("clip", 0.0), ("bits", 0), ("bits", 33), ("colour", 1)])
def test_values_that_are_not_allowed(key, value):
    with pytest.raises(UserError, match=r"r\.yaml: .*secure_aggregation"):
        parse(FederatedConfig, {"secure_aggregation": {"threshold": 3, key: value}}, "r.yaml")


def test_clip_and_bits_within_exact_integers():
    SecureAggregation(threshold=2, clip=2.0**12, bits=40)
    with pytest.raises(ValidationError, match="no longer holds every integer"):
        SecureAggregation(threshold=2, clip=2.0**13, bits=40)
