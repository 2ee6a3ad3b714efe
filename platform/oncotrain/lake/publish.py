"""Atomic publication: written to `_staging/<uuid>`, verified, renamed to the next version without overwriting.

A crash leaves no half dataset. Of two publishers at once each gets a version of its own, whole.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from petastorm.unischema import Unischema

from oncotrain import __version__
from oncotrain.errors import DataError
from oncotrain.lake.filesystem import Lake, rename_new, write_atomic
from oncotrain.lake.manifest import MANIFEST, FileEntry, Kind, Manifest, newest_manifest
from oncotrain.lake.names import next_version, require_slug
from oncotrain.lake.packing import read_footer, require_schema
from oncotrain.lake.schema import columns_of

_CHUNK = 8 << 20


class Published(NamedTuple):
    """A published version, and whether it was this call that published it: another may have been first."""

    manifest: Manifest
    new: bool


def publish_dataset(
    lake: Lake,
    staged: str,
    name: str,
    *,
    files: Sequence[FileEntry],
    kind: Kind,
    schema: Unischema,
    features: Mapping[str, Any],
    inputs: Mapping[str, str],
) -> Published:
    """Publish `files`, which lie in `staged` and have the columns of `schema`, as the next version of `name`.

    If the newest version holds the same content, that version is returned and nothing is published. Raises DataError if
    a file is not there, or there are no rows.
    """
    require_slug("dataset", name)
    rows = sum(file.rows for file in files)
    if rows == 0:
        raise DataError(f"{name}: nothing was accepted, so there are no rows to publish")
    for file in files:
        _require_file(lake, f"{staged}/{file.path}", file.bytes)
    lake.fs.makedirs(lake.path("curated", name), exist_ok=True)
    while True:
        newest = newest_manifest(lake, name)
        manifest = Manifest(
            name=name,
            kind=kind,
            rows=rows,
            files=tuple(files),
            columns=columns_of(schema),
            features=dict(features),
            inputs=dict(inputs),
            version=next_version(newest.version if newest else None),
            code_version=__version__,
            created=datetime.now(UTC).date().isoformat(),
        )
        if newest is not None and newest.sha256 == manifest.sha256:
            return Published(newest, new=False)
        write_atomic(lake.fs, f"{staged}/{MANIFEST}", manifest.model_dump_json(indent=1).encode())
        try:
            rename_new(lake.fs, staged, lake.path("curated", name, manifest.version))
        except FileExistsError:
            continue  # another publisher took this version: look again
        return Published(manifest, new=True)


def write_summary(lake: Lake, name: str, summary: Mapping[str, Any]) -> None:
    """Keep a job's summary as `curated/<name>/summary.json`: beside the versions, which never change."""
    lake.write_atomic(json.dumps(summary, indent=1).encode(), "curated", name, "summary.json")


def hash_file(lake: Lake, path: str) -> str:
    """SHA-256 of the file at `path` inside the lake's filesystem."""
    digest = hashlib.sha256()
    with lake.fs.open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def describe_file(lake: Lake, path: str, schema: Unischema) -> FileEntry:
    """What a manifest says of the file at `path`, which is read back: its footer for rows, its bytes for the hash.

    Raises DataError if it is no whole Parquet file, or its columns are not those of `schema`.
    """
    footer = read_footer(lake.fs, path)
    require_schema(path, footer, schema)
    return FileEntry(
        path=path.rsplit("/", 1)[-1],
        bytes=int(lake.fs.size(path)),
        rows=footer.num_rows,
        row_groups=tuple(footer.row_group(group).num_rows for group in range(footer.num_row_groups)),
        sha256=hash_file(lake, path),
    )


def _require_file(lake: Lake, path: str, size: int) -> None:
    if not lake.fs.exists(path) or lake.fs.size(path) != size:
        raise DataError(f"{path}: is missing, or is not what was written there")
