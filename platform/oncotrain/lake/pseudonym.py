"""Keyed pseudonyms: an identifier leaves `landing` only as an HMAC under a key that never leaves the site.

Without the key a pseudonym cannot be recomputed from a guessed identifier (HMAC-SHA256, RFC 2104); with it, the same
patient has the same pseudonym in every dataset of the site, slides and expression alike.
"""

import csv
import hashlib
import hmac
import io
import secrets
from pathlib import Path

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from oncotrain.errors import DataError
from oncotrain.lake.filesystem import Lake, exclusive, set_access

KEY_BYTES = 32
PSEUDONYM_BYTES = 16


def site_key(lake: Lake) -> bytes:
    """The site's secret, 32 bytes in ``landing/pseudonym.key`` (mode 0600), drawn on first use.

    Two jobs that start together get the same key. Raises DataError if the file was cut short.
    """
    path = lake.path("landing", "pseudonym.key")
    if not lake.fs.exists(path):
        _create_private(lake.fs, path, secrets.token_bytes(KEY_BYTES))
    key: bytes = lake.fs.cat_file(path)
    if len(key) != KEY_BYTES:
        raise DataError(f"{path}: holds {len(key)} bytes; a pseudonym key has {KEY_BYTES}")
    return key


def pseudonymize(key: bytes, kind: str, identifier: str) -> str:
    """The pseudonym of `identifier`, 32 hexadecimal digits; `kind` ('patient', 'sample', 'slide') keeps ids apart."""
    digest = hmac.digest(key, f"{kind}\0{identifier}".encode(), hashlib.sha256)
    return digest[:PSEUDONYM_BYTES].hex()


class Pseudonyms:
    """Pseudonyms of one site, remembered, so that the site and nobody else can go back to a patient."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._key = site_key(lake)
        self._made: set[tuple[str, str, str]] = set()

    def make(self, kind: str, identifier: str) -> str:
        """`pseudonymize` with the site's key."""
        pseudonym = pseudonymize(self._key, kind, identifier)
        self._made.add((kind, pseudonym, identifier))
        return pseudonym

    def save(self) -> None:
        """Add what was made to ``landing/pseudonyms.csv`` (kind, pseudonym, identifier)."""
        place = ("landing", "pseudonyms.csv")
        with exclusive(self._lake.fs, self._lake.path("landing", "pseudonyms.lock")):
            known = self._lake.read_text(*place).splitlines() if self._lake.exists(*place) else []
            made = self._made | {(kind, pseudonym, identifier) for kind, pseudonym, identifier in csv.reader(known[1:])}
            buffer = io.StringIO()
            csv.writer(buffer, lineterminator="\n").writerows([("kind", "pseudonym", "identifier"), *sorted(made)])
            self._lake.write_atomic(buffer.getvalue().encode(), *place)


def _create_private(fs: AbstractFileSystem, path: str, data: bytes) -> None:
    """Write `path` with mode 0600, whole or not at all; a file that is already there stays as it is."""
    partial = f"{path}.{secrets.token_hex(8)}"
    with fs.open(partial, "wb") as stream:
        set_access(fs, partial, 0o600, owner=None, group=None)
        stream.write(data)
    try:
        if isinstance(fs, LocalFileSystem):
            Path(path).hardlink_to(partial)
        else:
            fs.mv(partial, path)
    except FileExistsError:
        pass
    finally:
        if fs.exists(partial):
            fs.rm_file(partial)
