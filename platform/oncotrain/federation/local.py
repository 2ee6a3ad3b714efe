"""A whole federation on one machine: the coordinator in this process, each site's client a job of its own."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from oncotrain.config.site import SiteConfig
from oncotrain.config.training import RunConfig
from oncotrain.errors import UserError
from oncotrain.federation.coordinator.conduct import federated_run, finished
from oncotrain.federation.coordinator.server import Invitation, coordinator, prepare, run_app
from oncotrain.federation.identity.admission import admit, admitted, remove
from oncotrain.federation.identity.keys import make_site_key, public_half
from oncotrain.federation.identity.private_file import write_private
from oncotrain.federation.package import unpacked_code
from oncotrain.federation.process import last_lines, running
from oncotrain.federation.schedule import federated_section
from oncotrain.federation.secure.credentials import CONSORTIUM, ROSTER, write_roster
from oncotrain.federation.submission import client_command
from oncotrain.federation.wire.superlink import free_ports
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.tasks import create_task
from oncotrain.training.run import RunDirectory

DRIVER_MEMORY = "600m"
"""Of a client's Java process, which only holds the Spark session; training's memory is Python's."""
END_SECONDS = 60.0
"""Time for the clients to end once the run is over."""


def federate_on_this_machine(
    lake: Lake, config: RunConfig, sites: Mapping[str, Lake], *, source: str, work: Path, client: Path
) -> dict[str, Any]:
    """Train one model with `sites` (name to lake) and return the summary; the run's directory is in `lake`.

    A finished run of the same configuration and data is returned as it is, with `unchanged` true.

    Args:
        source: The configuration's file, for messages.
        work: A folder for keys, state and logs (`<site>.log`, `superlink.log`).
        client: Path of `jobs/federated_client.py`, which is submitted to Spark once for each site.

    Raises UserError or DataError as the coordinator does, and UserError if a client fails.
    """
    run = _run_on(lake, config, sites, source)
    if run.exists("summary.json"):
        return finished(run)
    [port] = free_ports(1)
    prepare(work, ["127.0.0.1"])
    enroll(work, sites)
    if federated_section(config, source).secure_aggregation:
        sign_roster(work)
    with coordinator(work, "127.0.0.1", port) as server:
        shared = work / "config.yaml"
        shared.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
        with clients(server.invitation, sites, shared, client) as started:
            return run_app(server, lake, config, source, started.check)


def sign_roster(work: Path) -> None:
    """Write the roster of the admitted sites, signed by a key that is then forgotten.

    For one machine, where all are one party: who can sign a roster can invent sites.
    """
    write_roster(work, admitted(work), ec.generate_private_key(ec.SECP384R1()))


def _run_on(lake: Lake, config: RunConfig, sites: Mapping[str, Lake], source: str) -> RunDirectory:
    """The directory that the run will have; here, and only here, the sites' manifests are at hand."""
    task = create_task(config.task, source)
    name = config.dataset or task.dataset
    datasets = {site: open_dataset(site_lake, name).manifest.sha256 for site, site_lake in sites.items()}
    return federated_run(lake, task, config, federated_section(config, source), datasets)


def enroll(work: Path, sites: Iterable[str]) -> None:
    """Make the key of each site in a folder of its own, unless it is there, and admit these sites, and no others."""
    for site in sites:
        key = key_of(work, site)
        key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not key.exists():
            make_site_key(key.parent, site)
        admit(work, site, public_half(key))
    for site in admitted(work).keys() - set(sites):
        remove(work, site)
        key_of(work, site).unlink()  # it is never admitted again


def key_of(work: Path, site: str) -> Path:
    """The private key of a site of this machine, in the site's own folder."""
    return work / site / f"{site}.key"


@contextmanager
def clients(
    invitation: Invitation,
    sites: Mapping[str, Lake],
    config: Path,
    client: Path,
    prefix: Sequence[str] = (),
    ranks: int = 1,
) -> Iterator["Clients"]:
    """One client job for each site, started together. Left without an error, the context waits for them to end.

    Logs are ``<site>.log`` in the invitation's folder. `prefix` is put before each command, such as ``nice``;
    ``{site}`` in it is the site's name. Each site trains on so many `ranks`, Horovod's where they are several.
    """
    with ExitStack() as stack:
        started = Clients({}, {})
        for site, lake in sites.items():
            described = describe(invitation, site, lake, config, client, ranks)
            started.logs[site] = invitation.folder / f"{site}.log"
            command = [*(part.format(site=site) for part in prefix), *client_command(described)]
            started.processes[site] = stack.enter_context(
                running(command, environment=_environment(described.folder), log=started.logs[site])
            )
        yield started
        for process in started.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)


def describe(invitation: Invitation, site: str, lake: Lake, config: Path, client: Path, ranks: int = 1) -> SiteConfig:
    """What would stand in the site's `site.yaml`; the site is handed what the coordinator hands out."""
    folder = key_of(invitation.folder, site).parent
    roster = [invitation.folder / name for name in (ROSTER, CONSORTIUM)]
    hidden = roster[0].exists()
    for file in (invitation.authority, invitation.audit_key, *(roster if hidden else ())):
        write_private(folder / file.name, file.read_bytes())
    return SiteConfig(
        site=site,
        lake=lake.uri,
        coordinator=invitation.address,
        config=config,
        folder=folder,
        job=client,
        master=f"local[{ranks}]",
        spark_options=("--driver-memory", DRIVER_MEMORY, "--conf", "spark.ui.enabled=false"),
        engine="single" if ranks == 1 else "horovod",
        ranks=ranks,
        secure_aggregation=hidden,
    )


@dataclass(frozen=True)
class Clients:
    """Running client jobs by site, and their logs."""

    processes: dict[str, subprocess.Popen[bytes]]
    logs: dict[str, Path]

    def check(self) -> None:
        """Raise UserError with the end of its log if a client has failed."""
        for site, process in self.processes.items():
            if process.poll():
                raise UserError(
                    f"the client of {site} ended with exit code {process.returncode}; {self.logs[site]} ends with:\n"
                    f"{last_lines(self.logs[site])}"
                )


def _environment(folder: Path) -> dict[str, str]:
    """A site's own scratch space, this process's code and JVM options; nothing of the application that it may be."""
    applications = ("PYSPARK_", "SPARK_", "PYTHONPATH")  # spark-submit sets all three, the last to Spark's own archives
    kept = "SPARK_SUBMIT_OPTS"
    inherited = {name: value for name, value in os.environ.items() if name == kept or not name.startswith(applications)}
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(unpacked_code()),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_DIRS": str(folder),
        "SPARK_LOCAL_HOSTNAME": "localhost",
    }
