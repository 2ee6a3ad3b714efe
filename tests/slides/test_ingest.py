"""The whole ingest, on Spark: what is taken is exact, what is not is said, and nobody's name gets out."""

import json
import logging
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pyspark.sql import SparkSession

from oncotrain.config import load_yaml
from oncotrain.config.slides import SlidesConfig
from oncotrain.errors import DataError, UserError
from oncotrain.lake.dataset import Dataset, open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.manifest import dataset_versions
from oncotrain.lake.pseudonym import pseudonymize, site_key
from oncotrain.lake.quarantine import list_refused
from oncotrain.lake.schema import decode_value
from oncotrain.lake.withdrawal import withdraw
from oncotrain.lake.writer import write_dataset
from oncotrain.slides import work
from oncotrain.slides.delivery import read_delivery
from oncotrain.slides.grid_picture import TISSUE
from oncotrain.slides.ingest import ingest_slides
from oncotrain.slides.state import Output, load_state
from support.lakes import make_lake
from support.slides import SITE, Delivery


def whole_slides(dataset: Dataset, column: str) -> dict[str, np.ndarray]:
    """Each slide put together from its tiles, cut to the tiles' extent."""
    slides: dict[str, np.ndarray] = {}
    extent = dataset.index(["slide", "x", "y"]).groupby("slide").max() + dataset.manifest.features["tile"]
    for row in dataset.iterate(["slide", "x", "y", column]):
        tile = row[column]
        shape = (extent.y[row["slide"]], extent.x[row["slide"]], *tile.shape[2:])
        canvas = slides.setdefault(row["slide"], np.zeros(shape, tile.dtype))
        canvas[row["y"] : row["y"] + tile.shape[0], row["x"] : row["x"] + tile.shape[1]] = tile
    return slides


def test_demo_slides_arrive_whole_and_count_exactly(
    spark: SparkSession, lake: Lake, demo_slides: Path, slides_config: SlidesConfig
) -> None:
    summary = ingest_slides(spark, lake, SITE, demo_slides, slides_config)
    assert (summary["accepted"], summary["quarantined"], summary["version"]) == (2, 0, "v0001")
    dataset = open_dataset(lake, "tiles")
    assert dataset.rows == summary["rows"] > 0
    index = dataset.index(["site", "patient", "slide", "region", "y", "x", "cohort", "tissue"])
    keys = list(index[["patient", "slide", "region", "y", "x"]].itertuples(index=False, name=None))
    assert keys == sorted(set(keys))
    assert set(index.site) == {SITE}
    assert set(index.cohort) == {"demo"}
    assert index.tissue.between(0, 1).all()

    pixels, instances, classes = (whole_slides(dataset, name) for name in ("pixels", "instances", "classes"))
    key = site_key(lake)
    for path in sorted(demo_slides.parent.glob("*.svs")):
        slide = pseudonymize(key, "slide", path.name)
        with openslide.OpenSlide(path) as source:
            truth = np.asarray(source.read_region((0, 0), 0, source.dimensions).convert("RGB"))
        stored = pixels[slide].any(axis=2)
        assert (pixels[slide] == truth[: len(stored), : stored.shape[1]])[stored].all()
        features = json.loads(path.with_suffix(".geojson").read_text())["features"]
        expected = Counter(feature["properties"]["classification"]["name"] for feature in features)
        ids, first = np.unique(instances[slide], return_index=True)
        found = Counter(slides_config.classes[number - 1] for number in classes[slide].flat[first[ids > 0]])
        assert found == expected


