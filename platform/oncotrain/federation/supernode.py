"""Flower's client as a child process of the site's job: dials out to the coordinator, listens on loopback alone."""

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oncotrain.errors import UserError
from oncotrain.federation.channel import Channel
from oncotrain.federation.flower import environment, executable
from oncotrain.federation.process import running
from oncotrain.federation.superlink import free_ports, reach

MAX_RETRIES = 10
LOG = "supernode.log"


@contextmanager
def supernode(
    work: Path, *, site: str, address: str, authority: Path, key: Path, channel: Channel
) -> Iterator[subprocess.Popen[bytes]]:
    """A SuperNode that hands messages to the worker behind `channel`, for as long as the context lasts.

    `address` is the coordinator's ``host:port``. Raises UserError if nobody answers there, or not the coordinator
    whose `authority` the site was given.
    """
    require_coordinator(address, authority)
    home = work / "supernode"
    home.mkdir(mode=0o700, exist_ok=True)
    told = {"site": site, "socket": str(channel.socket), "key": str(channel.key)}
    command = [
        executable("flower-supernode"),
        *("--superlink", address, "--root-certificates", str(authority), "--auth-supernode-private-key", str(key)),
        *("--host", "127.0.0.1", "--port", str(free_ports(1)[0]), "--max-retries", str(MAX_RETRIES)),
        *("--node-config", " ".join(f"{name}={json.dumps(value)}" for name, value in told.items())),
    ]
    with running(command, environment=environment(home), log=work / LOG) as process:
        yield process


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
