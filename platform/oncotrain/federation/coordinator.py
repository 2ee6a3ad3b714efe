"""The coordinator's job: a server that admits the sites, one run on it, and its outcome."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError, UserError
from oncotrain.federation.gateway import gateway
from oncotrain.federation.heads import COORDINATOR
from oncotrain.federation.job import LOG, Job, Outcome, read_outcome, write_job
from oncotrain.federation.keys import ServerCertificate, make_audit_key, make_server_certificate, make_site_key
from oncotrain.federation.schedule import federated_section
from oncotrain.federation.superlink import SuperLink, free_ports, superlink
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import require_layout
from oncotrain.log import get_logger

POLL_SECONDS = 0.2
STATUS_SECONDS = 30.0
"""Between two questions to Flower whether the run still goes on; each starts a process of some seconds."""


@dataclass(frozen=True)
class Invitation:
    """What sites need to join: the coordinator's address (``host:port``) and files in its private folder."""

    folder: Path
    address: str

    @property
    def authority(self) -> Path:
        """The certificate by which every site knows the coordinator."""
        return ServerCertificate.in_folder(self.folder).authority

    @property
    def audit_key(self) -> Path:
        """The public key by which the coordinator signs its audit."""
        return self.folder / f"{COORDINATOR}.key.pub"

    def key(self, site: str) -> Path:
        """The private key by which the coordinator knows `site`."""
        return self.folder / f"{site}.key"


@dataclass(frozen=True)
class Coordinator:
    """A running server, and the sites that it admits by node number."""

    link: SuperLink
    nodes: dict[int, str]
    invitation: Invitation


@contextmanager
def coordinator(work: Path, sites: Sequence[str], host: str, port: int) -> Iterator[Coordinator]:
    """A server that listens on `host:port` and admits `sites`, for as long as the context lasts.

    Certificates and keys are made in the folder `work` (mode 0700) unless they are there from an earlier start: each
    site is given its own `<site>.key` and everybody's `authority.pem` and `coordinator.key.pub`.

    Raises UserError if the server does not start.
    """
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    work.chmod(0o700)
    certificate = ServerCertificate.in_folder(work)
    if not certificate.key.exists():
        make_server_certificate(certificate, list(dict.fromkeys([host, "localhost", "127.0.0.1"])))
    if not (work / f"{COORDINATOR}.key").exists():
        make_audit_key(work)
    for site in sites:
        if not (work / f"{site}.key").exists():
            make_site_key(work, site)
    address = f"{host}:{port}"
    invitation = Invitation(work, address)
    with (
        superlink(work, certificate, free_ports(1)[0]) as link,
        gateway(work, certificate, address, link.address),
    ):
        nodes = link.admit({site: work / f"{site}.key.pub" for site in sites})
        get_logger(stage="federate").info(
            "SuperLink behind %s; each site needs %s, %s and its own of %s",
            *(address, invitation.authority, invitation.audit_key, ", ".join(f"{site}.key" for site in sites)),
        )
        yield Coordinator(link, nodes, invitation)


def run_app(
    server: Coordinator, lake: Lake, config: RunConfig, source: str, check: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Submit the run, wait until it ends, and return its summary; `check` is called all the while and may raise.

    Raises:
        UserError: The run's own, or the server ended.
        DataError: The run's own, or Flower says that the run is over and it left no result.
    """
    work = server.invitation.folder
    job = write_job(work, Job(lake=lake.uri, config=config, source=source, nodes=server.nodes))
    run = server.link.submit({"job": str(job)})
    log = _Tail(work / LOG)
    next_status = time.monotonic() + STATUS_SECONDS
    while (outcome := read_outcome(work)) is None:
        check()
        server.link.require_alive()
        log.copy()
        if time.monotonic() > next_status:
            status = server.link.status(run)
            if status.startswith("finished") and read_outcome(work) is None:
                raise DataError(f"Flower says that the run is {status}, but it left no result; see {server.link.log}")
            next_status = time.monotonic() + STATUS_SECONDS
        time.sleep(POLL_SECONDS)
    log.copy()
    return _summary(outcome)


def federate(
    lake: Lake, config: RunConfig, sites: Sequence[str], *, source: str, work: Path, host: str, port: int
) -> dict[str, Any]:
    """Train one model with `sites`, whose clients are started elsewhere; the run's directory is in `lake`.

    Raises UserError or DataError as `run_app` and `coordinator` do.
    """
    require_layout(lake)
    federated_section(config, source)
    with coordinator(work, sites, host, port) as server:
        return run_app(server, lake, config, source)


def _summary(outcome: Outcome) -> dict[str, Any]:
    if outcome.summary is not None:
        return outcome.summary
    raise (DataError if outcome.exit_code == DataError.exit_code else UserError)(outcome.error)


class _Tail:
    """Copies what is appended to a log to stderr."""

    def __init__(self, path: Path) -> None:
        self.path, self.position = path, 0

    def copy(self) -> None:
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8") as file:
            file.seek(self.position)
            sys.stderr.write(file.read())
            self.position = file.tell()