def test_bad_slides_go_to_quarantine_and_the_good_ones_are_published(
    spark: SparkSession, lake: Lake, delivery: Delivery, slides_config: SlidesConfig
) -> None:
    summary = ingest_slides(spark, lake, SITE, delivery.manifest, slides_config)
    assert (summary["accepted"], summary["quarantined"]) == (len(delivery.good), len(delivery.bad))
    reasons = {refusal.source: refusal.reason for refusal in list_refused(lake, "tiles")}
    assert reasons.keys() == delivery.bad.keys()
    for name, reason in delivery.bad.items():
        assert reason in reasons[name]
    key = site_key(lake)
    taken = {pseudonymize(key, "slide", name) for name in delivery.good}
    assert set(open_dataset(lake, "tiles").index(["slide"]).slide) == taken

    Image.open(delivery.manifest.parent / "mask.png").save(delivery.manifest.parent / "small.png")
    summary = ingest_slides(spark, lake, SITE, delivery.manifest, slides_config)
    assert (summary["accepted"], summary["reused"]) == (len(delivery.good) + 1, len(delivery.good))
    assert (summary["version"], summary["unchanged"]) == ("v0002", False)
    assert "other_mask.png" not in {refusal.source for refusal in list_refused(lake, "tiles")}


def test_a_crop_is_padded_and_what_is_known_is_marked(
    spark: SparkSession, lake: Lake, delivery: Delivery, slides_config: SlidesConfig
) -> None:
    ingest_slides(spark, lake, SITE, delivery.manifest, slides_config)
    dataset = open_dataset(lake, "tiles")
    crop = pseudonymize(site_key(lake), "slide", "crop.png")
    rows = np.flatnonzero(dataset.index(["slide"]).slide == crop)
    right = next(row for row in dataset.read(rows, ["x", "y", "valid", "labelled", "instances", "pixels"]) if row["x"])
    inside = np.zeros((256, 256), np.uint8)
    inside[:, : 280 - 256] = 1
    np.testing.assert_array_equal(right["valid"], inside)
    np.testing.assert_array_equal(right["labelled"], inside)
    assert (right["pixels"][inside == 0] == 255).all()
    assert (right["instances"] == 7).sum() == 10 * 14


def test_each_slide_has_a_state_and_a_picture_for_a_person(
    spark: SparkSession, lake: Lake, delivery: Delivery, slides_config: SlidesConfig
) -> None:
    summary = ingest_slides(spark, lake, SITE, delivery.manifest, slides_config)
    key = site_key(lake)
    states = {
        name: load_state(lake, "tiles", pseudonymize(key, "slide", name), 0) for name in (*delivery.good, *delivery.bad)
    }
    taken = [state for name in delivery.good if (state := states[name])]
    assert [(one.status, one.attempts) for one in taken] == [("accepted", 1)] * len(delivery.good)
    assert summary["readers"] == {"openslide": 2, "image": 1}
    assert sum(output.rows for one in taken for output in one.outputs) == summary["rows"]
    for output in (output for one in taken for output in one.outputs):
        assert Path(output.path).stat().st_size == output.bytes
    assert all(one.seconds.keys() == {"fetch", "survey", "tiles"} for one in taken)
    for name, reason in delivery.bad.items():
        state = states[name]
        if state is None:
            assert name in ("../outside.svs", "gone.svs")  # there is no file to begin with
            continue
        assert (state.status, state.outputs) == ("refused", ())
        assert reason in state.reason

    for name in delivery.good:
        slide = pseudonymize(key, "slide", name)
        picture = np.asarray(Image.open(lake.path("landing", "slides", "tiles", f"{slide}-0.png")))
        assert (picture == TISSUE).all(axis=2).any()
    ingest_slides(spark, lake, SITE, delivery.manifest, slides_config)
    again = [load_state(lake, "tiles", pseudonymize(key, "slide", name), 0) for name in delivery.good]
    assert [(one.attempts, one.outputs) for one in again if one] == [(one.attempts, one.outputs) for one in taken]


