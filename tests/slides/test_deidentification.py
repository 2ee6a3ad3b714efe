"""What names a patient is in the files that come in, and in nothing that goes out."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import openslide
import pytest
import tifffile
from pyspark.sql import SparkSession

from oncotrain.config.slides import SlidesConfig
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.identities import search_lake
from oncotrain.lake.pseudonym import Pseudonyms
from oncotrain.slides import work
from oncotrain.slides.delivery import read_delivery
from oncotrain.slides.ingest import ingest_slides
from oncotrain.slides.reader import open_reader
from oncotrain.slides.tiles import tile_schema
from oncotrain.slides.work import SlideWork
from support.dicom import sequence, write_dicom
from support.slides import SITE

PLANTED = {
    "name": "Aurelie Beaumont",
    "dicom name": "BEAUMONT^AURELIE",
    "id": "MRN-90210-77",
    "birth": "19610423",
    "accession": "ACC-5561-204",
    "barcode": "BC00998877A1",
    "operator": "Dr. Q. Examplowski",
    "time": "20260314093055",
    "day": "03/14/26",
    "clock": "09:30:55",
    "comment": "left breast, second opinion Lyon",
    "scanner": "SN-AT2-778899",
}
ROWS = {"site", "patient", "cohort", "part", "slide", "region", "x", "y", "spacing"}
FIGURES = {"tissue", "pen", "fold", "focus", "blank", "stain", "nuclei", "cut"}
PIXELS = {"pixels", "instances", "classes", "valid", "labelled"}
LEAVES_THE_READER = {"vendor", "mpp", "level_dimensions", "level_downsamples"}


@pytest.fixture
def pixels() -> np.ndarray:
    rng = np.random.default_rng(0)
    field = cv2.resize(rng.integers(0, 255, (24, 32), dtype=np.uint8), (1024, 768), interpolation=cv2.INTER_CUBIC)
    density = np.stack([field / 255 * vector for vector in (0.5, 0.9, 0.3)], axis=-1)
    return (240 * 10 ** (-density * 0.7)).astype(np.uint8)


def written(text: str) -> np.ndarray:
    paper = np.full((160, 320, 3), 235, np.uint8)
    return cv2.putText(paper, text, (6, 80), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 60))


def write_svs(path: Path, pixels: np.ndarray) -> None:
    facts = "|".join(
        [
            "AppMag = 40",
            "MPP = 0.25",
            *(f"{key} = {value}" for key, value in PLANTED.items()),
            f"Filename = {path.stem}",
        ]
    )
    height, width = pixels.shape[:2]
    jpeg = {"compression": "jpeg", "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as tiff:
        header = f"Aperio Image Library v12.0.15\n{width}x{height} [0,0 {width}x{height}] (256x256) JPEG/RGB Q=90|"
        tiff.write(pixels, tile=(256, 256), description=header + facts, software=PLANTED["scanner"], **jpeg)
        tiff.write(pixels[::4, ::4].copy(), description=f"Aperio Image Library v12.0.15\nthumbnail {facts}", **jpeg)
        for kind, text in (("label", PLANTED["barcode"]), ("macro", PLANTED["name"])):
            description = f"Aperio Image Library v12.0.15\n{kind} 320x160 {facts}"
            tiff.write(written(text), description=description, subfiletype=1 if kind == "label" else 9, **jpeg)


@pytest.fixture
def manifest(tmp_path: Path, pixels: np.ndarray) -> Path:
    """An SVS, a DICOM that OpenSlide reads and one that it refuses, a broken one; identities wherever one can be."""
    folder = tmp_path / f"from {PLANTED['name']}"
    folder.mkdir()
    tags = {
        "PatientName": PLANTED["dicom name"],
        "PatientID": PLANTED["id"],
        "PatientBirthDate": PLANTED["birth"],
        "AccessionNumber": PLANTED["accession"],
        "ContainerIdentifier": PLANTED["barcode"],
        "OperatorsName": PLANTED["operator"],
        "AcquisitionDateTime": PLANTED["time"],
        "ImageComments": PLANTED["comment"],
        "DeviceSerialNumber": PLANTED["scanner"],
        "SpecimenDescriptionSequence": sequence(SpecimenIdentifier=PLANTED["barcode"]),
    }
    names = [f"{PLANTED['name']} {PLANTED['id']} {kind}" for kind in ("a.svs", "b.dcm", "c.dcm", "d.svs")]
    write_svs(folder / names[0], pixels)
    write_dicom(folder / names[1], pixels, **tags)
    write_dicom(folder / names[2], pixels[:-9], ImageType=None, **tags)
    (folder / names[3]).write_bytes((folder / names[0]).read_bytes()[:20_000])
    path = folder / "slides.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerows(
            [
                ("slide", "patient", "birth", "cohort"),
                *((one, PLANTED["id"], PLANTED["birth"], "demo") for one in names),
            ]
        )
    return path


def test_the_planted_identities_are_in_the_files(manifest: Path) -> None:
    """Or the test below would pass for nothing."""
    delivered = b"".join(path.read_bytes() for path in manifest.parent.iterdir())
    assert all(text.encode() in delivered or key in ("name", "comment") for key, text in PLANTED.items())


def test_none_of_them_is_in_any_zone_log_or_audit(manifest: Path, lake: Lake, tmp_path: Path) -> None:
    config = tmp_path / "ingest.yaml"
    config.write_text("spacing: 0.5\ntile: 128\nclasses: []\nmin_tissue: 0\n")
    job = Path(__file__).parents[2] / "jobs" / "ingest_slides.py"
    options = ["--lake", lake.uri, "--site", SITE, "--manifest", str(manifest), "--config", str(config)]
    done = subprocess.run(
        [sys.executable, str(job), *options], capture_output=True, text=True, check=False, env={**os.environ}
    )
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["accepted"], summary["quarantined"]) == (3, 1)
    assert summary["readers"] == {"openslide": 2, "dicom": 1}
    lake.write_atomic(done.stderr.encode(), "runs", "log", "stderr.log")
    lake.write_atomic(done.stdout.replace(str(manifest), "").encode(), "runs", "log", "stdout.log")

    searched = search_lake(lake, list(PLANTED.values()))
    assert searched.findings == []
    assert searched.rows == summary["rows"] > 20
    states = [
        lake.read_text("landing", "slides", "tiles", name)
        for name in lake.list("landing", "slides", "tiles")
        if name.endswith("json")
    ]
    assert len(states) == 4
    assert not any(text in state for state in states for text in PLANTED.values())


def test_a_wider_list_of_what_may_leave_is_noticed() -> None:
    """Whoever adds a column or a fact of the reader has to come here, and to say why it names nobody."""
    assert set(tile_schema(128).fields) == ROWS | FIGURES | PIXELS


def test_readers_give_away_nothing_but_geometry(manifest: Path) -> None:
    for path in sorted(manifest.parent.iterdir())[:3]:
        with open_reader(path) as reader:
            public = {name for name in dir(reader) if not name.startswith("_") and not callable(getattr(reader, name))}
            assert public == LEAVES_THE_READER
            assert reader.vendor in ("aperio", "dicom")


def test_a_leak_would_be_found(
    spark: SparkSession, lake: Lake, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pseudonyms, "make", lambda _, kind, identifier: f"{kind} {identifier}"[:60])
    monkeypatch.setattr("oncotrain.slides.state._place", lambda *_: ("landing", "slides", "state.json"))
    config = SlidesConfig(spacing=0.5, tile=128, min_tissue=0, classes=())
    ingest_slides(spark, lake, SITE, manifest, config)
    assert {found.column for found in search_lake(lake, [PLANTED["id"]]).findings} >= {"patient", "slide"}


def test_label_and_macro_are_never_decoded(manifest: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(_: object) -> None:
        raise AssertionError("an associated image was asked for")

    monkeypatch.setattr(openslide.OpenSlide, "associated_images", property(decoded))
    config = SlidesConfig(spacing=0.5, tile=128, min_tissue=0, classes=())
    entry = next(one for one in read_delivery(manifest, SITE, config).entries if one.name.endswith("a.svs"))
    surveyed = work.survey_slide(lake, SlideWork(entry, "tiles", SITE, "0" * 32, "1" * 32, config))
    assert not surveyed.state.reason
    assert all(not isinstance(work.write_range(lake, task), str) for task in surveyed.missing)
