"""One write to HDFS and one job on YARN: what every `make test` checks. The rest is `make test-cluster`."""

import json
import zipfile
from pathlib import Path

import pytest

from oncotrain.cluster.folder import Cluster
from oncotrain.demo.expression import write_tables
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from support.hadoop import ROOT, newest_logs, oncotrain, submit, upload

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def lake(cluster: Cluster) -> Lake:
    lake = Lake(f"{cluster.uri}/lakes/smoke")
    done = oncotrain(cluster, "layout", "apply", "--lake", lake.uri)
    assert done.returncode == 0, done.stderr
    return lake


def test_files_in_hdfs_are_replaced_whole(lake: Lake) -> None:
    for content in (b"old", b"new" * 1_000_000):
        lake.write_atomic(content, "audit", "file")
        assert lake.read_bytes("audit", "file") == content
    assert lake.list("audit") == ["file"]


def test_a_job_in_cluster_mode_runs_the_code_it_came_with(
    cluster: Cluster, lake: Lake, code: Path, tmp_path: Path
) -> None:
    shipped = tmp_path / "shipped.zip"
    with zipfile.ZipFile(code) as original, zipfile.ZipFile(shipped, "w") as copy:
        for entry in original.infolist():
            marked = b'\n__version__ = "0.1.0+shipped"\n' if entry.filename == "oncotrain/__init__.py" else b""
            copy.writestr(entry, original.read(entry) + marked)
    tables = write_tables(tmp_path / "tables", "uz-leuven", 1, samples=30)
    inbox = upload(lake, tables, "landing", "inbox")
    options = [word for name, file in tables._asdict().items() for word in (f"--{name}", f"{inbox}/{file.name}")]
    config = ROOT / "jobs" / "configs" / "ingest_expression.yaml"
    options += ["--lake", lake.uri, "--site", "uz-leuven", "--config", config.name]
    submit(cluster, "ingest_expression", options, mode="cluster", code=shipped, files=[config])

    summary = json.loads(lake.read_text("curated", "samples", "summary.json"))
    dataset = open_dataset(lake, "samples")
    assert summary["rows"] == dataset.rows == 30
    assert dataset.manifest.code_version == "0.1.0+shipped"
    assert len(list(dataset.iterate(["expression", "response"]))) == 30
    assert lake.list("_staging") == []
    said = "".join(log.read_text() for log in newest_logs(cluster))
    assert f"YARN: http://{cluster.address('resourcemanager-http')}/cluster/app/application_" in said
