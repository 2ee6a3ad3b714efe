"""Secure aggregation between real processes, through a coordinator that is killed in mid-round and started again."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from oncotrain.config.training import RunConfig
from oncotrain.federation.coordinator.server import Invitation, prepare
from oncotrain.federation.local import clients, enroll, sign_roster
from oncotrain.federation.wire.superlink import free_ports
from oncotrain.lake.audit import read, verify
from oncotrain.lake.filesystem import Lake
from oncotrain.training.run import RunDirectory
from support.federation import federated_config
from support.lakes import make_lake
from support.runs import copy_lake

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

JOBS = Path(__file__).parents[2] / "jobs"
STAGES = ["train", "secagg_share", "secagg_mask", "secagg_confirm", "secagg_open"]
POLICY = {"secure_aggregation": True, "min_sites": 2, "strategies": ["fedavg"]}


@dataclass(frozen=True)
class Finished:
    """A run after the fact."""

    summary: dict[str, Any]
    config: RunConfig
    centre: Lake
    sites: dict[str, Lake]
    exit_codes: dict[str, int | None]
    log: str
    """Of the coordinator's second start."""


@contextmanager
def server(root: Path, arguments: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`federated_server.py` on `config.yaml` and in the folder `work`, both under `root`."""
    files = ["--config", str(root / "config.yaml"), "--work", str(root / "work")]
    command = [sys.executable, str(JOBS / "federated_server.py"), *files, *arguments]
    with log.open("wb") as stderr, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def finished(published: Mapping[str, Lake], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    root = tmp_path_factory.mktemp("secure")
    sites = {site: copy_lake(lake, root / "sites" / site / "lake") for site, lake in published.items()}
    sites["uz-leuven"].write_atomic(yaml.safe_dump(POLICY).encode(), "audit", "policy.yaml")
    centre = make_lake(root / "centre" / "lake")
    config = federated_config("drug_response", {"rounds": 3, "secure_aggregation": {"threshold": 2}})
    (root / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    work = root / "work"
    prepare(work, ["127.0.0.1"])
    enroll(work, sites)
    sign_roster(work)
    [port] = free_ports(1)
    invitation = Invitation(work, f"127.0.0.1:{port}")
    arguments = ["--lake", centre.uri, "--superlink-port", str(port)]
    log, log_again = root / "first.log", root / "second.log"
    with server(root, arguments, log) as first:
        while "SuperLink behind" not in log.read_text():
            assert first.poll() is None, log.read_text()
            time.sleep(0.2)
        with clients(invitation, sites, root / "config.yaml", JOBS / "federated_client.py") as started:
            while not all(("train", 2) in asked(lake, site) for site, lake in sites.items()):
                started.check()
                assert first.poll() is None, log.read_text()
                time.sleep(0.1)
            first.kill()
            first.wait()
            with server(root, arguments, log_again) as second:
                output, _ = second.communicate(timeout=400)
                assert second.returncode == 0, log_again.read_text()
    return Finished(
        summary=json.loads(output.splitlines()[-1]),
        config=config,
        centre=centre,
        sites=sites,
        exit_codes={site: process.returncode for site, process in started.processes.items()},
        log=log_again.read_text(),
    )


def asked(lake: Lake, site: str = "uz-leuven") -> list[tuple[str, int]]:
    return [(line["event"]["kind"], line["event"]["round"]) for line in read(lake, site)]


def test_the_round_in_which_the_coordinator_died_is_lost_and_the_run_is_not(finished):
    assert finished.exit_codes == dict.fromkeys(finished.sites, 0), "the same clients, all the time"
    assert finished.summary["arm"] == "federated+secure:fedavg"
    assert finished.summary["rounds_lost"] == [2]
    assert finished.summary["rounds_trained"] == dict.fromkeys(finished.sites, 2)
    assert "round 2 was begun before a restart, and no round is summed twice: its result is lost" in finished.log
    assert "going on after round 1" in finished.log


def test_each_site_trained_each_round_once_and_answered_every_stage(finished):
    for site, lake in finished.sites.items():
        verify(lake, site)
        lines = asked(lake, site)
        assert [number for kind, number in lines if kind == "train"] == [1, 2, 3]
        for number in (1, 3):
            assert [kind for kind, of in lines if of == number and kind in STAGES] == STAGES


def test_no_update_of_a_single_site_reached_the_coordinator(finished):
    """By the sites' own account: a model comes in with `train`, none goes out with any answer."""
    for site, lake in finished.sites.items():
        events = [line["event"] for line in read(lake, site)]
        assert all(event["model_in_sha256"] for event in events if event["kind"] == "train")
        assert not [event["kind"] for event in events if event["model_out_sha256"]]


def test_the_model_learned_something(finished):
    points = RunDirectory(finished.centre, finished.summary["run"]).read_metrics()
    assert points[-1]["round"] == 3
    assert all(np.isfinite(point["figures"]["rmse"]) for point in points)
    assert points[-1]["figures"]["rmse"] < points[0]["figures"]["rmse"]
