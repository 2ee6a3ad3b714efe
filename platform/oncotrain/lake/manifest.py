"""The manifest of a published dataset: what was written, from what, by what, and how to read it."""

import hashlib
import json
from typing import Any, Literal

from oncotrain.config import Frozen, parse
from oncotrain.errors import DataError, UserError
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.names import version_number
from oncotrain.lake.schema import Column

MANIFEST = "_manifest.json"
Kind = Literal["tiles", "samples"]


class FileEntry(Frozen):
    """One Parquet file."""

    path: str
    """Relative to the dataset version's directory."""
    bytes: int
    rows: int
    row_groups: tuple[int, ...]
    """Rows of each row group, in storage order."""
    sha256: str


class Content(Frozen):
    """What makes a dataset this dataset, whenever and by whichever code version it was written."""

    format_version: Literal[1] = 1
    name: str
    kind: Kind
    rows: int
    files: tuple[FileEntry, ...]
    """In storage order, which numbers the dataset's rows from 0."""
    columns: tuple[Column, ...]
    features: dict[str, Any]
    """JSON: what the dataset offers; a task derives its contract from it."""
    inputs: dict[str, str]
    """Pseudonymous name of each input -> its SHA-256 (or the SHA-256 of a pooled site's dataset)."""


class Manifest(Content):
    """One immutable version of a dataset, `curated/<name>/<version>/_manifest.json`."""

    version: str
    code_version: str
    created: str
    """Day, YYYY-MM-DD (UTC)."""

    @property
    def sha256(self) -> str:
        """Hash of the content as canonical JSON: equal for equal data, whatever version, code or day."""
        content = self.model_dump(mode="json", include=set(Content.model_fields))
        return hashlib.sha256(canonical_json(content)).hexdigest()

    @property
    def bytes(self) -> int:
        """Size of all Parquet files."""
        return sum(file.bytes for file in self.files)


def canonical_json(value: Any) -> bytes:
    """`value` as JSON with sorted keys and no white space, so that equal values have equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def dataset_versions(lake: Lake, name: str) -> list[str]:
    """Published versions of a dataset, oldest first."""
    numbers = {version_number(entry): entry for entry in lake.list("curated", name)}
    return [numbers[number] for number in sorted(number for number in numbers if number is not None)]


def newest_manifest(lake: Lake, name: str) -> Manifest | None:
    """The manifest of the newest version, or None if nothing was published. Raises DataError if it is damaged."""
    versions = dataset_versions(lake, name)
    return read_manifest(lake, name, versions[-1]) if versions else None


def read_manifest(lake: Lake, name: str, version: str) -> Manifest:
    """The manifest of a published version. Raises DataError if it is missing or damaged."""
    path = lake.path("curated", name, version, MANIFEST)
    try:
        data = json.loads(lake.read_bytes("curated", name, version, MANIFEST))
    except FileNotFoundError:
        raise DataError(f"{path}: is missing") from None
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error})") from None
    if not isinstance(data, dict):
        raise DataError(f"{path}: must be an object, found {type(data).__name__}")
    try:
        manifest = parse(Manifest, data, path)
    except UserError as error:
        raise DataError(str(error)) from None
    if (manifest.name, manifest.version) != (name, version):
        raise DataError(f"{path}: belongs to {manifest.name}/{manifest.version}, not to {name}/{version}")
    if manifest.rows != sum(file.rows for file in manifest.files) or any(
        file.rows != sum(file.row_groups) for file in manifest.files
    ):
        raise DataError(f"{path}: its counts of rows contradict each other; it was edited after publication")
    return manifest
