"""Could this site take part now? What is on its disk, its lake, and the way to the coordinator, step by step."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from oncotrain.config.load import load_yaml
from oncotrain.config.site import SiteConfig
from oncotrain.config.training import RunConfig
from oncotrain.doctor.attempt import attempt
from oncotrain.doctor.coordinator_port import check_port
from oncotrain.doctor.probe import Probe
from oncotrain.errors import UserError
from oncotrain.federation.identity.keys import fingerprint, load_private_key, load_public_key, spoken
from oncotrain.federation.schedule import federated_section
from oncotrain.federation.secure.credentials import read_credentials
from oncotrain.federation.site.departure import require_member
from oncotrain.federation.submission import client_command, client_processes
from oncotrain.federation.wire.connection import installed_app, joined
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import require_layout
from oncotrain.tasks import create_task

_PATIENCE = 10.0
"""Seconds that the coordinator may take to admit the key."""
_HANDED_OUT = "ask the coordinator for the file again"


def check_site(site: SiteConfig) -> Iterator[Probe]:
    """One line for each thing, in the order in which it is needed; with the key, the site is online for a moment."""
    yield attempt("member", partial(_member, site))
    yield attempt("job", partial(_job, site))
    key = attempt("key", partial(_key, site), f"type: oncotrain site keys --site {site.site} --folder {site.folder}")
    yield key
    yield attempt("coordinator's audit key", lambda: _public(site.coordinator_key), _HANDED_OUT)
    if site.roster:
        yield attempt("roster", partial(_roster, site), "ask who signs the roster for both files")
    yield attempt("configuration", partial(_configuration, site))
    yield attempt("lake", partial(_lake, site))
    yield attempt("dataset", partial(_dataset, site), "publish it: spark-submit jobs/ingest_....py")
    yield _app(site)
    reachable = True
    for probe in check_port(site.coordinator, site.authority):
        yield probe
        reachable &= probe.ok or probe.optional
    if reachable and key.ok:
        yield attempt("admitted", partial(_admitted, site), f"the coordinator types: {_admit(site)}")


def _member(site: SiteConfig) -> str:
    require_member(site.folder)
    return site.site


def _job(site: SiteConfig) -> str:
    submit = client_command(site)[0]
    for file in (Path(submit), site.job):
        if not file.is_file():
            raise UserError(f"{file}: no such file; correct the site's YAML, or install oncotrain again")
    return str(site.job)


def _key(site: SiteConfig) -> str:
    private = load_private_key(site.key)
    if site.key.stat().st_mode & 0o077:
        raise UserError(f"{site.key}: others may read it; type: chmod 600 {site.key}, and think of a new key")
    return spoken(fingerprint(private.public_key()))


def _public(file: Path) -> str:
    return spoken(fingerprint(load_public_key(file)))


def _roster(site: SiteConfig) -> str:
    assert site.roster is not None  # noqa: S101 - asked only then
    credentials = read_credentials(site.key, *site.roster)
    if credentials.roster.keys.get(site.site) != credentials.key.public_key():
        raise UserError(f"{site.roster[0]}: does not have this site's key under the name {site.site}")
    return f"{len(credentials.roster.keys)} sites"


def _configuration(site: SiteConfig) -> str:
    federated = federated_section(load_yaml(site.config, RunConfig), str(site.config))
    return f"{federated.rounds} rounds of {federated.strategy.name}"


def _lake(site: SiteConfig) -> str:
    require_layout(Lake(site.lake))
    return site.lake


def _dataset(site: SiteConfig) -> str:
    config = load_yaml(site.config, RunConfig)
    name = config.dataset or create_task(config.task, str(site.config)).dataset
    manifest = open_dataset(Lake(site.lake), name).manifest
    return f"{manifest.name} {manifest.version}"


def _app(site: SiteConfig) -> Probe:
    ours = installed_app()
    listed = not site.apps or ours in site.apps
    remedy = f"the installed one, {ours}, is not on the list of the site's YAML, and would be refused"
    return Probe("app", ours if listed else "", ok=listed, remedy=remedy)


def _admitted(site: SiteConfig) -> str:
    if client_processes(site):
        return "not tried: the client is running, with this key"
    with joined(site.coordinator, site.authority, site.key, frozenset(), _PATIENCE) as node:
        return f"as node {node.proto.node_id}"


def _admit(site: SiteConfig) -> str:
    return f"oncotrain coordinator admit {site.site} {site.key.name}.pub"
