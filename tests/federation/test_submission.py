"""The site's client as a hospital starts, stops and leaves it: real spark-submit, real coordinator."""

import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from oncotrain.config.site import SiteConfig
from oncotrain.errors import UserError
from oncotrain.federation.coordinator.server import Coordinator, Invitation, prepare, run_app
from oncotrain.federation.local import enroll
from oncotrain.federation.submission import client_processes
from oncotrain.federation.wire.superlink import free_ports
from oncotrain.lake.audit import read
from oncotrain.lake.filesystem import Lake
from support.coordinators import SITE, started, write_site
from support.federation import federated_config
from support.lakes import make_lake

pytestmark = pytest.mark.timeout(300)

DEPLOY = Path(__file__).parents[2] / "deploy"
ONCOTRAIN = Path(sys.executable).parent / "oncotrain"
LONG = {"rounds": 500, "min_sites": 1}


def unit_command(side: str, key: str, file: Path) -> list[str]:
    """What a systemd unit runs, with this installation and this YAML."""
    unit = ConfigParser(strict=False, interpolation=None)
    unit.read(DEPLOY / side / f"oncotrain-{side}.service")
    program, *arguments = shlex.split(unit["Service"][key])
    assert Path(program).name == ONCOTRAIN.name
    return [str(ONCOTRAIN), *(str(file) if f"{side}.yaml" in argument else argument for argument in arguments)]


@contextmanager
def job_of(side: str, file: Path, sign: str) -> Iterator[subprocess.Popen[bytes]]:
    """The job as the unit starts it, once its log has `sign`."""
    log = file.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(unit_command(side, "ExecStart", file), stdout=output, stderr=output)
    try:
        wait_until(lambda: sign in log.read_text(), process)
        yield process
    finally:
        found = client_processes(SiteConfig.load(file)) if side == "site" else []
        for left in (*found, process):
            left.kill()
        process.wait()


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, "it ended"
        time.sleep(0.1)


def oncotrain(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(part) for part in (ONCOTRAIN, *arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.faults
@pytest.mark.quick
def test_the_kill_switch_while_it_trains(sites, tmp_path):
    with started(tmp_path / "work", free_ports(1)[0]) as server:
        file = write_site(server.invitation, sites[SITE], tmp_path / "etc", LONG)
        run = threading.Thread(target=conduct, args=(server, tmp_path / "centre"))
        with job_of("site", file, "ready") as process:
            run.start()
            wait_until(lambda: "train answered" in file.with_suffix(".log").read_text(), process)
            leave_within_seconds(file, process)
            trained = len(read(sites[SITE], SITE))
            time.sleep(2)
            assert len(read(sites[SITE], SITE)) == trained, "nothing is answered any more"
        server.link.process.terminate()  # the coordinator would wait for the site
        run.join()


def conduct(server: Coordinator, centre: Path) -> None:
    with suppress(UserError):
        run_app(server, make_lake(centre), federated_config("drug_response", LONG), "test.yaml")


@pytest.mark.faults
@pytest.mark.quick
def test_the_kill_switch_without_a_coordinator_and_without_a_lake(sites, tmp_path):
    with started(tmp_path / "work", free_ports(1)[0]) as server:
        file = write_site(server.invitation, sites[SITE], tmp_path / "etc")
        ready = job_of("site", file, "ready")
        process = ready.__enter__()
    try:
        Path(sites[SITE].root).rename(tmp_path / "gone")
        leave_within_seconds(file, process)
    finally:
        ready.__exit__(None, None, None)


def leave_within_seconds(file: Path, process: subprocess.Popen[bytes]) -> None:
    """Leave, and find nothing left of the client, no way to start it, and one way back."""
    began = time.monotonic()
    assert "has left" in oncotrain("site", "leave", "--file", file).stdout
    assert time.monotonic() - began < 15
    assert process.wait(1) is not None
    described = SiteConfig.load(file)
    assert not client_processes(described)
    refused = oncotrain("site", "start", "--file", file)
    assert refused.returncode == 2
    assert "this site left the federation at 20" in refused.stderr
    assert "oncotrain site rejoin" in refused.stderr
    assert oncotrain("site", "rejoin", "--file", file).returncode == 0
    assert "has not left" in oncotrain("site", "rejoin", "--file", file).stderr
    assert not (described.folder / "LEFT").exists()


def test_the_commands_of_the_units_start_and_stop_both_sides(sites, tmp_path):
    folder, etc = tmp_path / "work", tmp_path / "etc"
    prepare(folder, ["127.0.0.1"])
    enroll(folder, [SITE])
    [port] = free_ports(1)
    invitation = Invitation(folder, f"127.0.0.1:{port}")
    site, server = write_site(invitation, sites[SITE], etc, LONG), etc / "coordinator.yaml"
    described = {"lake": make_lake(tmp_path / "centre").uri, "config": "run.yaml", "folder": str(folder)}
    job = str(DEPLOY.parent / "jobs" / "federated_server.py")
    server.write_text(yaml.safe_dump({**described, "host": "127.0.0.1", "port": port, "job": job}))
    with job_of("coordinator", server, "SuperLink behind") as coordinator, job_of("site", site, "ready") as client:
        checked = oncotrain("coordinator", "check", "--file", server)
        assert checked.returncode == 0, checked.stdout
        assert invitation.address in checked.stdout
        again = oncotrain("site", "start", "--file", site)
        assert again.returncode == 2
        assert "it runs already" in again.stderr
        assert "not tried: the client is running" in oncotrain("site", "check", "--file", site).stdout
        for side, file, process in (("site", site, client), ("coordinator", server, coordinator)):
            began = time.monotonic()
            stopped = subprocess.run(unit_command(side, "ExecStop", file), capture_output=True, text=True, check=True)
            assert stopped.stdout == "stopped\n"
            assert time.monotonic() - began < 45, (
                "its Python goes with spark-submit, not when it next has to say something"
            )
            assert process.wait(10) in (130, 143)
            assert oncotrain(side, "stop", "--file", file).stdout == "it was not running\n"
    assert not client_processes(SiteConfig.load(site))


@pytest.mark.parametrize("option", ["--deploy-mode", "--deploy-mode=cluster"])
def test_cluster_mode_is_refused(tmp_path, option):
    file = tmp_path / "site.yaml"
    described = {"site": SITE, "lake": "file:///lake", "coordinator": "a:1", "folder": "f", "job": "j", "config": "c"}
    file.write_text(yaml.safe_dump({**described, "spark_options": [option, "cluster"]}))
    with pytest.raises(UserError, match="would copy the key to another machine"):
        SiteConfig.load(file)


def test_the_mark_needs_its_folder(tmp_path, lake: Lake):
    file = tmp_path / "site.yaml"
    described = {"site": SITE, "lake": lake.uri, "coordinator": "a:1", "folder": "no", "job": "j", "config": "c"}
    file.write_text(yaml.safe_dump(described))
    left = oncotrain("site", "leave", "--file", file)
    assert left.returncode == 2
    assert "no such folder" in left.stderr
