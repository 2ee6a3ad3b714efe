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
from oncotrain.federation.coordinator.job import LOG, Job, Outcome, read_outcome, write_job
from oncotrain.federation.identity.admission import admitted, as_lines
from oncotrain.federation.identity.certificates import ServerCertificate, make_server_certificate
from oncotrain.federation.identity.keys import COORDINATOR, make_audit_key
from oncotrain.federation.schedule import federated_section
from oncotrain.federation.wire.gateway import gateway
from oncotrain.federation.wire.superlink import SuperLink, free_ports, superlink
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


@dataclass(frozen=True)
class Coordinator:
    """A running server, and the sites that it admitted when it started, by node number."""

    link: SuperLink
    nodes: dict[int, str]
    invitation: Invitation


def prepare(work: Path, hosts: Sequence[str]) -> None:
    """Make the folder `work` (mode 0700) that of a coordinator known as `hosts`, unless it is one.

    It gets an authority, a server certificate and the key that signs the coordinator's audit.
    """
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    work.chmod(0o700)
    certificate = ServerCertificate.in_folder(work)
    if not certificate.key.exists():
        make_server_certificate(certificate, hosts)
    if not (work / f"{COORDINATOR}.key").exists():
        make_audit_key(work)


@contextmanager
def coordinator(work: Path, host: str, port: int) -> Iterator[Coordinator]:
    """A server that listens on `host:port` and admits the sites of the folder `work`, while the context lasts.

    Raises UserError if `prepare` has not made the folder, nobody is admitted there, or the server does not start.
    """
    certificate = ServerCertificate.in_folder(work)
    if not certificate.key.exists():
        raise UserError(f"{work}: is no coordinator's folder; type: oncotrain coordinator init --host NAME")
    keys = admitted(work)
    if not keys:
        raise UserError(f"{work}: no site is admitted; type: oncotrain coordinator admit NAME PUBLIC_KEY")
    invitation = Invitation(work, f"{host}:{port}")
    with (
        superlink(work, certificate, free_ports(1)[0]) as link,
        gateway(work, certificate, invitation.address, link.address),
    ):
        nodes = link.admit(as_lines(keys))
        get_logger(stage="federate").info(
            "SuperLink behind %s admits %s; each site needs %s and %s",
            *(invitation.address, ", ".join(keys), invitation.authority, invitation.audit_key),
        )
        yield Coordinator(link, nodes, invitation)


class Door:
    """Lets a running server follow its folder: who was removed there is shut out, who was admitted may come in."""

    def __init__(self, server: Coordinator) -> None:
        self.server, self._seen = server, as_lines(admitted(server.invitation.folder))

    def follow(self) -> None:
        """Look once. What cannot be read is logged and changes nothing."""
        log = get_logger(stage="federate")
        try:
            wanted = as_lines(admitted(self.server.invitation.folder))
            if wanted == self._seen:
                return
            self._seen = wanted
            self.server.link.admit(wanted)
            log.info("admitted are now: %s", ", ".join(wanted) or "none")
        except UserError as error:
            self.server.link.require_alive()
            log.error("who is admitted stays as it was: %s", error)


def run_app(
    server: Coordinator, lake: Lake, config: RunConfig, source: str, check: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Submit the run, wait until it ends, and return its summary; `check` is called all the while and may raise.

    Sites that are removed meanwhile are shut out at once; those that are admitted join the next run.

    Raises:
        UserError: The run's own, or the server ended.
        DataError: The run's own, or Flower says that the run is over and it left no result.
    """
    work = server.invitation.folder
    job = write_job(work, Job(lake=lake.uri, config=config, source=source, nodes=server.nodes))
    run = server.link.submit({"job": str(job)})
    log, door = _Tail(work / LOG), Door(server)
    next_status = time.monotonic() + STATUS_SECONDS
    while (outcome := read_outcome(work)) is None:
        check()
        server.link.require_alive()
        door.follow()
        log.copy()
        if time.monotonic() > next_status:
            status = server.link.status(run)
            if status.startswith("finished") and read_outcome(work) is None:
                raise DataError(f"Flower says that the run is {status}, but it left no result; see {server.link.log}")
            next_status = time.monotonic() + STATUS_SECONDS
        time.sleep(POLL_SECONDS)
    log.copy()
    return _summary(outcome)


def federate(lake: Lake, config: RunConfig, *, source: str, work: Path, host: str, port: int) -> dict[str, Any]:
    """Train one model with the sites admitted in `work`, whose clients are started elsewhere; the run is in `lake`.

    Raises UserError or DataError as `run_app` and `coordinator` do.
    """
    require_layout(lake)
    federated_section(config, source)
    with coordinator(work, host, port) as server:
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
