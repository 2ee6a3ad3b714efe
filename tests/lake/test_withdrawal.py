"""After a withdrawal the patient is in no dataset, at the site or in the pool, and all others are as they were."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from lake.conftest import Pooled
from oncotrain.config.split import RandomRule
from oncotrain.errors import DataError
from oncotrain.lake.audit import read, verify
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.pool import pool
from oncotrain.lake.split import make_split, save_split
from oncotrain.lake.withdrawal import withdraw, withdrawn

SITE = "uz-leuven"


def rows_of(lake: Lake, name: str) -> list[str]:
    dataset = open_dataset(lake, name)
    columns = list(dataset.schema.fields)
    return [repr(sorted(row.items())) for row in dataset.iterate(columns)]


def test_the_patient_is_gone_everywhere_and_nobody_else(
    spark: SparkSession, pooled: Pooled, copy_of: Callable[[Lake], Lake]
) -> None:
    site, centre = copy_of(pooled.sites[SITE]), copy_of(pooled.centre)
    before = open_dataset(site, "tiles")
    patient = str(before.index(["patient"])["patient"].iloc[4])
    save_split(site, make_split(before, RandomRule(seed=0, validation=0.2, test=0.2), "s"))
    used = {"dataset_sha256": open_dataset(centre, "tiles").manifest.sha256}
    centre.write_atomic(json.dumps(used).encode(), "runs", "run-a", "summary.json")
    centre.write_atomic(b'{"dataset_sha256": "0"}', "runs", "run-b", "summary.json")
    kept = {
        (lake, name): [row for row in rows_of(lake, name) if patient not in row]
        for lake in (site, centre)
        for name in lake.list("curated")
    }

    report = withdraw(spark, site, SITE, patient, [centre])
    assert withdrawn(site) == {patient}
    for (lake, name), rows in kept.items():
        assert rows_of(lake, name) == rows
    touched = {(stone["dataset"], stone["version"], stone["replaced_by"]) for stone in report["purged"][site.uri]}
    assert ("tiles", "v0001", "v0002") in touched
    assert report["runs"] == {site.uri: [], centre.uri: ["run-a"]}
    assert report["splits"][site.uri] == ["s"]
    for lake in (site, centre):
        assert not lake.exists("curated", "tiles", "v0001")
        assert lake.exists("curated", "tiles", "v0001.purged.json")
        assert read(lake, SITE)[-1]["event"]["action"] == "withdraw"
        verify(lake, SITE)
        files = [path for path in Path(lake.path("curated")).rglob("*.parquet") if path.is_file()]
        assert files
        assert not any(patient.encode() in path.read_bytes() for path in files)

    assert withdraw(spark, site, SITE, patient, [centre])["purged"] == report["purged"]
    sources = [site, *(lake for name, lake in pooled.sites.items() if name != SITE)]
    assert pool(spark, sources, centre, "tiles")["unchanged"]


def test_a_crash_between_publishing_and_purging_is_made_good(
    spark: SparkSession, pooled: Pooled, copy_of: Callable[[Lake], Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = copy_of(pooled.sites[SITE])
    patient = str(open_dataset(site, "tiles").index(["patient"])["patient"].iloc[0])

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("oncotrain.lake.withdrawal._forget_slides", crash)
        with pytest.raises(KeyboardInterrupt):
            withdraw(spark, site, SITE, patient)
    assert site.exists("curated", "tiles", "v0001")
    report = withdraw(spark, site, SITE, patient)
    assert not site.exists("curated", "tiles", "v0001")
    assert "v0001" in {stone["version"] for stone in report["purged"][site.uri]}
    assert patient not in set(open_dataset(site, "tiles").index(["patient"])["patient"])


def test_the_only_patient_leaves_no_dataset(spark: SparkSession, lake: Lake) -> None:
    from support.datasets import write_tiles

    write_tiles(spark, lake, SITE, patients=1)
    patient = str(open_dataset(lake, "tiles").index(["patient"])["patient"].iloc[0])
    report = withdraw(spark, lake, SITE, patient)
    assert [stone["replaced_by"] for stone in report["purged"][lake.uri]] == [None]
    assert not [name for name in lake.list("curated", "tiles") if name.startswith("v") and "." not in name]


def test_an_unknown_patient_is_an_error_and_is_kept_out_all_the_same(spark: SparkSession, lake: Lake) -> None:
    with pytest.raises(DataError, match="no dataset holds this patient"):
        withdraw(spark, lake, SITE, "0" * 32)
    assert withdrawn(lake) == {"0" * 32}