def test_a_slide_is_split_into_ranges_and_the_rows_are_the_same(
    spark: SparkSession,
    lake: Lake,
    tmp_path: Path,
    demo_slides: Path,
    slides_config: SlidesConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ingest_slides(spark, lake, SITE, demo_slides, slides_config)
    other = make_lake(tmp_path / "other")
    other.write_atomic(lake.read_bytes("landing", "pseudonym.key"), "landing", "pseudonym.key")
    monkeypatch.setattr(work, "RANGE_PIXELS", 3 * 256 * 256)
    entries = read_delivery(demo_slides, SITE, slides_config).entries
    key = site_key(lake)
    columns = ["slide", "y", "x", "tissue", "nuclei", "focus", "pixels", "instances"]
    rows = list(open_dataset(lake, "tiles").iterate(columns))
    for entry in entries:
        slide = pseudonymize(key, "slide", entry.id)
        one = work.SlideWork(entry, "tiles", SITE, "p", slide, slides_config)
        surveyed = work.survey_slide(other, one)
        assert not surveyed.state.reason
        outputs = [work.write_range(other, task) for task in surveyed.missing]
        assert [output.rows for output in outputs if isinstance(output, Output)][:-1] == [3] * (len(outputs) - 1)
        assert len(outputs) > 2
        assert not work.survey_slide(other, one).missing
        expected = [row for row in rows if row["slide"] == slide]
        parts = [pq.read_table(output.path) for output in outputs if isinstance(output, Output)]
        found = pa.concat_tables(parts).to_pylist()
        schema = open_dataset(lake, "tiles").schema
        for row, other_row in zip(expected, found, strict=True):
            for column in columns:
                np.testing.assert_array_equal(row[column], decode_value(schema.fields[column], other_row[column]))


def test_a_second_run_changes_nothing_and_a_lost_lake_comes_out_the_same(
    spark: SparkSession, lake: Lake, tmp_path: Path, demo_slides: Path, slides_config: SlidesConfig
) -> None:
    first = ingest_slides(spark, lake, SITE, demo_slides, slides_config)
    again = ingest_slides(spark, lake, SITE, demo_slides, slides_config)
    assert (again["unchanged"], again["reused"], again["version"]) == (True, first["accepted"], first["version"])

    other = make_lake(tmp_path / "other")
    other.write_atomic(lake.read_bytes("landing", "pseudonym.key"), "landing", "pseudonym.key")
    ingest_slides(spark, other, SITE, demo_slides, slides_config)
    assert open_dataset(other, "tiles").manifest.sha256 == open_dataset(lake, "tiles").manifest.sha256


def test_no_identity_leaves_landing(
    spark: SparkSession, lake: Lake, delivery: Delivery, slides_config: SlidesConfig, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("oncotrain")
    log.addHandler(caplog.handler)
    try:
        ingest_slides(spark, lake, SITE, delivery.manifest, slides_config)
    finally:
        log.removeHandler(caplog.handler)
    needles = ["MRN", "Jane", "John Roe", "S26-0", "Example", "03/14/26", "crop.png", "truncated.svs"]
    landing = lake.read_text("landing", "pseudonyms.csv")
    assert "Jane Doe" in landing
    assert f"{SITE}-MRN" in landing
    assert stat.S_IMODE(Path(lake.path("landing", "pseudonym.key")).stat().st_mode) == 0o600

    files = [
        path for zone in ("curated", "audit", "runs") for path in Path(lake.path(zone)).rglob("*") if path.is_file()
    ]
    published = b"".join(path.read_bytes() for path in files) + "".join(map(str, files)).encode()
    dataset = open_dataset(lake, "tiles")
    decoded = b"".join(
        value.tobytes() if isinstance(value, np.ndarray) else str(value).encode()
        for row in dataset.iterate(list(dataset.schema.fields))
        for value in row.values()
    )
    assert len(decoded) > 1_000_000
    for needle in needles:
        assert needle.encode() not in published
        assert needle.encode() not in decoded
        assert needle not in caplog.text


def test_nothing_accepted_is_an_error(
    spark: SparkSession, lake: Lake, tmp_path: Path, slides_config: SlidesConfig
) -> None:
    (tmp_path / "text.svs").write_text("This is not a slide.")
    manifest = tmp_path / "slides.csv"
    manifest.write_text("slide,patient\ntext.svs,P1\n")
    with pytest.raises(DataError, match="no slide was accepted") as raised:
        ingest_slides(spark, lake, SITE, manifest, slides_config)
    assert raised.value.exit_code == 3
    assert [refusal.source for refusal in list_refused(lake, "tiles")] == ["text.svs"]
    assert not lake.list("curated")


def test_a_lake_that_is_not_laid_out_is_an_error(
    spark: SparkSession, tmp_path: Path, demo_slides: Path, slides_config: SlidesConfig
) -> None:
    with pytest.raises(UserError, match="oncotrain layout apply"):
        ingest_slides(spark, Lake(f"file://{tmp_path}/nowhere"), SITE, demo_slides, slides_config)


def test_the_job_says_what_is_wrong_with_its_configuration(tmp_path: Path) -> None:
    config = tmp_path / "ingest.yaml"
    config.write_text("spacing: 0.25\ntile: 512\nclasses: [epithelial]\nmin_tisue: 0.2\n")
    job = Path(__file__).parents[2] / "jobs" / "ingest_slides.py"
    options = ["--lake", f"file://{tmp_path}", "--site", SITE, "--manifest", "slides.csv", "--config", str(config)]
    done = subprocess.run([sys.executable, str(job), *options], capture_output=True, text=True, check=False)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == summary["exit_code"] == 2
    assert "unknown key 'min_tisue'; allowed here: annotated_area, class_names" in summary["error"]
    assert "Traceback" not in done.stderr


def test_images_of_one_hospital_among_many(spark: SparkSession, lake: Lake, shared_data: Path) -> None:
    config = load_yaml(Path(__file__).parents[2] / "jobs" / "configs" / "ingest_histology.yaml", SlidesConfig)
    manifest = shared_data / "histology" / "manifest.csv"
    summary = ingest_slides(spark, lake, "christiana-healthcare", manifest, config)
    assert (summary["accepted"], summary["quarantined"], summary["rows"]) == (4, 0, 4)


def test_slides_of_a_patient_who_withdrew_are_gone_and_refused(
    spark: SparkSession, lake: Lake, demo_slides: Path, slides_config: SlidesConfig
) -> None:
    ingest_slides(spark, lake, SITE, demo_slides, slides_config)
    entry = read_delivery(demo_slides, SITE, slides_config).entries[0]
    key = site_key(lake)
    patient, slide = pseudonymize(key, "patient", entry.patient), pseudonymize(key, "slide", entry.id)
    inputs = open_dataset(lake, "tiles").manifest.inputs
    withdraw(spark, lake, SITE, patient)
    assert load_state(lake, "tiles", slide, 0) is None
    assert not lake.exists("landing", "slides", "tiles", f"{slide}-0.png")
    assert open_dataset(lake, "tiles").manifest.inputs == {
        name: sha256 for name, sha256 in inputs.items() if not name.startswith(slide)
    }

    summary = ingest_slides(spark, lake, SITE, demo_slides, slides_config)
    assert (summary["accepted"], summary["quarantined"]) == (1, 1)
    assert summary["unchanged"]
    assert [one.reason for one in list_refused(lake, "tiles")] == ["is of a patient who has withdrawn consent"]


def test_a_consent_withdrawn_during_ingest_is_heeded(
    spark: SparkSession, lake: Lake, demo_slides: Path, slides_config: SlidesConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = read_delivery(demo_slides, SITE, slides_config).entries[0]
    asked = []

    def publish(*args: Any, **options: Any) -> Any:
        patient = pseudonymize(site_key(lake), "patient", entry.patient)
        if not asked:  # when it is about to publish for the first time
            with pytest.raises(DataError, match="no dataset holds this patient"):
                withdraw(spark, lake, SITE, patient)
        asked.append(patient)
        return write_dataset(*args, **options)

    monkeypatch.setattr("oncotrain.slides.ingest.write_dataset", publish)
    summary = ingest_slides(spark, lake, SITE, demo_slides, slides_config)
    assert (summary["accepted"], summary["quarantined"], summary["unchanged"]) == (1, 1, True)
    assert dataset_versions(lake, "tiles") == [summary["version"]] == ["v0002"]
    assert not (open_dataset(lake, "tiles").index(["patient"])["patient"] == asked[0]).any()
