"""Clusters side by side: none takes the other's ports, or ends what is not its own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from oncotrain.cluster.code import write_code
from oncotrain.cluster.daemons import daemons, kill_daemon, start
from oncotrain.cluster.folder import Cluster, free_ports, make_folder
from oncotrain.cluster.local import down, status, up
from oncotrain.cluster.processes import MARK, daemons_of, processes_of
from oncotrain.cluster.ready import wait_for_yarn
from oncotrain.errors import UserError


def test_the_same_code_makes_the_same_zip(tmp_path: Path) -> None:
    one, other = write_code(tmp_path / "one.zip"), write_code(tmp_path / "other.zip")
    assert one.read_bytes() == other.read_bytes()
    code = "import oncotrain; from oncotrain.lake.layout import load_layout; "
    code += "print(oncotrain.__file__, len(load_layout().zones))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(one)}, capture_output=True, text=True, check=True
    )
    place, zones = done.stdout.split()
    assert place.startswith(str(one))
    assert int(zones) == 7


def test_ports_that_are_taken_are_not_given() -> None:
    first = free_ports(3)
    assert len(set(first)) == 3
    with socket.create_server(("127.0.0.1", first[0])):
        assert first[0] not in free_ports(11_999)


def test_a_cluster_that_was_never_up_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no cluster 'lyon'; type: make cluster-up SITE=lyon"):
        status(Cluster(tmp_path / "lyon"))


@pytest.mark.cluster
def test_a_second_cluster_comes_and_goes(cluster: Cluster, tmp_path: Path) -> None:
    before = {name: process.pid for name, process in daemons_of(cluster.folder).items()}
    second = Cluster(tmp_path / "chu-grenoble")
    # Not its own, though another cluster's, whose name begins alike.
    bystander = subprocess.Popen(["sleep", "300"], cwd=tmp_path, env={**os.environ, MARK: f"{second.folder}-2"})
    try:
        up(second)
        assert second.folder.stat().st_mode & 0o777 == 0o700
        assert not set(cluster.ports.values()) & set(second.ports.values())
        assert len(daemons_of(second.folder)) == len(daemons(second)) == 6
        listening = [
            listener.laddr
            for process in processes_of(second.folder)
            for listener in process.net_connections("tcp")
            if listener.status == psutil.CONN_LISTEN
        ]
        assert {address.ip for address in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}
        pids = {process.pid for process in processes_of(second.folder)}
        up(second)
        assert {process.pid for process in processes_of(second.folder)} == pids

        kill_daemon(second, "nodemanager-1")
        assert "nodemanager-1   does not run" in status(second)
        start(second, "nodemanager-1")
        wait_for_yarn(second)
    finally:
        down(second)
        bystander_lives = bystander.poll() is None
        bystander.kill()
    assert bystander_lives
    assert not processes_of(second.folder)
    assert not second.folder.exists()
    for address in listening:
        with socket.create_server(("127.0.0.1", address.port)):
            pass
    assert {name: process.pid for name, process in daemons_of(cluster.folder).items()} == before


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster")
def test_a_daemon_that_dies_at_start_says_why(tmp_path: Path) -> None:
    broken = Cluster(tmp_path / "broken")
    try:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            make_folder(broken)
            state = broken.folder / "state.json"
            state.write_text(state.read_text().replace(str(broken.ports["namenode"]), str(taken.getsockname()[1])))
            with pytest.raises(UserError, match=r"(?s)namenode of cluster 'broken' does not run.*already in use"):
                up(broken)
    finally:
        down(broken)
    assert not processes_of(broken.folder)
