"""What left and what entered, one line each: JSON lines, each of which holds the hash of the one before.

An edited, removed or moved line breaks the chain. A cut tail leaves a whole, shorter chain: it shows against the head
that the other side kept (`verify` returns the head).
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from oncotrain.errors import DataError
from oncotrain.lake.filesystem import Lake, exclusive
from oncotrain.lake.manifest import canonical_json
from oncotrain.lake.names import require_slug

GENESIS = "0" * 64
"""What the first line holds as the hash of the one before."""


def append(lake: Lake, site: str, event: Mapping[str, Any]) -> str:
    """Add `event` (JSON, no patient identifier) to `audit/<site>.jsonl`, stamped with the time. Returns its hash.

    Raises DataError if what is there is not JSON lines.
    """
    path = _path(lake, site)
    with exclusive(lake.fs, lake.path("audit", f".{site}.lock")):
        lines = read(lake, site)
        line = {
            "number": len(lines),
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "site": site,
            "event": dict(event),
            "previous": lines[-1]["sha256"] if lines else GENESIS,
        }
        line["sha256"] = _hash(line)
        with lake.fs.open(path, "ab" if lines else "wb") as file:
            file.write(canonical_json(line) + b"\n")
    return str(line["sha256"])


def read(lake: Lake, site: str) -> list[dict[str, Any]]:
    """All lines of a site, oldest first: number, time, site, event, previous, sha256. Raises DataError if not JSON."""
    path = _path(lake, site)
    lines = lake.fs.cat_file(path).splitlines() if lake.fs.exists(path) else []
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise DataError(f"{path}: is not JSON lines ({error})") from None


def verify(lake: Lake, site: str) -> str:
    """The chain's head (hash of its last line). Raises DataError naming the first line that breaks the chain."""
    previous = GENESIS
    for number, line in enumerate(read(lake, site)):
        content = {key: value for key, value in line.items() if key != "sha256"}
        intact = line.get("sha256") == _hash(content) and (line.get("previous"), line.get("number")) == (
            previous,
            number,
        )
        if not intact:
            raise DataError(f"{_path(lake, site)}: line {number + 1} was edited, moved, or follows a removed one")
        previous = line["sha256"]
    return previous


def _path(lake: Lake, site: str) -> str:
    return lake.path("audit", f"{require_slug('site', site)}.jsonl")


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(content)).hexdigest()
