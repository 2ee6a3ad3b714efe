"""A real SuperLink with TLS: who is refused, in which words, and a run that Flower calls completed without results."""

import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from oncotrain.errors import DataError, UserError
from oncotrain.federation.coordinator import server as coordinator_module
from oncotrain.federation.coordinator.job import LOG
from oncotrain.federation.coordinator.server import Coordinator, run_app
from oncotrain.federation.identity import certificates
from oncotrain.federation.identity.admission import admitted, as_lines
from oncotrain.federation.identity.certificates import ServerCertificate, make_server_certificate
from oncotrain.federation.identity.keys import load_public_key, make_site_key, openssh, public_half
from oncotrain.federation.local import clients
from oncotrain.federation.site.site import take_part
from oncotrain.federation.wire import superlink as superlink_module
from oncotrain.federation.wire.connection import joined, require_coordinator
from oncotrain.federation.wire.gateway import ACCESS
from oncotrain.federation.wire.refusal import Refusal
from oncotrain.federation.wire.superlink import free_ports
from oncotrain.lake.filesystem import Lake
from support.coordinators import CLIENT, own_key, started
from support.federation import federated_config
from support.lakes import make_lake

pytestmark = pytest.mark.timeout(300)

IDLE_APP = """
from flwr.serverapp import ServerApp
from flwr.clientapp import ClientApp
server = ServerApp()
client = ClientApp()

@server.main()
def main(grid, context):
    pass
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    with started(tmp_path_factory.mktemp("work"), free_ports(1)[0]) as running:
        yield running


def join(lake: Lake, address: str, authority: Path, key: Path) -> None:
    config = federated_config("drug_response")
    take_part(
        no_spark, lake, config, source="test.yaml", site="uz-leuven", address=address, authority=authority, key=key
    )


def no_spark() -> None:
    """A session is not needed by the engine of one rank."""


def test_a_key_that_is_not_registered_is_refused(server, sites, tmp_path):
    stranger = make_site_key(tmp_path, "uz-leuven")
    with pytest.raises(UserError, match=r"refused --key .*must be registered"):
        join(sites["uz-leuven"], server.invitation.address, server.invitation.authority, stranger)


@pytest.mark.parametrize(
    "route",
    [
        "control/start-run",
        "control/list-runs",
        "control/register-node",
        "fleet/register-node",
        "fleet/unregister-node",
        "fleet/get-fab",
        "fleet/activate-node/../register-node",
        "fleet/%72egister-node",
        "runtime/pull-task-input",
    ],
)
def test_a_hospital_reaches_the_routes_of_a_node_alone(server, route):
    assert post(server, server.invitation.address, route) == 403
    assert post(server, server.link.address, route) != 403, "the SuperLink itself would serve it"


def test_a_node_without_a_key_is_not_served(server):
    assert post(server, server.invitation.address, "fleet/pull-messages") == 401
    context = ssl.create_default_context(cafile=str(server.invitation.authority))
    assert httpx.get(f"https://{server.invitation.address}/v1/fleet/get-run", verify=context).status_code == 403


def test_an_operator_elsewhere_cannot_submit_a_run(server):
    elsewhere = replace(server.link, address=server.invitation.address, home=server.invitation.folder / "elsewhere")
    elsewhere.connect(server.invitation.authority)
    with pytest.raises(UserError, match=r"(?s)flwr run failed.*403 Forbidden"):
        elsewhere.submit({"job": "/nowhere"})


def post(server: Coordinator, address: str, route: str) -> int:
    context = ssl.create_default_context(cafile=str(server.invitation.authority))
    headers = {"content-type": "application/protobuf"}
    return httpx.post(f"https://{address}/v1/{route}", content=b"", headers=headers, verify=context).status_code


def test_the_log_of_the_gateway_says_who_asked_for_what(server):
    post(server, server.invitation.address, "control/start-run")
    lines = (server.invitation.folder / ACCESS).read_text().splitlines()
    assert any('127.0.0.1 "POST /v1/control/start-run" 403' in line for line in lines)


def test_a_coordinator_of_another_authority_is_refused(server, tmp_path):
    other = ServerCertificate.in_folder(tmp_path)
    make_server_certificate(other, ["127.0.0.1"])
    with pytest.raises(UserError, match="not of the authority in"):
        require_coordinator(server.invitation.address, other.authority)


def test_a_port_in_use_is_said_with_the_servers_last_words(server, tmp_path):
    port = int(server.invitation.address.rpartition(":")[2])
    with (
        pytest.raises(UserError, match="Address already in use"),
        started(tmp_path / "work", port),
    ):
        pass


def test_a_client_whose_spark_submit_is_ended_ends(server, sites, tmp_path):
    config, site = tmp_path / "config.yaml", "uz-leuven"
    config.write_text(yaml.safe_dump(federated_config("drug_response").model_dump(mode="json")))
    with clients(server.invitation, {site: sites[site]}, config, CLIENT) as running:
        wait_until(lambda: "ready" in running.logs[site].read_text())
        assert "federated_client.py" in commands_with(own_key(server))
        running.processes[site].terminate()
        wait_until(lambda: not commands_with(own_key(server)))


def commands_with(argument: Path) -> str:
    """Command lines of all running processes that were given `argument`."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(line for line in lines if str(argument) in line)


