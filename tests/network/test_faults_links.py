"""A bad line between one hospital and the coordinator: the run takes longer, and ends as if the line had been good."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from oncotrain.federation.process import running
from oncotrain.lake.filesystem import Lake
from support.disturbed import ROUNDS, long_rounds, require_undisturbed, write_lakes
from support.hospitals import HOST, PORT, Hospitals, cut, lossy, reaches, throttled
from support.lakes import make_lake
from support.parties import COORDINATOR, Federation, Party, write_config
from support.runs import copy_lake

pytestmark = [pytest.mark.network, pytest.mark.faults, pytest.mark.timeout(600)]

SITE = "uz-leuven"
SLOW_LINE = Path(__file__).parents[1] / "support" / "slow_line.py"


@pytest.fixture(scope="module")
def large_lakes(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Lake]:
    return write_lakes(spark, tmp_path_factory.mktemp("lakes"))


def federation(network: Hospitals, folder: Path, lakes: Mapping[str, Lake], coordinator: str = "") -> Federation:
    """Fresh copies of the lakes, each at its hospital; SITE believes the coordinator to be at `coordinator`."""
    parties = {COORDINATOR: Party(make_lake(folder / "centre").uri, network.inside(COORDINATOR))}
    for site, lake in lakes.items():
        parties[site] = Party(copy_lake(lake, folder / site).uri, network.inside(site))
    parties[SITE] = replace(parties[SITE], coordinator=coordinator)
    return Federation(folder, parties, write_config(long_rounds(), folder / "config.yaml"), f"{HOST}:{PORT}")


@pytest.fixture(scope="module")
def undisturbed(
    network: Hospitals, large_lakes: Mapping[str, Lake], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    with federation(network, tmp_path_factory.mktemp("undisturbed"), large_lakes) as running:
        running.start_all()
        summary = running.jobs[COORDINATOR].ended()
    assert summary["status"] == "done"
    return summary


@pytest.mark.quick
def test_two_packets_of_a_hundred_are_lost(network, large_lakes, undisturbed, tmp_path):
    with lossy(network, SITE, 2), federation(network, tmp_path, large_lakes) as started:
        started.start_all()
        summary = require_undisturbed(started, undisturbed)
    assert summary["rounds_trained"] == dict.fromkeys(large_lakes, ROUNDS)


def test_a_line_of_a_megabit(network, large_lakes, undisturbed, tmp_path):
    with throttled(network, SITE, "1mbit"), federation(network, tmp_path, large_lakes) as started:
        started.start_all()
        summary = require_undisturbed(started, undisturbed)
    assert summary["rounds_trained"] == dict.fromkeys(large_lakes, ROUNDS)


def test_a_line_with_a_delay_of_a_tenth_of_a_second(network, large_lakes, undisturbed, tmp_path):
    with (
        slow_line(network, SITE, 0.1, tmp_path / "line.log"),
        federation(network, tmp_path, large_lakes, coordinator=f"127.0.0.1:{PORT}") as started,
    ):
        started.start_all()
        summary = require_undisturbed(started, undisturbed)
    assert summary["rounds_trained"] == dict.fromkeys(large_lakes, ROUNDS)


def test_a_line_is_cut_for_a_minute(network, large_lakes, undisturbed, tmp_path):
    with federation(network, tmp_path, large_lakes) as started:
        started.start_all()
        started.until_round(2)
        with cut(network, SITE):
            assert not reaches(network, SITE, HOST, PORT)
            time.sleep(60)
        summary = require_undisturbed(started, undisturbed)
    others = [site for site in large_lakes if site != SITE]
    assert [summary["rounds_trained"][site] for site in others] == [ROUNDS] * len(others)
    assert summary["rounds_trained"][SITE] >= 3, "it came back"


@contextmanager
def slow_line(network: Hospitals, hospital: str, seconds: float, log: Path) -> Iterator[None]:
    """A port of the hospital's loopback that leads to the coordinator, with a delay."""
    command = [*network.inside(hospital), sys.executable, str(SLOW_LINE), str(PORT), f"{HOST}:{PORT}", str(seconds)]
    with running(command, environment=os.environ, log=log):
        while not reaches(network, hospital, "127.0.0.1", PORT):
            time.sleep(0.1)
        yield
