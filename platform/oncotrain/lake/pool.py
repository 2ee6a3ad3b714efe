"""Pooling: copy a curated dataset of several sites into the centre's lake, checked, counted and written down.

The bytes that move are the price of centralized training. Parquet files are taken over only if their hash is the one in
the site's manifest; Petastorm's metadata, a pickle, is made anew from that manifest's columns and never copied.
"""

import hashlib
import reprlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from petastorm.unischema import Unischema, UnischemaField
from pyspark.sql import SparkSession

from oncotrain.errors import DataError, UserError
from oncotrain.lake.audit import append
from oncotrain.lake.dataset import Dataset, open_dataset
from oncotrain.lake.filesystem import Lake, write_atomic
from oncotrain.lake.layout import require_layout
from oncotrain.lake.manifest import FileEntry, Manifest, newest_manifest
from oncotrain.lake.packing import open_parquet, write_parquet
from oncotrain.lake.publish import describe_file, publish_dataset, write_summary
from oncotrain.lake.schema import decode_value
from oncotrain.lake.staging import staging
from oncotrain.lake.writer import file_name, petastorm_metadata
from oncotrain.spark import run_tasks


class _Copy(NamedTuple):
    """One file to take over."""

    source: Lake
    path: str
    sha256: str
    target: str
    drugs: np.ndarray | None
    """Where the pool's list of drugs differs from the site's: the pool's index of each of the site's."""


def pool(spark: SparkSession, sources: Sequence[Lake], target: Lake, name: str) -> dict[str, Any]:
    """Publish in `target` the union of the newest versions of dataset `name` in `sources`, site after site.

    What leaves is noted in the audit of each site before it is read, what arrived in the target's audit. A pool of the
    same versions that is there already is left as it is, and nothing moves (`unchanged` in the summary). Returns the
    job's summary, with the bytes that pooling takes from each site.

    Raises UserError naming the key if the sites' features differ (drugs may: the pool gets their union), or two lakes
    are of one site; DataError if a file is not what its manifest says.
    """
    require_layout(target)
    datasets = _by_site([open_dataset(source, name) for source in sources])
    manifests = {site: dataset.manifest for site, dataset in datasets.items()}
    features = merge_features({site: manifest.features for site, manifest in manifests.items()})
    _require_equal_columns(manifests)
    inputs = {site: manifest.sha256 for site, manifest in manifests.items()}

    newest = newest_manifest(target, name)
    if newest is not None and (newest.inputs, newest.features) == (inputs, features):
        return _summary(newest, manifests, unchanged=True)

    first = next(iter(datasets.values()))
    for site, dataset in datasets.items():
        append(dataset.lake, site, {"action": "pool", "to": target.uri, **_moved(dataset.manifest)})
    with staging(target) as staged:
        with petastorm_metadata(spark, target, staged, first.schema):
            files = _copy_all(spark, target, _copies(datasets, staged, features), first.schema)
        pooled, new = publish_dataset(
            target,
            staged,
            name,
            files=files,
            kind=first.manifest.kind,
            schema=first.schema,
            features=features,
            inputs=inputs,
        )
    for site, dataset in datasets.items():
        append(target, site, {"action": "pooled", "from": dataset.lake.uri, **_moved(dataset.manifest)})
    summary = _summary(pooled, manifests, unchanged=not new)
    write_summary(target, name, summary)
    return summary


