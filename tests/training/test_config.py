"""Settings of a run that contradict each other, and what a command line changes."""

import pytest

from oncotrain.config.privacy import ControlConfig, PrivacyConfig
from oncotrain.config.training import RunConfig, with_train
from oncotrain.errors import UserError
from support.federation import federated_config
from support.runs import run_config

PRIVATE = {"noise_multiplier": 1.0, "max_grad_norm": 1.0, "delta": 1e-5, "max_epsilon": 1.0}


def test_a_command_line_changes_only_what_it_names():
    config = run_config("drug_response")
    changed = with_train(config, {"seed": 7, "engine": "ddp", "ranks": None}, "command line")
    assert changed.train.model_dump() == config.train.model_dump() | {"seed": 7, "engine": "ddp"}
    assert changed.split == config.split


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"engine": "spark"},
            "command line: key 'train.engine' has value 'spark': Input should be 'horovod', 'ddp' or",
        ),
        ({"engine": "single", "ranks": 2}, "engine single has 1 rank; found ranks: 2"),
        ({"seed": -1}, "command line: key 'train.seed' has value -1"),
        ({"privacy": PRIVATE | {"noise_multiplier": 0}}, r"noise_multiplier' has value 0: Input should be greater"),
        ({"privacy": PRIVATE | {"max_epsilon": "inf"}}, r"max_epsilon' has value 'inf': Input should be a finite"),
        ({"privacy": {"noise_multiplier": 1.0, "delta": 1e-5, "max_epsilon": 1.0}}, "max_grad_norm' is missing"),
        ({"privacy": {}}, "noise_multiplier' is missing"),
        ({"privacy": {"control": False}}, "control' has value False"),
        ({"privacy": PRIVATE | {"control": True}}, r"unknown key 'train\.privacy\.control\.noise_multiplier'"),
        ({"privacy": PRIVATE, "precision": "float16"}, "privacy excludes precision float16"),
    ],
)
def test_nonsense_is_named(changes, message):
    with pytest.raises(UserError, match=message):
        with_train(run_config("drug_response"), changes, "command line")


def test_privacy_is_either_whole_or_called_a_control():
    private = with_train(run_config("drug_response"), {"privacy": PRIVATE}, "a").train.privacy
    control = with_train(run_config("drug_response"), {"privacy": {"control": True}}, "a").train.privacy
    assert isinstance(private, PrivacyConfig)
    assert isinstance(control, ControlConfig)
    assert run_config("drug_response").train.privacy is None


def test_private_sites_are_not_weighted_by_their_data():
    equal = with_train(federated_config("drug_response", {"weighting": "equal"}), {"privacy": PRIVATE}, "a")
    with pytest.raises(UserError, match=r"needs federated\.weighting: equal"):
        with_train(federated_config("drug_response"), {"privacy": PRIVATE}, "a")
    assert RunConfig.model_validate(equal.model_dump(mode="json")) == equal