def wait_until(condition: Callable[[], bool], seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_run_completed_without_a_result_is_an_error(server, tmp_path, monkeypatch):
    app = tmp_path / "app"
    app.mkdir()
    (app / "idle.py").write_text(IDLE_APP)
    real = (superlink_module.APP / "pyproject.toml").read_text()
    idle = real.replace("oncotrain.federation.server_app:app", "idle:server")
    (app / "pyproject.toml").write_text(idle.replace("oncotrain.federation.client_app:app", "idle:client"))
    monkeypatch.setattr(superlink_module, "APP", app)
    monkeypatch.setattr(coordinator_module, "STATUS_SECONDS", 1.0)
    with pytest.raises(DataError, match="finished:completed, but it left no result"):
        run_app(server, make_lake(tmp_path / "lake"), federated_config("drug_response"), "test.yaml")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:{free}", "no SuperLink answers there"),
        ("no-such-host.invalid:8443", "no such host"),
        ("127.0.0.1", "must be HOST:PORT"),
    ],
)
def test_a_superlink_that_is_not_there(address: str, message: str, lake: Lake, tmp_path: Path):
    files = ServerCertificate.in_folder(tmp_path)
    make_server_certificate(files, ["127.0.0.1"])
    key = make_site_key(tmp_path, "uz-leuven")
    with pytest.raises(UserError, match=message) as error:
        join(lake, address.format(free=free_ports(1)[0]), files.authority, key)
    assert error.value.exit_code == 2


def test_files_that_are_not_there(lake, tmp_path):
    with pytest.raises(UserError, match="--root-certificates"):
        join(lake, "127.0.0.1:1", tmp_path / "authority.pem", tmp_path / "uz-leuven.key")


JOIN = """
import sys
from pathlib import Path
from oncotrain.errors import UserError
from oncotrain.federation.wire.connection import joined
address, authority, key = sys.argv[1:]
try:
    with joined(address, Path(authority), Path(key), frozenset()):
        print("joined")
except UserError as error:
    print(error)
"""


@pytest.mark.skipif(not shutil.which("faketime"), reason="faketime is not installed; type: make setup")
@pytest.mark.parametrize(
    ("clock", "message"),
    [("+10m", "its clock is 10.0 minutes ahead of the coordinator's; set it (chrony, NTP)"), ("+1s", "joined")],
)
def test_a_wrong_clock_is_said_in_words(clock, message, server):
    command = ["faketime", "-f", clock, sys.executable, "-c", JOIN, server.invitation.address]
    files = [str(server.invitation.authority), str(own_key(server))]
    done = subprocess.run([*command, *files], capture_output=True, text=True, timeout=120, check=True)
    assert message in done.stdout


def test_a_removed_site_is_refused_from_the_next_request_on(server, tmp_path):
    key = make_site_key(tmp_path, "basel")
    before = as_lines(admitted(server.invitation.folder))
    nodes = server.link.admit({**before, "basel": openssh(load_public_key(public_half(key)))})
    assert set(server.nodes) < set(nodes), "who was admitted before keeps the number"

    def take_part_until_removed() -> None:
        invitation = server.invitation
        with joined(invitation.address, invitation.authority, key, frozenset()) as node:
            assert node.serve(never, iter([False, True]).__next__) == 0
            assert server.link.admit(before) == server.nodes
            node.serve(never, lambda: False)

    with pytest.raises(UserError, match=r"refused --key .*not removed since"):
        take_part_until_removed()


def never(*_: object) -> Refusal:
    raise AssertionError("a message came through")


def test_a_database_that_is_busy_for_long_is_waited_for(server, tmp_path):
    """As while models of a gigabyte are written; Flower itself gives a request up after 5 s."""
    before = as_lines(admitted(server.invitation.folder))
    key = openssh(load_public_key(public_half(make_site_key(tmp_path, "umc-utrecht"))))
    with closing(sqlite3.connect(server.link.home / "state.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as pool:
            admitting = pool.submit(server.link.admit, {**before, "umc-utrecht": key})
            with pytest.raises(TimeoutError):
                admitting.result(timeout=9)
            database.execute("ROLLBACK")
            assert "umc-utrecht" in admitting.result().values()
    assert server.link.admit(before) == server.nodes


def test_a_message_of_an_app_that_is_not_on_the_list_is_refused(server, tmp_path):
    def client() -> None:
        invitation = server.invitation
        with joined(invitation.address, invitation.authority, own_key(server), frozenset(["0" * 64])) as node:
            node.serve(never, over.is_set)

    over = threading.Event()
    site = threading.Thread(target=client)
    site.start()
    try:
        config = federated_config("drug_response", {"min_sites": 1})
        with pytest.raises(DataError, match=r"query\.contract: no answer from uz-leuven"):
            run_app(server, make_lake(tmp_path / "lake"), config, "test.yaml")
    finally:
        over.set()
        site.join()
    assert "APP (1001)" in (server.invitation.folder / LOG).read_text()


def test_an_expired_certificate_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(certificates, "VALIDITY", timedelta(minutes=-1))
    files = ServerCertificate.in_folder(tmp_path)
    make_server_certificate(files, ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)

    def greet() -> None:
        with suppress(OSError), listener.accept()[0] as connection:
            context.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=greet).start()
        with pytest.raises(UserError, match="certificate has expired"):
            require_coordinator(f"127.0.0.1:{listener.getsockname()[1]}", files.authority)


def test_without_tls_nothing_is_served(server):
    assert httpx.post(f"http://{server.invitation.address}/v1/fleet/activate-node").status_code == 400


def test_a_site_leaves_at_once_where_the_coordinator_has_ended(tmp_path):
    with ExitStack() as site:
        with started(tmp_path / "work", free_ports(1)[0]) as ending:
            at = ending.invitation
            site.enter_context(joined(at.address, at.authority, own_key(ending), frozenset()))
        began = time.monotonic()
    assert time.monotonic() - began < 10