def merge_features(features: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The features of the union of the sites: equal in all, but for `drugs`, whose sorted union is taken.

    Raises UserError naming the first key that differs, and two sites that differ in it.
    """
    (first, expected), *others = features.items()
    for site, found in others:
        for key in sorted((expected.keys() | found.keys()) - {"drugs"}):
            if expected.get(key) != found.get(key):
                values = f"{reprlib.repr(expected.get(key))} at {first}, {reprlib.repr(found.get(key))} at {site}"
                raise UserError(f"feature {key!r} differs: {values}; ingest both with the same configuration")
    merged = dict(expected)
    if "drugs" in merged:
        merged["drugs"] = sorted({drug for found in features.values() for drug in found["drugs"]})
    return merged


def _by_site(datasets: Sequence[Dataset]) -> dict[str, Dataset]:
    """Datasets by the one site each holds, sorted."""
    result: dict[str, Dataset] = {}
    for dataset in datasets:
        sites = sorted(dataset.index(["site"])["site"].unique())
        if len(sites) != 1:
            raise UserError(f"{dataset.uri}: holds sites {', '.join(sites)}; pool from each site's own lake")
        if sites[0] in result:
            raise UserError(f"{dataset.uri}: site {sites[0]} is in {result[sites[0]].uri} too")
        result[sites[0]] = dataset
    return dict(sorted(result.items()))


def _require_equal_columns(manifests: Mapping[str, Manifest]) -> None:
    (first, expected), *others = manifests.items()
    for site, found in others:
        for one, other in zip(expected.columns, found.columns, strict=False):
            if one != other:
                raise UserError(f"column {one.name!r} differs: {one} at {first}, {other} at {site}")
        if len(expected.columns) != len(found.columns):
            raise UserError(f"{first} has {len(expected.columns)} columns, {site} has {len(found.columns)}")


def _copies(datasets: Mapping[str, Dataset], staged: str, features: Mapping[str, Any]) -> list[_Copy]:
    copies: list[_Copy] = []
    for dataset in datasets.values():
        drugs = _renumbering(dataset.manifest.features, features)
        for file in dataset.manifest.files:
            target = f"{staged}/{file_name(len(copies))}"
            copies.append(_Copy(dataset.lake, dataset.path(file), file.sha256, target, drugs))
    return copies


def _renumbering(own: Mapping[str, Any], pooled: Mapping[str, Any]) -> np.ndarray | None:
    if own.get("drugs") == pooled.get("drugs"):
        return None
    positions = {drug: position for position, drug in enumerate(pooled["drugs"])}
    return np.array([positions[drug] for drug in own["drugs"]], np.int32)


def _copy_all(spark: SparkSession, target: Lake, copies: Sequence[_Copy], schema: Unischema) -> list[FileEntry]:
    def copy(one: _Copy) -> FileEntry:
        data = one.source.fs.cat_file(one.path)
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 != one.sha256:
            raise DataError(f"{one.path}: its SHA-256 is {sha256}, the manifest says {one.sha256}; nothing was pooled")
        if one.drugs is None:
            write_atomic(target.fs, one.target, data)
        else:
            _write_with_drugs(target, one.target, data, schema, one.drugs)
        return describe_file(target, one.target, schema)

    return run_tasks(spark, copies, copy)


def _write_with_drugs(target: Lake, path: str, data: bytes, schema: Unischema, drugs: np.ndarray) -> None:
    """Write the file `data`, its `drug` column renumbered from the site's list of drugs to the pool's."""
    field = schema.fields["drug"]
    parquet = open_parquet(BytesIO(data))
    position = parquet.schema_arrow.get_field_index("drug")
    tables = (parquet.read_row_group(group, use_threads=False) for group in range(parquet.num_row_groups))
    renumbered = (
        table.set_column(position, table.schema.field(position), _renumber(field, table["drug"], drugs))
        for table in tables
    )
    write_parquet(target.fs, path, schema, renumbered)


def _renumber(field: UnischemaField, column: pa.ChunkedArray, drugs: np.ndarray) -> pa.Array:
    indices = (decode_value(field, value) for value in column.to_pylist())
    return pa.array([bytes(field.codec.encode(field, drugs[own])) for own in indices], pa.binary())


def _moved(manifest: Manifest) -> dict[str, Any]:
    return {
        "dataset": manifest.name,
        "version": manifest.version,
        "sha256": manifest.sha256,
        "rows": manifest.rows,
        "bytes": manifest.bytes,
    }


def _summary(pooled: Manifest, sites: Mapping[str, Manifest], *, unchanged: bool) -> dict[str, Any]:
    return {
        "dataset": pooled.name,
        "version": pooled.version,
        "unchanged": unchanged,
        "sha256": pooled.sha256,
        "rows": pooled.rows,
        "bytes": {site: manifest.bytes for site, manifest in sites.items()},
    }
