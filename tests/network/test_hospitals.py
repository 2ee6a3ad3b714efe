"""Both use cases between organisations: who can reach whom, what listens, and what is on the wire.

Everything on the coordinator's lines is captured, and decrypted with keys that the hospitals' clients log for the test.
"""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oncotrain.federation.coordinator.server import Invitation
from oncotrain.federation.identity.keys import public_half
from oncotrain.federation.local import key_of
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.training.state import get_parameters
from support.capture import Capture, captured
from support.fedavg import best_state
from support.federation import federated_config
from support.hospitals import (
    COORDINATOR,
    HOST,
    OUTSIDE,
    OUTSIDE_ADDRESS,
    PORT,
    Hospitals,
    listening,
    reaches,
    somebody_listens,
)
from support.needles import RUN, needles_of
from support.parties import READY, Party, coordinator_job, site_job, write_config

pytestmark = [pytest.mark.network, pytest.mark.timeout(900)]

DATASETS = {"drug_response": "samples", "histology": "tiles"}
GATEWAY = f"{HOST}:{PORT}"
LEAK = """
import ssl, sys
import httpx
authority, keys, address, body = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
context.keylog_filename = keys
httpx.post(f"https://{address}/v1/fleet/push-messages", content=open(body, "rb").read(), verify=context)
"""


@dataclass
class Finished:
    """Both runs after the fact."""

    capture: Capture
    invitations: dict[str, Invitation] = field(default_factory=dict)
    summaries: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """By task and party."""
    listened: dict[str, set[str]] = field(default_factory=dict)
    """By party: addresses on which anybody listened at any time while the runs went on."""


@pytest.fixture(scope="module")
def finished(network: Hospitals, parties: Mapping[str, Party], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    root = tmp_path_factory.mktemp("federation")
    with captured(network, root / "wire.pcap") as capture:
        result = Finished(capture)
        with watched(network, result.listened):
            for task in DATASETS:
                train(task, parties, root / task, result)
    return result


def train(task: str, parties: Mapping[str, Party], folder: Path, result: Finished) -> None:
    folder.mkdir()
    config = write_config(federated_config(task), folder / "config.yaml")
    invitation = result.invitations[task] = Invitation(folder / "work", GATEWAY)
    sites = [party for party in parties if party != COORDINATOR]
    with coordinator_job(parties[COORDINATOR], invitation, config, sites) as server, ExitStack() as stack:
        server.wait_for(READY)
        jobs = {COORDINATOR: server}
        for site in sites:
            party = replace(parties[site], variables={**parties[site].variables, **result.capture.logging_keys})
            jobs[site] = stack.enter_context(site_job(site, party, invitation, config))
        for party, job in jobs.items():
            result.summaries[task, party] = job.ended()


@contextmanager
def watched(network: Hospitals, listened: dict[str, set[str]]) -> Iterator[None]:
    """Meanwhile, look every second who listens where."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1):
            for party in (COORDINATOR, *network.names):
                listened.setdefault(party, set()).update(listening(network, party))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def test_both_use_cases_train_at_every_hospital(finished):
    assert {key: summary["status"] for key, summary in finished.summaries.items()} == dict.fromkeys(
        finished.summaries, "done"
    )
    for task in DATASETS:
        summary = finished.summaries[task, COORDINATOR]
        assert summary["steps"] == 6
        assert set(summary["rounds_trained"].values()) == {2}
        assert all(value is not None for value in summary["figures"].values()), summary["figures"]


def test_both_sides_kept_the_same_account(finished, network, parties):
    centre = parties[COORDINATOR].lake
    work = finished.invitations["histology"].folder
    for site in network.names:
        lake = parties[site].lake
        if lake.startswith("file"):
            network.run(
                site, *verify(lake, site), "--against", centre, "--public-key", str(public_half(key_of(work, site)))
            )
        else:
            network.run(site, *verify(lake, site))


def verify(lake: str, site: str) -> list[str]:
    program = Path(sys.executable).with_name("oncotrain")
    return [str(program), "audit", "verify", "--lake", lake, "--site", site]


def test_nobody_at_a_hospital_listens_to_the_outside(finished, network):
    def outer(party: str) -> set[str]:
        return {address for address in finished.listened[party] if not address.startswith(("127.", "[::ffff:127."))}

    assert outer(COORDINATOR) == {GATEWAY}
    for hospital in network.names:
        assert finished.listened[hospital], "Spark and Hadoop listen on loopback"
        assert outer(hospital) == set(), hospital


def test_a_hospital_reaches_neither_another_one_nor_anything_else(network, tmp_path):
    one, other, *_ = network.names
    addresses = {other: network.outer_address(other), COORDINATOR: HOST, OUTSIDE: OUTSIDE_ADDRESS}
    for party, address in addresses.items():
        with somebody_listens(network, party, 9999, tmp_path / f"{party}.log"):
            assert reaches(network, party, address, 9999), party
            assert not reaches(network, one, address, 9999), party


def test_the_hospitals_spoke_to_the_coordinator_alone(finished):
    assert finished.capture.conversations() == {("tcp", GATEWAY)}


def test_an_attempt_to_reach_anybody_else_would_be_seen(network, tmp_path):
    with captured(network, tmp_path / "wire.pcap") as capture:
        assert not reaches(network, network.names[0], "198.51.100.7", 443)
    assert capture.conversations() == {("tcp", "198.51.100.7:443")}


def test_no_piece_of_a_hospitals_data_is_on_the_wire(finished, lakes, parties):
    plain = finished.capture.plain()
    for task, dataset in DATASETS.items():
        state = best_state(
            Lake(parties[COORDINATOR].lake), finished.summaries[task, COORDINATOR], federated_config(task)
        )
        assert all(array.tobytes() in plain for array in get_parameters(state.model)), "what was sent was decrypted"
        for site, lake in lakes.items():
            assert f'"site": "{site}"'.encode() in plain, "so were the answers"
            assert needles_of(site, lake, [dataset]).found_in(plain) == {}


def test_a_piece_that_leaks_would_be_found(network, lakes, parties, tmp_path):
    """One row's pieces, sent through the coordinator's gateway by a client whose keys are logged as the others' are."""
    site = network.names[0]
    tile = row_of(lakes[site], "tiles")
    sample = row_of(lakes[site], "samples")
    leaks = {
        f"{site} pixels": tile["pixels"].tobytes()[1000 : 1000 + 2 * RUN],
        f"{site} expression": sample["expression"].astype(np.float64)[3:7].tobytes(),
        f"{site} patient": sample["patient"].encode(),
    }
    config = write_config(federated_config("histology"), tmp_path / "config.yaml")
    invitation = Invitation(tmp_path / "work", GATEWAY)
    with (
        captured(network, tmp_path / "wire.pcap") as capture,
        coordinator_job(parties[COORDINATOR], invitation, config, [site]) as server,
    ):
        server.wait_for(READY)
        for number, piece in enumerate(leaks.values()):
            (tmp_path / "body").write_bytes(b"x" * number + piece + b"y")
            network.run(
                site,
                sys.executable,
                "-c",
                LEAK,
                str(invitation.authority),
                str(capture.keys),
                GATEWAY,
                str(tmp_path / "body"),
            )
    plain = capture.plain()
    needles = needles_of(site, lakes[site], DATASETS.values())
    assert set(needles.found_in(plain)) >= set(leaks)


def row_of(lake: Lake, dataset: str) -> dict[str, Any]:
    opened = open_dataset(lake, dataset)
    [row] = opened.read([1], list(opened.schema.fields))
    return row
