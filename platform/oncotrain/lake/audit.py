"""What left and what entered, one line each: JSON lines, each of which holds the hash of the one before.

An edited, removed or moved line breaks the chain. A cut tail, or a chain written anew from some line on, is whole in
itself: it shows against the heads that the other side kept (`oncotrain.federation.audit.counterpart`).
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import fsspec

from oncotrain.errors import DataError
from oncotrain.lake.filesystem import Lake, exclusive
from oncotrain.lake.manifest import canonical_json
from oncotrain.lake.names import require_slug

GENESIS = "0" * 64
"""What the first line holds as the hash of the one before."""
_TAIL = 1 << 13
"""Bytes that are looked through for the last line, at first."""


class Head(NamedTuple):
    """Where a chain ends, or ended once."""

    number: int
    """Of the last line; the first has 0."""
    sha256: str
    """Its hash."""


def append(lake: Lake, site: str, event: Mapping[str, Any]) -> Head:
    """Add `event` (JSON, no patient identifier) to `audit/<site>.jsonl`, stamped with the time. Returns the new head.

    Only the last line is read, however long the chain. Raises DataError if it is not a whole line of a chain.
    """
    path = chain_path(lake, site)
    with exclusive(lake.fs, lake.path("audit", f".{site}.lock")):
        there = lake.fs.exists(path)
        last = _last_line(lake.fs, path) if there else None
        before: Mapping[str, Any] = {"number": -1, "sha256": GENESIS}
        if last is not None:
            before = _parse(last, path, "its last line")
            if not _is_intact(last, before):
                raise DataError(f"{path}: its last line was edited; nothing is appended to a broken chain")
        number = before["number"] + 1
        line = {
            "number": number,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "site": site,
            "event": dict(event),
            "previous": before["sha256"],
        }
        sha256 = _hash(line)
        with lake.fs.open(path, "ab" if there else "wb") as file:
            file.write(canonical_json({**line, "sha256": sha256}) + b"\n")
    return Head(number, sha256)


def read(lake: Lake, site: str) -> list[dict[str, Any]]:
    """All lines of a site, oldest first: number, time, site, event, previous, sha256. Raises DataError if not JSON."""
    path = chain_path(lake, site)
    return [_parse(text, path, f"line {number}") for number, text in enumerate(_lines(lake, path), start=1)]


def verify(lake: Lake, site: str) -> str:
    """The hash of the chain's last line, or GENESIS. Raises DataError naming the first line that breaks the chain."""
    path, previous = chain_path(lake, site), GENESIS
    for number, text in enumerate(_lines(lake, path)):
        line = _parse(text, path, f"line {number + 1}")
        follows = (line.get("previous"), line.get("number"), line.get("site")) == (previous, number, site)
        if not (follows and _is_intact(text, line)):
            raise DataError(f"{path}: line {number + 1} was edited, moved, or follows a removed one")
        previous = line["sha256"]
    return previous


def chain_path(lake: Lake, site: str) -> str:
    """Where the chain of `site` lies inside the lake's filesystem. Raises UserError if `site` is no slug."""
    return lake.path("audit", f"{require_slug('site', site)}.jsonl")


def _lines(lake: Lake, path: str) -> list[bytes]:
    *lines, rest = lake.fs.cat_file(path).split(b"\n") if lake.fs.exists(path) else [b""]
    if rest:
        raise _torn(path)
    return lines


def _last_line(fs: fsspec.AbstractFileSystem, path: str) -> bytes | None:
    """The last line, without its end; None of an empty file."""
    size, length = fs.size(path), _TAIL
    while size:
        tail: bytes = fs.cat_file(path, start=max(0, size - length), end=size)
        if not tail.endswith(b"\n"):
            raise _torn(path)
        begins = tail.rfind(b"\n", 0, -1) + 1
        if begins or length >= size:
            return tail[begins:-1]
        length *= 4
    return None


def _torn(path: str) -> DataError:
    return DataError(f"{path}: is not JSON lines (its last line is cut short)")


def _parse(text: bytes, path: str, where: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: is not JSON lines ({where}: {error})") from None
    if not isinstance(line, dict):
        raise DataError(f"{path}: is not JSON lines ({where} holds no object)")
    return line


def _is_intact(text: bytes, line: Mapping[str, Any]) -> bool:
    """Whether a line has the hash that it says, and the very bytes: a second "rows" in it would be read by people."""
    content = {key: value for key, value in line.items() if key != "sha256"}
    try:
        hashed = line.get("sha256") == _hash(content) and text == canonical_json(line)
    except ValueError:  # NaN, or half of a surrogate pair: never written by `append`
        return False
    return hashed and isinstance(line.get("number"), int)


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(content)).hexdigest()
