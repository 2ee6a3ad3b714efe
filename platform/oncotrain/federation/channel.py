"""How a site's client app, a new process for each message, reaches the site's one long-lived worker.

A Unix socket in a directory that only the site's user may enter, and a random key that both ends prove they know.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Listener
from pathlib import Path

from oncotrain.federation.private_file import write_private


@dataclass(frozen=True)
class Channel:
    """Where a worker listens; both are paths that a client app is told."""

    socket: Path
    key: Path


def open_channel(folder: Path) -> tuple[Channel, Listener]:
    """Start to listen in `folder`, which must be private to its owner."""
    channel = Channel(folder / "worker.sock", folder / "worker.key")
    key = secrets.token_bytes(32)
    write_private(channel.key, key)
    return channel, Listener(str(channel.socket), family="AF_UNIX", authkey=key)


def ask(channel: Channel, request: bytes) -> bytes:
    """The worker's reply. Raises OSError, EOFError or AuthenticationError if there is none."""
    with Client(str(channel.socket), family="AF_UNIX", authkey=channel.key.read_bytes()) as connection:
        connection.send_bytes(request)
        return connection.recv_bytes()


def answer_one(listener: Listener, answer: Callable[[bytes], bytes]) -> None:
    """Wait for one request and answer it; a client that lacks the key, or goes away half-way, is forgotten."""
    try:
        with listener.accept() as connection:
            connection.send_bytes(answer(connection.recv_bytes()))
    except (AuthenticationError, EOFError, ConnectionError):
        return
