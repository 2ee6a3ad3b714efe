"""A site's connection to the coordinator: one that it opens itself, over TLS, with its own key."""

import hashlib
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from importlib.resources import files
from pathlib import Path

import httpx
from flwr.cli.build import build_fab_from_files
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL
from flwr.proto.fleet_pb2 import ActivateNodeRequest, DeactivateNodeRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.node_pb2 import Node as NodeProto
from flwr.supercore.heartbeat import HeartbeatSender
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supercore.retry import RetryInvoker, exponential
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from oncotrain.errors import UserError
from oncotrain.federation.identity.keys import load_private_key
from oncotrain.federation.identity.private_file import write_private
from oncotrain.federation.wire.node import Node
from oncotrain.federation.wire.superlink import reach
from oncotrain.log import get_logger

PATIENCE = 900.0
"""Seconds that a coordinator may be away, as for a restart."""
CLOCK_AHEAD, CLOCK_BEHIND = 5.0, 305.0
"""Seconds. Flower admits signatures of this age, and from a clock that is so far ahead."""
ABSENCE_SECONDS = 3.0
"""Long enough for a coordinator to see that a site is not there."""
_AWAY = (502, 503, 504)
"""Answers of a proxy whose server is not there."""


def installed_app() -> str:
    """SHA-256 of the app (FAB) of the oncotrain that is installed here, or is in the zip of a submission."""
    app = {file.name: file.read_bytes() for file in (files("oncotrain.federation") / "app").iterdir()}
    return hashlib.sha256(build_fab_from_files(app)[0]).hexdigest()


@contextmanager
def joined(
    address: str,
    authority: Path,
    key: Path,
    apps: frozenset[str],
    patience: float = PATIENCE,
    place: Path | None = None,
) -> Iterator[Node]:
    """This site, online at the coordinator at `address` (``host:port``), until the context is left.

    Args:
        authority: Certificate of the authority that signed the coordinator's.
        key: The site's private key (OpenSSH, P-384), whose public half the coordinator has registered.
        patience: Seconds that a coordinator may be away, as for a restart.
        place: Where this site keeps the number of its node, and beside it the message that it is answering; with them,
            this client takes over from one with the same key that was killed, or that runs.

    Raises UserError in words if the coordinator does not admit the site.
    """
    private = load_private_key(key)
    public = private.public_key()
    retry = RetryInvoker(
        lambda: exponential(max_delay=10),
        (httpx.TransportError, httpx.HTTPStatusError),
        max_tries=None,
        max_time=patience,
        should_giveup=_is_final,
    )
    fleet = partial(
        FleetHttpClient.from_server_address,
        address,
        insecure=False,
        root_certificates=authority.read_bytes(),
        interceptors=[NodeAuthHttpInterceptor(private, public)],
    )
    # What keeps the connection up must not wait for a coordinator that has ended: nobody could leave.
    with _in_words(address, key, patience), fleet(retry_invoker=retry) as client, fleet() as impatient:
        activation = ActivateNodeRequest(
            public_key=public_key_to_bytes(public), heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL
        )
        proto = _activated(client, activation, place)
        heartbeat = HeartbeatSender(lambda: _beat(impatient, proto))
        heartbeat.start()
        try:
            yield Node(client, proto, apps, place.with_suffix(".taken") if place else None)
        finally:
            heartbeat.stop()
            with suppress(httpx.HTTPError):  # the coordinator has ended first
                impatient.DeactivateNode(DeactivateNodeRequest(node_id=proto.node_id))


def _activated(client: FleetHttpClient, activation: ActivateNodeRequest, place: Path | None) -> NodeProto:
    """This site's node, online, its number kept in the file `place`.

    A client that was killed is held for online for a minute: its place is given back by its number. Where it was killed
    before it could note the message that it took (`Node.taken`), the coordinator must see the site gone.
    """
    try:
        node = int(client.ActivateNode(activation).node_id)
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.PRECONDITION_FAILED or place is None or not place.exists():
            raise
        get_logger(stage="federate").info("taking over from a client with this key, which the coordinator has online")
        client.DeactivateNode(DeactivateNodeRequest(node_id=int(place.read_text(encoding="utf-8"))))
        time.sleep(ABSENCE_SECONDS)
        node = int(client.ActivateNode(activation).node_id)
    if place is not None:
        write_private(place, f"{node}\n".encode())
    return NodeProto(node_id=node)


def _beat(client: FleetHttpClient, proto: NodeProto) -> bool:
    """Whether the coordinator heard that this site is there; where it does not want to, the next message says why."""
    request = SendNodeHeartbeatRequest(node=proto, heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL)
    try:
        return bool(client.SendNodeHeartbeat(request).success)
    except httpx.HTTPError:
        return False


def _is_final(error: Exception) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code not in _AWAY
    return "certificate" in str(error).lower()


@contextmanager
def _in_words(address: str, key: Path, patience: float) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPStatusError as error:
        if error.response.status_code in _AWAY:
            raise UserError(f"the coordinator at {address} is gone: its gateway answers alone") from None
        raise UserError(f"the coordinator at {address} refused {_reason(error.response, key)}") from None
    except httpx.TransportError as error:
        raise UserError(f"the coordinator at {address} is gone: no answer for {patience:.0f} s ({error})") from None


def _reason(response: httpx.Response, key: Path) -> str:
    wrong = wrong_clock(response.headers)
    if wrong:
        return f"this machine: {wrong}"
    return (
        f"--key {key}: its public half must be registered there, not removed since, and no other client may use it "
        f"(HTTP {response.status_code})"
    )


def wrong_clock(headers: httpx.Headers) -> str:
    """What is wrong with this machine's clock, by the coordinator's in an answer's `headers`; empty if nothing is."""
    sent = headers.get("date")
    skew = (datetime.now(UTC) - parsedate_to_datetime(sent)).total_seconds() if sent else 0.0
    if -CLOCK_BEHIND < skew < CLOCK_AHEAD + 1:  # the header's seconds are whole ones
        return ""
    side = "ahead of" if skew > 0 else "behind"
    return f"its clock is {abs(skew) / 60:.1f} minutes {side} the coordinator's; set it (chrony, NTP)"


def require_coordinator(address: str, authority: Path) -> None:
    """Raise UserError in words if a TLS connection to the coordinator can't be made."""
    if not authority.is_file():
        raise UserError(f"--root-certificates {authority}: no such file; the coordinator hands it out")
    try:
        reach(address, authority)
    except ssl.SSLCertVerificationError as error:
        raise UserError(
            f"--superlink {address}: its certificate is not of the authority in {authority} ({error.verify_message})"
        ) from None
    except ValueError:
        raise UserError(f"--superlink {address}: must be HOST:PORT") from None
    except socket.gaierror:
        raise UserError(f"--superlink {address}: no such host") from None
    except OSError as error:
        raise UserError(
            f"--superlink {address}: no SuperLink answers there ({error.strerror or error}); "
            "is the coordinator running, and the port open?"
        ) from None
