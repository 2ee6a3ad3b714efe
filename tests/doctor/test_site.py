"""`oncotrain site check`: each thing that may be wrong flips its own line, and says what to do."""

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession

from oncotrain.config.site import SiteConfig
from oncotrain.doctor import render
from oncotrain.doctor.coordinator_port import check_port
from oncotrain.doctor.probe import Probe
from oncotrain.doctor.site import check_site
from oncotrain.federation.coordinator.server import Coordinator
from oncotrain.federation.identity import certificates
from oncotrain.federation.identity.certificates import ServerCertificate, make_server_certificate
from oncotrain.federation.identity.keys import load_private_key, make_site_key, public_half
from oncotrain.federation.secure.roster import make_roster
from oncotrain.federation.site.departure import leave
from oncotrain.federation.wire import connection
from oncotrain.federation.wire.gateway import gateway
from oncotrain.federation.wire.superlink import free_ports
from oncotrain.lake.filesystem import Lake
from support.coordinators import SITE, started, write_site
from support.datasets import write_samples
from support.lakes import make_lake

pytestmark = pytest.mark.timeout(300)

NETWORK = ("name", "connection", "certificate", "expiry", "clock")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    with started(tmp_path_factory.mktemp("work"), free_ports(1)[0]) as running:
        yield running


