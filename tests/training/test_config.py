"""Settings of a run that contradict each other, and what a command line changes."""

import pytest

from oncotrain.config.training import with_train
from oncotrain.errors import UserError
from support.runs import run_config


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
    ],
)
def test_nonsense_is_named(changes, message):
    with pytest.raises(UserError, match=message):
        with_train(run_config("drug_response"), changes, "command line")
