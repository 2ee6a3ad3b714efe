"""Jobs of a federation killed in the middle of a round, and sites that send nonsense: the run ends as if they had not.

Nothing here is told beforehand: processes get SIGKILL, with all that they started.
"""

import re
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from oncotrain.federation.wire.superlink import free_ports
from oncotrain.lake.filesystem import Lake
from support.disturbed import ROUNDS, long_rounds, require_undisturbed, write_lakes
from support.lakes import make_lake
from support.parties import COORDINATOR, Federation, Party, write_config
from support.runs import copy_lake

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

WRONG_CLIENT = Path(__file__).parents[1] / "support" / "wrong_client.py"
SITE = "uz-leuven"
MID_ROUND = 0.8
"""Seconds after a round's end, when the sites are at work on the next."""


@pytest.fixture(scope="module")
def lakes(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Lake]:
    return write_lakes(spark, tmp_path_factory.mktemp("lakes"))


def federation(folder: Path, lakes: Mapping[str, Lake], variables: Mapping[str, str] | None = None) -> Federation:
    """Fresh copies of the lakes; `variables` are those of SITE's client."""
    parties = {COORDINATOR: Party(make_lake(folder / "centre").uri)}
    for site, lake in lakes.items():
        mine = (variables or {}) if site == SITE else {}
        parties[site] = Party(copy_lake(lake, folder / site).uri, variables=mine)
    config = write_config(long_rounds(), folder / "config.yaml")
    return Federation(folder, parties, config, f"127.0.0.1:{free_ports(1)[0]}")


@pytest.fixture(scope="module")
def undisturbed(lakes: Mapping[str, Lake], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with federation(tmp_path_factory.mktemp("undisturbed"), lakes) as running:
        running.start_all()
        summary = running.jobs[COORDINATOR].ended()
    assert summary["status"] == "done"
    assert summary["figures"]["r2_per_drug"] > 0.8, "there is something to lose"
    return summary


def test_a_site_is_killed_and_comes_back_two_rounds_later(lakes, undisturbed, tmp_path):
    with federation(tmp_path, lakes) as running:
        running.start_all()
        running.until_round(2)
        time.sleep(MID_ROUND)
        running.jobs[SITE].kill()
        running.until_round(4)
        running.start(SITE)
        summary = require_undisturbed(running, undisturbed)
    missed = ROUNDS - summary["rounds_trained"][SITE]
    assert 2 <= missed <= ROUNDS - 2 - 2, "it was away after two rounds, and trained again"
    assert summary["rounds_trained"] | {SITE: 0} == dict.fromkeys(lakes, ROUNDS) | {SITE: 0}


def test_all_sites_are_killed_and_started_again(lakes, undisturbed, tmp_path):
    with federation(tmp_path, lakes) as running:
        running.start_all()
        running.until_round(2)
        time.sleep(MID_ROUND)
        for site in lakes:
            running.jobs[site].kill()
        for site in lakes:
            running.start(site)
        require_undisturbed(running, undisturbed)


@pytest.mark.quick
def test_the_coordinator_is_killed_and_started_again(lakes, undisturbed, tmp_path):
    with federation(tmp_path, lakes) as running:
        running.start_all()
        running.until_round(3)
        time.sleep(MID_ROUND)
        running.jobs[COORDINATOR].kill()
        running.start(COORDINATOR)
        summary = require_undisturbed(running, undisturbed)
        assert "going on after round 3" in running.jobs[COORDINATOR].log.read_text()
    assert summary["rounds_trained"] == dict.fromkeys(lakes, ROUNDS)


def test_the_coordinator_is_killed_while_it_sends(lakes, undisturbed, tmp_path):
    with federation(tmp_path, lakes) as running:
        running.start_all()
        running.until_round(3)
        until_half_sent(running, "message_ins")
        running.jobs[COORDINATOR].kill()
        running.start(COORDINATOR)
        summary = require_undisturbed(running, undisturbed)
    assert summary["rounds_trained"] == dict.fromkeys(lakes, ROUNDS)


def test_sites_are_killed_while_one_of_them_sends(lakes, undisturbed, tmp_path):
    with federation(tmp_path, lakes) as running:
        running.start_all()
        running.until_round(2)
        until_half_sent(running, "message_res")
        for site in lakes:
            running.jobs[site].kill()
        for site in lakes:
            running.start(site)
        require_undisturbed(running, undisturbed)


def until_half_sent(running: Federation, table: str) -> None:
    """Until Flower's database has a part of a message: of `message_ins` to a site, of `message_res` from one."""
    half = f"""select 1 from object_push_session_pending join object_push_session_roots using (session_id)
               join {table} on message_id = root_object_id limit 1"""  # noqa: S608 - of two names
    database = running.invitation.folder / "superlink" / "state.db"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        deadline = time.monotonic() + 60
        while connection.execute(half).fetchone() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("nan", "has values that are not finite"),
        ("shape", "has shape"),
        ("norm", "longer than 5 times the median of the others'"),
    ],
)
def test_a_site_sends_nonsense_and_is_named(wrong, words, lakes, undisturbed, tmp_path):
    with federation(tmp_path, lakes, {"WRONG": wrong}) as running:
        for party in (COORDINATOR, *lakes):
            running.start(party, *[WRONG_CLIENT] * (party == SITE))
        summary = require_undisturbed(running, undisturbed)
        log = running.jobs[COORDINATOR].log.read_text()
    assert re.search(rf"site={SITE} .*\] round 1 goes on without this site's update: .*{words}", log)
    assert summary["rounds_trained"] == dict.fromkeys(lakes, ROUNDS) | {SITE: 0}
