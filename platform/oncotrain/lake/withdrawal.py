"""A withdrawn consent: datasets go on without the patient, and what held the patient is removed.

Deleted are whole versions, in HDFS without the trash, with what the trash and snapshots still hold of them. A tombstone
stays in the place of each. Models that learned from a version cannot forget it: the runs are named.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import SparkSession

from oncotrain.config import Frozen, parse
from oncotrain.errors import DataError
from oncotrain.lake.audit import append
from oncotrain.lake.dataset import Dataset, open_dataset
from oncotrain.lake.filesystem import Lake, exclusive
from oncotrain.lake.manifest import Manifest, dataset_versions
from oncotrain.lake.packing import open_parquet, write_parquet
from oncotrain.lake.snapshots import purge_copies
from oncotrain.lake.staging import staging
from oncotrain.lake.writer import file_name, write_dataset
from oncotrain.spark import run_tasks

WITHDRAWN = "is of a patient who has withdrawn consent"
"""Why an ingest refuses what is of one of `withdrawn`."""
_LIST = ("landing", "withdrawn.json")
_STONE = ".purged.json"


class Tombstone(Frozen):
    """`curated/<dataset>/<version>.purged.json`: what stood here, and why it is gone."""

    dataset: str
    version: str
    sha256: str
    rows: int
    patient: str
    """Pseudonym of who withdrew."""
    purged: str
    """Day, YYYY-MM-DD (UTC)."""
    replaced_by: str | None
    """The version without the patient; None where an earlier one was replaced already, or nobody else was in it."""


def withdrawn(lake: Lake) -> frozenset[str]:
    """Pseudonyms of patients whose rows no ingest of this site may take."""
    return frozenset(json.loads(lake.read_bytes(*_LIST))) if lake.exists(*_LIST) else frozenset()


def withdraw(spark: SparkSession, lake: Lake, site: str, patient: str, pooled: Sequence[Lake] = ()) -> dict[str, Any]:
    """Remove the patient of that pseudonym from every dataset of `lake`, and of the `pooled` lakes that copied them.

    Begun again after a crash, it goes on. Returns, by lake, the tombstones as `purged`, and the `runs` and `splits`
    that used a purged version. Raises DataError if no dataset holds or held the patient.
    """
    with exclusive(lake.fs, lake.path("landing", "withdrawn.lock")):
        lake.write_atomic(json.dumps(sorted(withdrawn(lake) | {patient})).encode(), *_LIST)
    report: dict[str, Any] = {"patient": patient, "purged": {}, "runs": {}, "splits": {}}
    replaced: dict[str, str] = {}
    for one in (lake, *pooled):
        for name in one.list("curated"):
            replaced |= _purge(spark, one, name, patient, replaced)
        tombstones = [stone for name in one.list("curated") for stone in _tombstones(one, name, patient)]
        for stone in tombstones:
            purge_copies(one, one.path("curated", stone.dataset, stone.version))
        needles = {patient, *(stone.sha256 for stone in tombstones)}
        report["purged"][one.uri] = [stone.model_dump(exclude={"patient"}) for stone in tombstones]
        report["runs"][one.uri] = _users(one, "runs", needles)
        report["splits"][one.uri] = _users(one, "splits", needles)
    if not any(report["purged"].values()):
        raise DataError(f"{lake.uri}: no dataset holds this patient; no ingest will take the patient's rows either")
    for one in (lake, *pooled):
        append(one, site, {"action": "withdraw", **report})
    return report


def withdraw_late(
    spark: SparkSession, lake: Lake, site: str, before: frozenset[str], patients: Collection[str]
) -> bool:
    """Withdraw again who of `patients` did so since `before` was read; whether there was anyone.

    For an ingest that has published their rows: a withdrawal from then on finds the version, an earlier one did not.
    """
    late = (withdrawn(lake) - before) & frozenset(patients)
    for patient in sorted(late):
        withdraw(spark, lake, site, patient)
    return bool(late)


def _purge(spark: SparkSession, lake: Lake, name: str, patient: str, replaced: Mapping[str, str]) -> dict[str, str]:
    """Remove the versions that hold the patient. Returns hash of a removed version -> hash of the one instead."""
    versions = dataset_versions(lake, name)
    holding = [held for version in versions if _holds(held := open_dataset(lake, name, version), patient)]
    new = None
    if holding and holding[-1].manifest.version == versions[-1]:
        new = _publish_without(spark, holding[-1], patient, replaced)
    for dataset in holding:
        _forget_slides(dataset, patient)
        manifest = dataset.manifest
        stone = Tombstone(
            dataset=name,
            version=manifest.version,
            sha256=manifest.sha256,
            rows=manifest.rows,
            patient=patient,
            purged=datetime.now(UTC).date().isoformat(),
            replaced_by=new.version if new else None,
        )
        lake.write_atomic(stone.model_dump_json(indent=1).encode(), "curated", name, f"{manifest.version}{_STONE}")
        lake.fs.rm(lake.path("curated", name, manifest.version), recursive=True)
    return {dataset.manifest.sha256: new.sha256 for dataset in holding} if new else {}


def _tombstones(lake: Lake, name: str, patient: str) -> list[Tombstone]:
    files = [file for file in lake.list("curated", name) if file.endswith(_STONE)]
    stones = [
        parse(Tombstone, json.loads(lake.read_bytes("curated", name, file)), lake.path("curated", name, file))
        for file in files
    ]
    return [stone for stone in stones if stone.patient == patient]


def _holds(dataset: Dataset, patient: str) -> bool:
    return bool((dataset.index(["patient"])["patient"] == patient).any())


def _publish_without(
    spark: SparkSession, dataset: Dataset, patient: str, replaced: Mapping[str, str]
) -> Manifest | None:
    lake, manifest = dataset.lake, dataset.manifest
    index = dataset.index([column for column in ("patient", "slide") if column in dataset.schema.fields])
    if (index["patient"] == patient).all():
        return None
    slides = set(index.loc[index["patient"] == patient].get("slide", ()))
    inputs = {
        key: replaced.get(sha256, sha256) for key, sha256 in manifest.inputs.items() if key.split("/")[0] not in slides
    }
    with staging(lake) as folder:

        def keep(task: tuple[int, str]) -> tuple[str, int]:
            number, path = task
            target, rows = f"{folder}/{file_name(number)}", 0
            with lake.fs.open(path, "rb") as file:
                parquet = open_parquet(file)
                tables = []
                for group in range(parquet.num_row_groups):
                    table = parquet.read_row_group(group, use_threads=False)
                    others = [owner != patient for owner in table["patient"].to_pylist()]
                    if any(others):
                        tables.append(table.filter(others))
                        rows += tables[-1].num_rows
            if rows:
                write_parquet(lake.fs, target, dataset.schema, tables)
            return target, rows

        tasks = list(enumerate(dataset.path(file) for file in manifest.files))
        parts = [target for target, rows in run_tasks(spark, tasks, keep) if rows]
        return write_dataset(
            spark,
            lake,
            manifest.name,
            kind=manifest.kind,
            schema=dataset.schema,
            parts=parts,
            features=manifest.features,
            inputs=inputs,
        ).manifest


def _users(lake: Lake, zone: str, needles: set[str]) -> list[str]:
    """Names in `zone` whose JSON speaks of one of `needles`: hashes of datasets, the patient's pseudonym."""
    sought = [needle.encode() for needle in needles]
    found = []
    for name in lake.list(zone):
        files = [file for file in lake.list(zone, name) if file.endswith(".json")]
        if any(needle in lake.read_bytes(zone, name, file) for file in files for needle in sought):
            found.append(name)
    return found


def _forget_slides(dataset: Dataset, patient: str) -> None:
    """Remove what ingest keeps of the patient's slides between two jobs; parts of others are made anew if needed."""
    lake = dataset.lake
    if "slide" not in dataset.schema.fields:
        return
    index = dataset.index(["patient", "slide"])
    slides = set(index.loc[index["patient"] == patient, "slide"])
    of_the_patient = [
        lake.path("landing", "slides", name, file)
        for name in lake.list("landing", "slides")
        for file in lake.list("landing", "slides", name)
        if file.split("-")[0] in slides
    ]
    for path in (*of_the_patient, lake.path("landing", "_work")):
        if lake.fs.exists(path):
            lake.fs.rm(path, recursive=True)
            purge_copies(lake, path)
