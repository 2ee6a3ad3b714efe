"""The ingest job is killed with all its processes at several moments; what it publishes in the end is the same."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pyspark.sql import SparkSession

from oncotrain.config import load_yaml
from oncotrain.config.slides import SlidesConfig
from oncotrain.demo.slides import write_slides
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.pseudonym import pseudonymize, site_key
from oncotrain.slides.ingest import ingest_slides
from oncotrain.slides.state import load_state
from support.lakes import make_lake
from support.slides import SITE

pytestmark = pytest.mark.faults
JOB = Path(__file__).parents[2] / "jobs" / "ingest_slides.py"
MOMENTS = (
    "landing/_work/tiles/*/survey.json",
    "landing/_work/tiles/*/000000.parquet",
    "_staging/*/part-00000.parquet",
)
"""Files at whose appearance the job is killed, in the order in which it makes them."""


def start(lake: Lake, manifest: Path, config: Path) -> subprocess.Popen[str]:
    options = ["--lake", lake.uri, "--site", SITE, "--manifest", str(manifest), "--config", str(config)]
    return subprocess.Popen(
        [sys.executable, str(JOB), *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def kill_at(lake: Lake, pattern: str, job: subprocess.Popen[str]) -> bool:
    """Kill the job and all it started as soon as a new file fits `pattern`; False if it ended before."""
    root = Path(lake.root)
    before = set(root.glob(pattern))
    while job.poll() is None:
        if set(root.glob(pattern)) - before:
            family = [*psutil.Process(job.pid).children(recursive=True), psutil.Process(job.pid)]
            for process in family:
                process.kill()
            psutil.wait_procs(family)
            job.communicate()
            return True
        time.sleep(0.002)
    return False


def finish(job: subprocess.Popen[str]) -> dict[str, object]:
    return dict(json.loads(job.communicate(timeout=200)[0].splitlines()[-1]))


@pytest.mark.timeout(600)
def test_killed_at_any_moment_the_dataset_comes_out_the_same(spark: SparkSession, tmp_path: Path) -> None:
    manifest = write_slides(tmp_path / "inbox", SITE, seed=1, patients=4, size=1024)
    config = tmp_path / "ingest.yaml"
    config.write_text("spacing: 0.25\ntile: 256\nclasses: [epithelial, lymphocyte, macrophage, neutrophil]\n")
    lakes = [make_lake(tmp_path / name) for name in ("undisturbed", "killed")]
    lakes[1].write_atomic(site_key(lakes[0]), "landing", "pseudonym.key")
    expected = ingest_slides(spark, lakes[0], SITE, manifest, load_yaml(config, SlidesConfig))

    for moment in MOMENTS:
        assert kill_at(lakes[1], moment, start(lakes[1], manifest, config)), moment
        assert not lakes[1].list("curated")
    summary = finish(start(lakes[1], manifest, config))
    assert summary["version"] == "v0001"
    assert summary["reused"] == 4  # the last two jobs found all parts
    assert [summary[key] for key in ("accepted", "rows")] == [expected[key] for key in ("accepted", "rows")]
    assert lakes[1].list("_staging") == []
    manifests = [open_dataset(lake, "tiles").manifest for lake in lakes]
    assert manifests[0].sha256 == manifests[1].sha256
    slide = pseudonymize(site_key(lakes[0]), "slide", f"{SITE}-S26-0001.svs")
    states = [load_state(lake, "tiles", slide, 0) for lake in lakes]
    assert states[0] is not None
    assert states[1] is not None
    assert [one.sha256 for one in states[0].outputs] == [one.sha256 for one in states[1].outputs]
    assert states[1].attempts >= states[0].attempts == 1
