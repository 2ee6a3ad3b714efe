"""Two rounds between real processes: SuperLink with TLS, three sites with keys, each client a Spark application.

strace watches all of them, so that the run is evidence for who opened which lake, not a promise.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from oncotrain.config.training import RunConfig
from oncotrain.federation.audit.counterpart import verify_against
from oncotrain.federation.coordinator.server import Invitation, prepare
from oncotrain.federation.local import clients, enroll
from oncotrain.federation.wire.superlink import free_ports
from oncotrain.lake.audit import read, verify
from oncotrain.lake.filesystem import Lake
from oncotrain.training.recompute import recompute
from oncotrain.training.state import get_parameters
from support.fedavg import average_by_hand, best_state, labelled_items, open_all
from support.federation import federated_config
from support.lakes import make_lake
from support.openings import Trace, read_trace, trace_into
from support.runs import copy_lake

pytestmark = pytest.mark.timeout(900)

JOBS = Path(__file__).parents[2] / "jobs"
COORDINATOR = "coordinator"


@dataclass(frozen=True)
class Finished:
    """A federated run after the fact."""

    summary: dict[str, Any]
    exit_codes: dict[str, int | None]
    config: RunConfig
    centre: Lake
    sites: dict[str, Lake]
    traces: dict[str, Trace]
    logs: dict[str, str]
    """By site, and the coordinator's: everything that its processes wrote."""


@pytest.fixture(scope="module")
def finished(published: Mapping[str, Lake], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    root = tmp_path_factory.mktemp("run")
    sites = {site: copy_lake(lake, root / "sites" / site / "lake") for site, lake in published.items()}
    centre = make_lake(root / "centre" / "lake")
    config, file = federated_config("drug_response"), root / "config.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    [port] = free_ports(1)
    invitation = Invitation(root / "work", f"127.0.0.1:{port}")
    prepare(invitation.folder, ["127.0.0.1"])
    enroll(invitation.folder, sites)
    command = [
        *(*trace_into(root / f"{COORDINATOR}.trace"), sys.executable, str(JOBS / "federated_server.py")),
        *("--lake", centre.uri, "--config", str(file)),
        *("--superlink-port", str(port), "--work", str(invitation.folder)),
    ]
    log = root / f"{COORDINATOR}.log"
    with log.open("wb") as stderr:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)
    try:
        wait_for("SuperLink behind", log, server)
        with clients(
            invitation, sites, file, JOBS / "federated_client.py", trace_into(root / "{site}.trace")
        ) as started:
            output, _ = server.communicate(timeout=600)
    finally:
        server.terminate()
        server.wait()
    return Finished(
        summary=json.loads(output.splitlines()[-1]),
        exit_codes={COORDINATOR: server.returncode}
        | {site: process.returncode for site, process in started.processes.items()},
        config=config,
        centre=centre,
        sites=sites,
        traces={name: read_trace(root / f"{name}.trace") for name in (COORDINATOR, *sites)},
        logs={COORDINATOR: log.read_text() + (invitation.folder / "superlink.log").read_text()}
        | {site: path.read_text() for site, path in started.logs.items()},
    )


def wait_for(text: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        time.sleep(0.2)


def test_everybody_ends_well(finished):
    assert finished.exit_codes == dict.fromkeys([COORDINATOR, *finished.sites], 0)
    assert finished.summary["status"] == "done"
    assert finished.summary["steps"] == 6


def test_every_answer_is_heard_the_farewell_too(finished):
    assert "refused" not in finished.logs[COORDINATOR]
    received = [line["event"] for line in read(finished.centre, COORDINATOR) if line["event"].get("kind") == "stop"]
    assert len(received) == 2 * len(finished.sites), "a line out and a line in for each"


def test_it_is_fedavg_of_fit_on_the_three_lakes(finished):
    counts = [labelled_items(data) for data in open_all(finished.sites, finished.config)]
    found = get_parameters(best_state(finished.centre, finished.summary, finished.config).model)
    at = finished.summary["best_step"] // 3 - 1

    def is_average(weights: list[float]) -> bool:
        expected = average_by_hand(finished.sites, finished.config, weights)[at]
        return all(np.allclose(a, b, rtol=1e-9, atol=1e-11) for a, b in zip(found, expected, strict=True))

    assert is_average(counts)
    assert not is_average([1.0] * len(counts))


def test_nobody_opens_the_lake_of_another(finished):
    """The roles are all there, each site's worker did open its own lake, and no process of any role another one."""
    folders = {site: Path(lake.root) for site, lake in finished.sites.items()}
    coordinator = finished.traces[COORDINATOR]
    for program in ("patient_superlink", "flwr-serverapp"):
        assert coordinator.processes(program), program
    assert coordinator.opened_under([Path(finished.centre.root)])
    assert not coordinator.opened_under(folders.values())
    for site, folder in folders.items():
        trace = finished.traces[site]
        assert trace.processes("federated_client.py"), site
        assert not trace.processes("flwr"), "no code of the coordinator's runs at a site"
        assert trace.opened_under([folder])
        others = [other for other in folders.values() if other != folder]
        assert not trace.opened_under([*others, Path(finished.centre.root)])


def test_each_site_keeps_its_predictions_and_its_account(finished):
    for site, lake in finished.sites.items():
        assert recompute(lake, finished.summary["run"])["same"]
        verify(lake, site)
        kinds = [line["event"]["kind"] for line in read(lake, site)]
        assert kinds == ["contract", "statistics", "plan", "train", "train", "validation", "test", "stop"]
        assert len(verify_against(finished.centre, COORDINATOR, lake)) == len(kinds), "each request brought a head"


def test_no_patient_is_in_any_log(finished):
    patients = {p for data in open_all(finished.sites, finished.config) for p in data.split.train + data.split.test}
    assert patients
    for log in finished.logs.values():
        assert not [patient for patient in patients if patient in log]
