"""The way to a coordinator, one step at a time, so that the first that fails says what is in the way."""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
from cryptography import x509

from oncotrain.doctor.attempt import attempt
from oncotrain.doctor.probe import Probe
from oncotrain.errors import UserError
from oncotrain.federation.wire.connection import wrong_clock

_SECONDS = 10
_SOON_DAYS = 30


def check_port(address: str, authority: Path) -> Iterator[Probe]:
    """Name, connection, certificate, its end, and clock; ends after the first step that fails."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")

    def resolve() -> str:
        return str(socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][4][0])

    def connect() -> str:
        with socket.create_connection((host, int(port)), timeout=_SECONDS):
            return address

    def clock() -> str:
        answer = httpx.get(f"https://{address}/", verify=_trusting(authority), timeout=_SECONDS)
        if wrong := wrong_clock(answer.headers):
            raise UserError(wrong)
        return "agrees"

    named = attempt("name", resolve, f"{host!r} has no address here: ask who runs the name server, or correct the YAML")
    yield named
    if not named.ok:
        return
    connected = attempt("connection", connect, "is the coordinator running, and is this port open on the way out?")
    yield connected
    if not connected.ok:
        return
    certificate = _certificate(host, int(port), authority)
    yield from certificate
    if all(probe.ok or probe.optional for probe in certificate):
        yield attempt("clock", clock)


def _certificate(host: str, port: int, authority: Path) -> list[Probe]:
    """Whether the server's certificate is of the authority, and for how long it holds."""
    if not authority.is_file():
        return [Probe("certificate", "", ok=False, remedy=f"{authority}: no such file; the coordinator hands it out")]
    try:
        with (
            socket.create_connection((host, port), timeout=_SECONDS) as connection,
            _trusting(authority).wrap_socket(connection, server_hostname=host) as secured,
        ):
            der, version = secured.getpeercert(binary_form=True), secured.version()
    except ssl.SSLCertVerificationError as error:
        remedy = f"not of the authority in {authority}, or not valid ({error.verify_message}); {_renew(error)}"
        return [Probe("certificate", "", ok=False, remedy=remedy)]
    except (OSError, ValueError) as error:
        remedy = f"no TLS there: {error}; is this the coordinator's port, and does a proxy look into the connection?"
        return [Probe("certificate", "", ok=False, remedy=remedy)]
    left = (x509.load_der_x509_certificate(der or b"").not_valid_after_utc - datetime.now(UTC)).days
    return [
        Probe("certificate", f"{version}, of our authority", ok=True),
        Probe(
            "expiry",
            f"in {left} days",
            ok=left >= _SOON_DAYS,
            remedy="the coordinator types: oncotrain coordinator renew, and starts again",
            optional=True,
        ),
    ]


def _renew(error: ssl.SSLCertVerificationError) -> str:
    if "expired" in error.verify_message:
        return "the coordinator types: oncotrain coordinator renew, and starts again"
    return "compare its fingerprint with the coordinator by phone; a proxy that looks into connections does this, too"


def _trusting(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority))