@pytest.fixture(scope="module")
def published(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = make_lake(tmp_path_factory.mktemp("site") / "lake")
    write_samples(spark, lake, SITE, patients=12, seed=0)
    return lake


@pytest.fixture
def site(server: Coordinator, published: Lake, tmp_path: Path) -> SiteConfig:
    """A site that could take part, with a folder of keys of its own."""
    described = SiteConfig.load(write_site(server.invitation, published, tmp_path / "etc"))
    shutil.copytree(described.folder, tmp_path / "keys")
    return described.model_copy(update={"folder": tmp_path / "keys"})


def lines(site: SiteConfig) -> dict[str, Probe]:
    return {probe.name: probe for probe in check_site(site)}


def failed(site: SiteConfig) -> dict[str, str]:
    """What is printed of the lines that are not ok."""
    return {name: render(probe).plain for name, probe in lines(site).items() if not probe.ok}


def test_a_site_that_can_take_part(site):
    found = lines(site)
    assert [name for name, probe in found.items() if not probe.ok] == []
    assert {*NETWORK, "member", "job", "key", "configuration", "lake", "dataset", "app", "admitted"} <= found.keys()
    assert failed(site) == {}, "the check takes leave again"


def test_a_name_that_is_unknown(site):
    found = failed(site.model_copy(update={"coordinator": "no-such-host.invalid:8443"}))
    assert "'no-such-host.invalid' has no address here: ask who runs the name server" in found["name"]
    assert not found.keys() & {"connection", "certificate", "admitted"}, "what depends on it is not tried"


def test_a_port_where_nobody_listens(site):
    found = failed(site.model_copy(update={"coordinator": f"127.0.0.1:{free_ports(1)[0]}"}))
    assert "refused; is the coordinator running, and is this port open on the way out?" in found["connection"]


def test_a_port_that_speaks_no_tls(site):
    def greet() -> None:
        with suppress(OSError):
            while True:
                with listener.accept()[0] as connected:
                    connected.sendall(b"220 mail.example ESMTP\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=greet, daemon=True).start()
        found = failed(site.model_copy(update={"coordinator": f"127.0.0.1:{listener.getsockname()[1]}"}))
        listener.shutdown(socket.SHUT_RDWR)
    assert "no TLS there" in found["certificate"]


def test_another_authority(site, tmp_path):
    other = ServerCertificate.in_folder(tmp_path)
    make_server_certificate(other, ["127.0.0.1"])
    shutil.copy(other.authority, site.authority)
    found = failed(site)
    assert "not of the authority in" in found["certificate"]
    assert "compare its fingerprint" in found["certificate"]


def test_a_certificate_that_ends_soon_or_has_ended(tmp_path, monkeypatch):
    said = {}
    for name, validity in (("soon", timedelta(days=10)), ("ended", timedelta(minutes=-1))):
        monkeypatch.setattr(certificates, "VALIDITY", validity)
        work, address = tmp_path / name, f"127.0.0.1:{free_ports(1)[0]}"
        work.mkdir()
        files = ServerCertificate.in_folder(work)
        make_server_certificate(files, ["127.0.0.1"])
        monkeypatch.setattr("oncotrain.federation.wire.gateway.reach", lambda *_: None)
        with gateway(work, files, address, "127.0.0.1:1"):
            wait_for(address)
            said[name] = {probe.name: probe for probe in check_port(address, files.authority)}
    assert "in 9 days" in render(said["soon"]["expiry"]).plain
    assert "oncotrain coordinator renew" in render(said["soon"]["expiry"]).plain
    assert said["soon"]["expiry"].optional
    assert "certificate has expired" in render(said["ended"]["certificate"]).plain
    assert "oncotrain coordinator renew" in render(said["ended"]["certificate"]).plain


def wait_for(address: str) -> None:
    host, port = address.split(":")
    for _ in range(100):
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return
        threading.Event().wait(0.1)


def test_a_clock_that_is_off(site, monkeypatch):
    monkeypatch.setattr(connection, "CLOCK_AHEAD", -60.0)
    assert "minutes ahead of the coordinator's; set it (chrony, NTP)" in failed(site)["clock"]


def test_a_key_that_is_not_admitted_not_there_or_open_to_others(site):
    site.key.chmod(0o644)
    assert "others may read it; type: chmod 600" in failed(site)["key"]
    make_site_key(site.folder, SITE)
    said = failed(site)["admitted"]
    assert "must be registered there, not removed since" in said
    assert f"oncotrain coordinator admit {SITE} {SITE}.key.pub" in said
    site.key.unlink()
    found = failed(site)
    assert f"type: oncotrain site keys --site {SITE}" in found["key"]
    assert "admitted" not in found


def test_a_site_that_has_left(site):
    leave(site.folder)
    assert "oncotrain site rejoin" in failed(site)["member"]


def test_files_of_the_coordinator_that_are_missing(site):
    site.coordinator_key.unlink()
    site.authority.unlink()
    found = failed(site)
    assert "ask the coordinator for the file again" in found["coordinator's audit key"]
    assert "the coordinator hands it out" in found["certificate"]


def test_a_configuration_that_is_none(site):
    site.config.write_text(yaml.safe_dump({"task": {"name": "drug_response"}}))
    assert "key 'split' is missing" in failed(site)["configuration"]


def test_a_lake_that_is_not_laid_out_or_has_no_dataset(site, tmp_path, lake):
    assert "oncotrain layout apply" in failed(site.model_copy(update={"lake": f"file://{tmp_path}/no"}))["lake"]
    assert "has no dataset 'samples'" in failed(site.model_copy(update={"lake": lake.uri}))["dataset"]


def test_an_app_that_is_not_on_the_list_and_a_job_that_is_not_there(site, tmp_path):
    found = failed(site.model_copy(update={"apps": ("0" * 64,), "job": tmp_path / "no.py"}))
    assert "is not on the list of the site's YAML" in found["app"]
    assert "no.py: no such file" in found["job"]


def test_a_roster_without_this_key(site, tmp_path):
    hiding = site.model_copy(update={"secure_aggregation": True})
    assert "roster.json: cannot be read" in failed(hiding)["roster"]
    consortium, other = make_site_key(tmp_path, "consortium"), make_site_key(tmp_path, SITE)
    shutil.copy(public_half(consortium), site.folder / "consortium.pub")
    signer = load_private_key(consortium)
    (site.folder / "roster.json").write_bytes(make_roster({SITE: public_half(other).read_bytes()}, signer))
    assert f"does not have this site's key under the name {SITE}" in failed(hiding)["roster"]
    (site.folder / "roster.json").write_bytes(make_roster({SITE: public_half(site.key).read_bytes()}, signer))
    assert failed(hiding) == {}
