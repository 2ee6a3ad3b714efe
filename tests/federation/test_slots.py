"""Two rounds over TLS with a site of two ranks and a site of one; and what is left of a client that is stopped."""

import os
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from oncotrain.federation.coordinator.conduct import conduct
from oncotrain.federation.coordinator.server import Coordinator, run_app
from oncotrain.federation.local import clients
from oncotrain.federation.wire.superlink import free_ports
from oncotrain.lake.audit import verify
from oncotrain.lake.filesystem import Lake
from support.coordinators import started
from support.faults import runs, wait
from support.fedavg import require_same_run
from support.federation import federated_config, loopback, open_workers
from support.hadoop import ROOT, summary_in
from support.lakes import make_lake
from support.runs import copy_lake

pytestmark = pytest.mark.timeout(900)

TWO, ONE = "uz-leuven", "chu-grenoble"
CLIENT = ROOT / "jobs" / "federated_client.py"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    with started(tmp_path_factory.mktemp("server") / "work", free_ports(1)[0], [TWO, ONE]) as server:
        yield server


def write_config(folder: Path, **changes: Any) -> Path:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(federated_config("drug_response", **changes).model_dump(mode="json")))
    return file


def test_a_federation_with_a_site_of_two_ranks_is_the_one_without(
    server: Coordinator, published: Mapping[str, Lake], tmp_path: Path
) -> None:
    config, file = federated_config("drug_response"), write_config(tmp_path)
    lakes = {site: copy_lake(published[site], tmp_path / "sites" / site) for site in (TWO, ONE)}
    alike = {site: copy_lake(published[site], tmp_path / "alike" / site) for site in (TWO, ONE)}
    centre, elsewhere = make_lake(tmp_path / "centre"), make_lake(tmp_path / "elsewhere")
    with (
        clients(server.invitation, {TWO: lakes[TWO]}, file, CLIENT, ranks=2) as two,
        clients(server.invitation, {ONE: lakes[ONE]}, file, CLIENT) as one,
    ):

        def check() -> None:
            two.check()
            one.check()

        summary = run_app(server, centre, config, "test.yaml", check)
    with loopback(open_workers(alike, config)) as group:
        expected = conduct(group, elsewhere, config, "test.yaml")
    require_same_run((centre, summary), (elsewhere, expected), config)
    last = {site: summary_in(started.logs[site].read_text()) for started, site in ((two, TWO), (one, ONE))}
    assert {site: (each["engine"], each["ranks"]) for site, each in last.items()} == {
        TWO: ("horovod", 2),
        ONE: ("single", 1),
    }
    for site, lake in lakes.items():
        verify(lake, site)
    assert summary["sites"][TWO]["cpu_seconds"] > 0


def test_a_client_that_is_stopped_leaves_no_rank_and_nothing_that_listens(
    server: Coordinator, published: Mapping[str, Lake], tmp_path: Path
) -> None:
    lake = copy_lake(published[TWO], tmp_path / "lake")
    (server.invitation.folder / f"{TWO}.log").unlink(missing_ok=True)
    file = write_config(tmp_path)
    with clients(server.invitation, {TWO: lake}, file, CLIENT, ranks=2) as started:
        process, log = started.processes[TWO], started.logs[TWO]
        wait(lambda: re.search("ready: horovod, 2 ranks", log.read_text()) or process.poll() is not None, 300)
        below = psutil.Process(process.pid).children(recursive=True)
        listening = {
            each.laddr.ip
            for one in (psutil.Process(process.pid), *below)
            for each in one.net_connections(kind="tcp")
            if each.status == psutil.CONN_LISTEN
        }
        assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}, "a hospital listens to nobody outside"
        os.kill(process.pid, signal.SIGTERM)
        process.wait(60)
        wait(lambda: not any(runs(one.pid) for one in below), 30)
