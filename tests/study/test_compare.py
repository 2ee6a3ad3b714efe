"""A small study, centralized against two hospitals alone: what the report says follows from the saved predictions.

A third one has two patients: it is in the pool, and cannot train, choose and test by itself.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession

from oncotrain.config import load_yaml
from oncotrain.config.study import StudyConfig
from oncotrain.errors import UserError
from oncotrain.lake.filesystem import Lake
from oncotrain.study.compare import compare
from support.datasets import write_samples
from support.lakes import make_lake

SITES = {"chu-grenoble": 24, "uz-leuven": 36}
TOO_SMALL = "charite-berlin"

RUN = {
    "task": {"name": "drug_response", "network": {"members": 1, "width": 16}},
    "split": {"name": "patients", "rule": {"rule": "random", "seed": 0, "validation": 0.2, "test": 0.3}},
    "train": {
        "steps": 30,
        "batch_size": 8,
        "optimizer": {"name": "adamw", "lr": 0.02},
        "validate_every": 15,
        "engine": "single",
        "ranks": 1,
    },
}


@pytest.fixture(scope="module")
def study(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's file, beside the lakes of two sites and a centre."""
    folder = tmp_path_factory.mktemp("study")
    make_lake(folder / "centre")
    for seed, (site, patients) in enumerate((SITES | {TOO_SMALL: 2}).items()):
        write_samples(spark, make_lake(folder / site), site, patients=patients, seed=seed)
    (folder / "run.yaml").write_text(yaml.safe_dump(RUN))
    content = {
        "name": "small",
        "centre": str(folder / "centre"),
        "sites": {site: str(folder / site) for site in (*SITES, TOO_SMALL)},
        "arms": ["centralized", "local"],
        "seeds": [0, 1],
        "bootstrap": 100,
        "cases": {"drug-response": {"config": "run.yaml", "margin": 0.05}},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    return folder / "study.yaml"


def run(spark: SparkSession, study: Path) -> dict:
    config = load_yaml(study, StudyConfig)
    compare(spark, config, study, work=study.parent / "work", client=Path("unused"))
    return json.loads((report(study) / "report.json").read_text())["cases"][0]


def report(study: Path) -> Path:
    return study.parent / "centre" / "runs" / "study-small"


@pytest.fixture(scope="module")
def found(spark: SparkSession, study: Path) -> dict:
    return run(spark, study)


def test_every_arm_is_tested_on_the_same_patients(found: dict):
    assert [arm["arm"] for arm in found["arms"]] == ["centralized", *(f"local:{site}" for site in SITES)]
    assert found["test_patients"] == round(0.3 * 24) + round(0.3 * 36) + 1
    assert {tuple(arm["primary_by_seed"]) for arm in found["arms"]} == {("0", "1")}
    assert len({arm["figures"]["pairs"] for arm in found["arms"]}) == 1


def test_a_site_too_small_to_train_alone_is_in_the_pool_and_named(study: Path, found: dict):
    assert found["not_alone"] == [TOO_SMALL]
    assert TOO_SMALL in {departure["site"] for departure in found["departures"]}
    assert f"to train, choose and test by themselves: {TOO_SMALL}." in (report(study) / "report.html").read_text()


def test_only_pooling_moves_rows(found: dict):
    centralized, *local = found["arms"]
    assert centralized["cost"]["bytes_up"] == sum(departure["bytes"] for departure in found["departures"]) > 0
    assert {arm["cost"]["bytes_up"] for arm in local} == {0}


def test_swapped_predictions_change_the_report(spark: SparkSession, study: Path, found: dict):
    runs = Lake((study.parent / "centre").as_uri()).path("runs")
    tested = sorted(Path(runs).glob("study-small-drug-response-*-s0-*/predictions"))
    pooled, alone = (next(path for path in tested if arm in str(path)) for arm in ("centralized", "chu-grenoble"))
    keep = pooled.with_name("kept")
    for source, target in ((pooled, keep), (alone, pooled), (keep, alone)):
        shutil.move(source, target)
    swapped = run(spark, study)
    for source, target in ((pooled, keep), (alone, pooled), (keep, alone)):
        shutil.move(source, target)
    of = {arm["arm"]: arm["primary_by_seed"]["0"] for arm in found["arms"]}
    now = {arm["arm"]: arm["primary_by_seed"]["0"] for arm in swapped["arms"]}
    assert now["centralized"] == of["local:chu-grenoble"] != of["centralized"]
    assert now["local:chu-grenoble"] == of["centralized"]
    assert run(spark, study) == found


def test_finished_runs_are_not_trained_again(spark: SparkSession, study: Path, found: dict):
    checkpoints = sorted(study.parent.glob("*/runs/*/checkpoints/step-*.pt"))
    before = [path.stat().st_mtime_ns for path in checkpoints]
    assert len({path.parent for path in checkpoints}) == 6
    assert run(spark, study) == found
    assert [path.stat().st_mtime_ns for path in checkpoints] == before


def test_a_browser_draws_every_chart_without_a_connection(study: Path, found: dict):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed; deploy/debian-packages.txt names it")
    page = report(study) / "report.html"
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=\"http", page.read_text())
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    profile = f"--user-data-dir={study.parent / 'browser'}"
    command = [chromium, *flags, profile, "--virtual-time-budget=10000", "--dump-dom", page.as_uri()]
    drawn = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert len(re.findall(r"<div[^>]*js-plotly-plot", drawn)) == 4
    assert len(re.findall(r'class="main-svg"', drawn)) >= 4
    for arm in found["arms"]:
        assert f"<td>{arm['arm']}</td><td>{arm['primary']['value']:.3f}</td>" in drawn


def test_an_unknown_arm_is_refused(study: Path, tmp_path: Path):
    content = yaml.safe_load(study.read_text()) | {"arms": ["centralised"]}
    wrong = tmp_path / "study.yaml"
    wrong.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"key 'arms'.*centralised"):
        load_yaml(wrong, StudyConfig)
