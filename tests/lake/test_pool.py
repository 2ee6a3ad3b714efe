import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from oncotrain.errors import DataError, UserError
from oncotrain.lake import audit
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.manifest import dataset_versions
from oncotrain.lake.pool import merge_features, pool

SITES = ("chu-grenoble", "uz-leuven")


def test_the_pool_is_the_union_of_the_sites_rows(pooled) -> None:
    found = open_dataset(pooled.centre, "tiles").iterate(["site", "slide", "x", "pixels"])
    for lake in pooled.sites.values():
        for row in open_dataset(lake, "tiles").iterate(["site", "slide", "x", "pixels"]):
            copied = next(found)
            assert (copied["site"], copied["slide"], copied["x"]) == (row["site"], row["slide"], row["x"])
            np.testing.assert_array_equal(copied["pixels"], row["pixels"])
    assert next(found, None) is None


def test_files_are_taken_over_byte_for_byte(pooled) -> None:
    copied = [file.sha256 for file in open_dataset(pooled.centre, "tiles").manifest.files]
    assert copied == [
        file.sha256 for lake in pooled.sites.values() for file in open_dataset(lake, "tiles").manifest.files
    ]


def test_drugs_are_the_union_and_every_response_keeps_its_drug(pooled) -> None:
    whole = open_dataset(pooled.centre, "samples")
    assert whole.manifest.features["drugs"] == ["cisplatin", "drug-2", "drug-3"]

    def responses(lake: Lake) -> dict[tuple[str, str], float]:
        dataset = open_dataset(lake, "samples")
        drugs = dataset.manifest.features["drugs"]
        return {
            (row["sample"], drugs[index]): value
            for row in dataset.iterate(["sample", "drug", "response"])
            for index, value in zip(row["drug"], row["response"], strict=True)
        }

    site, other = (responses(lake) for lake in pooled.sites.values())
    assert responses(pooled.centre) == site | other


def test_what_moved_is_in_the_audits_and_the_summary(pooled) -> None:
    for site, lake in pooled.sites.items():
        size = open_dataset(lake, "tiles").manifest.bytes
        left, arrived = audit.read(lake, site)[0]["event"], audit.read(pooled.centre, site)[0]["event"]
        assert (left["action"], left["bytes"], left["to"]) == ("pool", size, pooled.centre.uri)
        assert (arrived["action"], arrived["bytes"], arrived["from"]) == ("pooled", size, lake.uri)
        assert pooled.tiles["bytes"][site] == size
        audit.verify(lake, site)
        audit.verify(pooled.centre, site)
    assert json.loads(pooled.centre.read_text("curated", "tiles", "summary.json")) == pooled.tiles


def test_pooling_the_same_versions_again_moves_nothing(spark: SparkSession, pooled) -> None:
    heads = [audit.verify(lake, site) for site, lake in pooled.sites.items()]
    again = pool(spark, list(pooled.sites.values())[::-1], pooled.centre, "samples")
    assert again == pooled.samples | {"unchanged": True}
    assert [audit.verify(lake, site) for site, lake in pooled.sites.items()] == heads


def test_a_file_that_is_not_the_manifests_stops_the_pool(
    spark: SparkSession, pooled, lake: Lake, copy_of: Callable[[Lake], Lake]
) -> None:
    damaged = copy_of(pooled.sites[SITES[0]])
    file = Path(damaged.path("curated", "tiles", "v0001", "part-00000.parquet"))
    data = bytearray(file.read_bytes())
    data[1000] ^= 1
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"part-00000.parquet: its SHA-256 is .* nothing was pooled"):
        pool(spark, [damaged, pooled.sites[SITES[1]]], lake, "tiles")
    assert dataset_versions(lake, "tiles") == []
    assert lake.list("_staging") == []


def test_two_lakes_of_one_site_are_refused(
    spark: SparkSession, pooled, lake: Lake, copy_of: Callable[[Lake], Lake]
) -> None:
    site = pooled.sites[SITES[0]]
    with pytest.raises(UserError, match=r"site chu-grenoble is in .* too"):
        pool(spark, [site, copy_of(site)], lake, "tiles")
    with pytest.raises(UserError, match="holds sites chu-grenoble, uz-leuven; pool from each site's own lake"):
        pool(spark, [pooled.centre], lake, "tiles")


def test_a_feature_that_differs_is_named() -> None:
    with pytest.raises(UserError, match=r"feature 'spacing' differs: 0.25 at a, 0.5 at b"):
        merge_features({"a": {"kind": "tiles", "spacing": 0.25}, "b": {"kind": "tiles", "spacing": 0.5}})
    with pytest.raises(UserError, match=r"feature 'genes' differs: \['G1'\] at a, None at b"):
        merge_features({"a": {"genes": ["G1"], "drugs": ["x"]}, "b": {"drugs": ["y"]}})


def test_the_job_ends_in_one_line_of_json(pooled) -> None:
    sources = [lake.uri for lake in pooled.sites.values()]
    job = Path(__file__).parents[2] / "jobs" / "pool.py"
    done = subprocess.run(
        [sys.executable, str(job), "--from", *sources, "--to", pooled.centre.uri, "--dataset", "tiles"],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = pooled.tiles | {"unchanged": True, "job": "pool", "status": "done", "exit_code": 0}
    assert json.loads(done.stdout.splitlines()[-1]) == expected
