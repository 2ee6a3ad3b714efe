"""How far a run is, while it goes on and afterwards."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console
from typer.testing import CliRunner

from oncotrain.cli import app
from oncotrain.errors import UserError
from oncotrain.federation.coordinator.conduct import conduct
from oncotrain.federation.coordinator.rounds import Rounds
from oncotrain.federation.identity.keys import COORDINATOR
from oncotrain.federation.progress import Progress, read_progress, seconds_left, write_progress
from oncotrain.federation.progress_table import progress_table
from oncotrain.training.run import RunDirectory
from support.federation import federated_config, loopback, open_workers


def test_every_round_is_reported_and_the_end(sites, centre, monkeypatch):
    config = federated_config("drug_response", {"rounds": 3})
    seen = []
    train_one = Rounds._train_one

    def look_first(self, number, *arguments):
        [progress] = read_progress(centre)
        seen.append((progress.state, progress.round, progress.participants, progress.seconds_left is not None))
        return train_one(self, number, *arguments)

    monkeypatch.setattr(Rounds, "_train_one", look_first)
    with loopback(open_workers(sites, config)) as group:
        summary = conduct(group, centre, config, "test.yaml")
    everybody = sorted(sites)
    assert seen == [
        ("training", 0, [], False),
        ("training", 1, everybody, True),
        ("training", 2, everybody, True),
    ]
    [progress] = read_progress(centre)
    assert (progress.side, progress.state, progress.round, progress.rounds) == (COORDINATOR, "done", 3, 3)
    assert progress.figures.keys() == summary["validation"].keys()
    assert progress.seconds_left == 0
    for site, lake in sites.items():
        [progress] = read_progress(lake)
        assert (progress.side, progress.state, progress.round, progress.rounds) == (site, "done", 3, 3)


def test_the_rest_takes_as_long_as_what_was():
    assert seconds_left([], 3) is None
    assert seconds_left([100.0, 4.0, 4.0, 9.0, 4.0, 4.0], 3) == 12.0


def test_the_newest_word_is_last(centre):
    for name, minutes in (("b", 2), ("a", 1), ("c", 3)):
        updated = datetime(2026, 11, 25, 12, tzinfo=UTC) - timedelta(minutes=minutes)
        progress = Progress(
            side="x",
            run=name,
            state="training",
            round=1,
            rounds=4,
            participants=["x"],
            seconds_left=90,
            updated=updated,
        )
        write_progress(RunDirectory(centre, name), progress)
    found = read_progress(centre)
    assert [progress.run for progress in found] == ["c", "b", "a"]
    console = Console(width=160, record=True)
    console.print(progress_table(found, datetime(2026, 11, 25, 12, tzinfo=UTC)))
    text = console.export_text()
    assert "1 of 4" in text
    assert "0:01:30" in text
    assert "0:03:00 ago" in text


@pytest.mark.parametrize("state", ["waiting", "", None])
def test_other_states_there_are_none(state):
    with pytest.raises(ValueError, match="state"):
        Progress(side="x", run="r", state=state, round=0, rounds=1, participants=[])


def test_the_command_says_it_to_a_person_and_to_a_program(centre):
    runner = CliRunner()
    nothing = runner.invoke(app, ["status", "--lake", centre.uri])
    assert isinstance(nothing.exception, UserError)
    for name in ("one", "two"):
        progress = Progress(side=COORDINATOR, run=name, state="training", round=2, rounds=8, participants=["b", "a"])
        write_progress(RunDirectory(centre, name), progress)
    told = runner.invoke(app, ["status", "--lake", centre.uri, "--run", "two"])
    assert "2 of 8" in told.stdout
    assert "one" not in told.stdout
    lines = runner.invoke(app, ["status", "--lake", centre.uri, "--json"]).stdout.splitlines()
    assert [json.loads(line)["run"] for line in lines] == ["one", "two"]
