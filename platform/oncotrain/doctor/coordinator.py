"""Could this coordinator serve? Its folder, who is admitted, and what the server stands on."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from oncotrain.config.coordinator import CoordinatorConfig
from oncotrain.config.load import load_yaml
from oncotrain.config.training import RunConfig
from oncotrain.doctor.attempt import attempt
from oncotrain.doctor.probe import Probe
from oncotrain.errors import UserError
from oncotrain.federation.identity.admission import admitted
from oncotrain.federation.identity.certificates import THIS_MACHINE, ServerCertificate, expiry, hosts_of
from oncotrain.federation.identity.keys import COORDINATOR, load_private_key
from oncotrain.federation.schedule import federated_section
from oncotrain.federation.secure.credentials import CONSORTIUM, ROSTER, load_roster
from oncotrain.federation.submission import server_processes
from oncotrain.federation.wire.connection import installed_app
from oncotrain.federation.wire.gateway import nginx
from oncotrain.federation.wire.superlink import reach
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import require_layout

_INIT = "type: oncotrain coordinator init --host NAME"
_SOON_DAYS = 30


def check_coordinator(server: CoordinatorConfig) -> Iterator[Probe]:
    """One line for each thing; the port is tried where the server runs."""
    files = ServerCertificate.in_folder(server.folder)
    yield attempt("folder", partial(_folder, server.folder), _INIT)
    yield attempt("authority", partial(_valid, files.authority), _INIT)
    yield attempt("certificate", partial(_valid, files.certificate), "type: oncotrain coordinator renew")
    yield attempt("hosts", lambda: ", ".join(hosts_of(files)), _INIT)
    yield attempt("audit key", partial(_audit_key, server.folder), _INIT)
    yield attempt("admitted", partial(_admitted, server.folder), "type: oncotrain coordinator admit NAME PUBLIC_KEY")
    yield attempt("configuration", partial(_configuration, server), "correct the YAML")
    yield attempt("lake", partial(_lake, server))
    yield attempt("gateway", nginx)
    yield Probe("app", installed_app(), ok=True)
    if server_processes(server):
        yield attempt("port", partial(_port, server), "who listens there instead? look into the server's log")


def _folder(folder: Path) -> str:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    if folder.stat().st_mode & 0o077:
        raise UserError(f"{folder}: others may enter it; type: chmod 700 {folder}")
    return str(folder)


def _valid(file: Path) -> str:
    left = (expiry(file.read_bytes()) - datetime.now(UTC)).days
    if left < _SOON_DAYS:
        raise UserError(f"{file}: ends in {left} days")
    return f"for {left} days"


def _audit_key(folder: Path) -> str:
    load_private_key(folder / f"{COORDINATOR}.key")
    return f"{COORDINATOR}.key"


def _admitted(folder: Path) -> str:
    sites = admitted(folder)
    if not sites:
        raise UserError("no site is admitted")
    return ", ".join(sites)


def _configuration(server: CoordinatorConfig) -> str:
    federated = federated_section(load_yaml(server.config, RunConfig), str(server.config))
    sites = admitted(server.folder)
    if len(sites) < federated.min_sites:
        raise UserError(f"{server.config}: min_sites is {federated.min_sites}, and {len(sites)} are admitted")
    if federated.secure_aggregation:
        roster = load_roster(server.folder / ROSTER, server.folder / CONSORTIUM)
        if differing := sorted(site for site, key in sites.items() if roster.keys.get(site) != key):
            raise UserError(f"{ROSTER}: does not have the keys of {', '.join(differing)}")
    return f"{federated.rounds} rounds of {federated.strategy.name}"


def _port(server: CoordinatorConfig) -> str:
    address = f"{server.host}:{server.port}"
    reach(address, ServerCertificate.in_folder(server.folder).authority, THIS_MACHINE)
    return address


def _lake(server: CoordinatorConfig) -> str:
    require_layout(Lake(server.lake))
    return server.lake
