"""A site is removed while a run goes on, and what becomes of requests and keys that come a second time."""

import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.proto.fleet_pb2 import PullMessagesRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message

from oncotrain.errors import UserError
from oncotrain.federation.coordinator.server import Coordinator, Door, coordinator, prepare, run_app
from oncotrain.federation.identity.admission import admit, admitted, as_lines, remove
from oncotrain.federation.identity.keys import load_private_key, make_site_key, public_half
from oncotrain.federation.local import enroll, key_of
from oncotrain.federation.site.site import take_part
from oncotrain.federation.wire.superlink import free_ports
from oncotrain.lake.audit import read
from oncotrain.lake.filesystem import Lake
from oncotrain.training.run import RunDirectory
from support.coordinators import SITE, own_key, started
from support.federation import federated_config

pytestmark = pytest.mark.timeout(300)

STAYS, GOES = "uz-leuven", "chu-grenoble"
ROUNDS = 6


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    with started(tmp_path_factory.mktemp("work"), free_ports(1)[0]) as running:
        yield running


def test_a_site_that_is_removed_in_mid_run_is_out_and_the_rounds_go_on(sites, centre, tmp_path):
    work = tmp_path / "work"
    config = federated_config("drug_response", {"rounds": ROUNDS, "min_sites": 1})
    prepare(work, ["127.0.0.1"])
    enroll(work, [STAYS, GOES])
    said: dict[str, Any] = {}

    def join(site: str) -> None:
        at = server.invitation
        files = {"address": at.address, "authority": at.authority, "key": key_of(work, site)}
        try:
            said[site] = take_part(no_spark, sites[site], config, source="test.yaml", site=site, **files)
        except UserError as error:
            said[site] = (str(error), time.monotonic())

    def shut_out() -> None:
        while not trained(sites[GOES], GOES):
            time.sleep(0.1)
        remove(work, GOES)
        said["removed"] = time.monotonic()

    with coordinator(work, "127.0.0.1", free_ports(1)[0]) as server:
        threads = [threading.Thread(target=join, args=(site,)) for site in (STAYS, GOES)]
        threads.append(threading.Thread(target=shut_out))
        for thread in threads:
            thread.start()
        summary = run_app(server, centre, config, "test.yaml")
        for thread in threads:
            thread.join()
    assert summary["untested"] == [GOES]
    own = RunDirectory(sites[STAYS], summary["run"]).read_json("figures.json")
    assert summary["figures"] == {name: own[name] for name in own if name != "spearman_per_drug"}
    message, when = said[GOES]
    assert "not removed since" in message
    assert when - said["removed"] < 20
    assert 1 <= trained(sites[GOES], GOES) < ROUNDS
    assert trained(sites[STAYS], STAYS) == ROUNDS, "the rounds went on without it"


def trained(lake: Lake, site: str) -> int:
    return sum(line["event"].get("kind") == "train" for line in read(lake, site))


def no_spark() -> None:
    """A session is not needed by the engine of one rank."""


def test_a_running_server_follows_its_folder(server, tmp_path):
    work, door = server.invitation.folder, Door(server)
    key = make_site_key(tmp_path, "basel")
    [node] = server.nodes
    pull = signed_pull(key, node)
    admit(work, "basel", public_half(key))
    door.follow()
    assert server.link.admit(as_lines(admitted(work))).keys() > {node}
    unreadable = work / "sites" / "delft.key.pub"
    unreadable.write_text("no key")
    door.follow()
    unreadable.unlink()
    remove(work, "basel")
    door.follow()
    assert server.link.admit(as_lines(admitted(work))).keys() == {node}
    assert ask(server, server.invitation.address, *pull) == 401


def test_a_public_key_is_registered_once(server, tmp_path):
    """By hand, past `admit`, which refuses both before Flower does."""
    before = as_lines(admitted(server.invitation.folder))
    with pytest.raises(UserError, match="flwr supernode failed"):
        server.link.admit({**before, "delft": before[SITE]})
    assert server.link.admit(before) == server.nodes
    make_site_key(tmp_path, "basel")
    key = public_half(tmp_path / "basel.key").read_text()
    server.link.admit({**before, "basel": key})
    server.link.admit(before)
    with pytest.raises(UserError, match="flwr supernode failed"):
        server.link.admit({**before, "basel": key})
    assert server.link.admit(before) == server.nodes


def test_a_request_that_comes_again(server):
    """The gateway takes a signature once a minute; Flower itself as often as it comes within five minutes."""
    [node] = server.nodes
    pull = signed_pull(own_key(server), node)
    assert ask(server, server.invitation.address, *pull) == 200
    assert ask(server, server.invitation.address, *pull) == 409
    assert ask(server, server.link.address, *pull) == 200, "what the gateway keeps out"
    assert ask(server, server.invitation.address, *signed_pull(own_key(server), node)) == 200, "the next is a new one"


@pytest.mark.parametrize("age", [timedelta(seconds=306), timedelta(hours=1), timedelta(seconds=-10)])
def test_a_request_of_another_time(server, age):
    [node] = server.nodes
    for address in (server.invitation.address, server.link.address):
        assert ask(server, address, *signed_pull(own_key(server), node, age)) == 401


def test_a_request_in_the_name_of_another_node(server):
    [node] = server.nodes
    assert ask(server, server.invitation.address, *signed_pull(own_key(server), node + 1)) == 401


def signed_pull(key: Path, node: int, age: timedelta = timedelta()) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request for messages, signed so long ago."""
    private, when = load_private_key(key), (datetime.now(UTC) - age).isoformat()
    headers = {
        "content-type": "application/protobuf",
        FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(public_key_to_bytes(private.public_key())).decode(),
        TIMESTAMP_HEADER: when,
        FLEET_HTTP_SIGNATURE_HEADER: b64encode(sign_message(private, when.encode())).decode(),
    }
    return PullMessagesRequest(node=Node(node_id=node)).SerializeToString(), headers


def ask(server: Coordinator, address: str, body: bytes, headers: dict[str, str]) -> int:
    """The status of a request that somebody sends again, whoever that is."""
    url = f"https://localhost:{address.rpartition(':')[2]}/v1/fleet/pull-messages"
    context = httpx.create_ssl_context(verify=str(server.invitation.authority))
    return httpx.post(url, content=body, headers=headers, verify=context).status_code
