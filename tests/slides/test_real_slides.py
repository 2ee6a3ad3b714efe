"""Slides of real scanners, in formats that OpenSlide reads and in one that it refuses."""

import csv
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from pyspark.sql import SparkSession

from oncotrain.config.slides import SlidesConfig
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.pseudonym import pseudonymize, site_key
from oncotrain.lake.quarantine import list_refused
from oncotrain.slides.ingest import ingest_slides
from support.slides import SITE

CONFIG = SlidesConfig(
    spacing=0.5,
    tile=256,
    classes=("epithelial", "lymphocyte", "macrophage", "neutrophil"),
    class_names={name.capitalize(): name for name in ("epithelial", "lymphocyte", "macrophage", "neutrophil")},
)
SLIDES = {
    "A9K0_1.svs": {"annotations": "A9K0_1.xml"},
    "CMU-1-Small-Region.svs": {},
    "ezwsi_camelyon.dcm": {"mpp": "0.5"},  # states 28.97
    "pathml_small_dicom.dcm": {"mpp": "0.5"},  # states none
}


def deliver(shared_data: Path, folder: Path, slides: dict[str, dict[str, str]]) -> Path:
    folder.mkdir()
    manifest = folder / "slides.csv"
    with manifest.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ("slide", "patient", "annotations", "mpp"))
        writer.writeheader()
        for number, (name, columns) in enumerate(slides.items()):
            writer.writerow({"slide": name, "patient": f"P{number}", **columns})
            for file in (name, columns.get("annotations")):
                if file:
                    shutil.copyfile(shared_data / "histology" / "wsi" / file, folder / file)
    return manifest


@pytest.mark.parametrize("spacing", [0.5, 0.25])
def test_all_are_taken_and_nuclei_count_exactly(
    spark: SparkSession, lake: Lake, shared_data: Path, tmp_path: Path, spacing: float
) -> None:
    config = CONFIG.model_copy(update={"spacing": spacing})
    manifest = deliver(shared_data, tmp_path / "inbox", SLIDES)
    summary = ingest_slides(spark, lake, SITE, manifest, config)
    assert (summary["accepted"], summary["quarantined"]) == (4, 0)
    dataset = open_dataset(lake, "tiles")
    index = dataset.index(["slide", "x", "y", "nuclei"])
    assert not index.duplicated(["slide", "x", "y"]).any()

    annotated = pseudonymize(site_key(lake), "slide", "A9K0_1.svs")
    polygons = list(ElementTree.parse(manifest.parent / "A9K0_1.xml").iterfind(".//Region"))  # noqa: S314 - ours
    rows = index[index.slide == annotated]
    assert rows.nuclei.sum() == len(polygons) == 321
    assert index.nuclei.sum() == len(polygons)
    drawn, whole, cut = set[int](), set[int](), set[int]()
    for row in dataset.iterate(["instances", "cut"], rows.index.to_numpy()):
        ids = set(np.unique(row["instances"]).tolist()) - {0}
        drawn |= ids
        cut |= set(row["cut"].tolist())
        whole |= ids - set(row["cut"].tolist())
    assert drawn == set(range(1, len(polygons) + 1))
    assert not whole & cut
    assert whole | cut == drawn


def test_a_spacing_that_is_missing_or_absurd_is_refused_by_default(
    spark: SparkSession, lake: Lake, shared_data: Path, tmp_path: Path
) -> None:
    manifest = deliver(shared_data, tmp_path / "inbox", SLIDES | {name: {} for name in list(SLIDES)[2:]})
    summary = ingest_slides(spark, lake, SITE, manifest, CONFIG)
    assert (summary["accepted"], summary["quarantined"]) == (2, 2)
    reasons = {one.source: one.reason for one in list_refused(lake, "tiles")}
    assert "does not state its spacing" in reasons["pathml_small_dicom.dcm"]
    assert "spacing of 28.969 x 28.968" in reasons["ezwsi_camelyon.dcm"]

    table = {"override_spacing": {"dicom": 0.5}}
    summary = ingest_slides(spark, lake, SITE, manifest, CONFIG.model_copy(update=table))
    assert summary["accepted"] == 4
