"""jobs/centralized_train.py as it is called: the last line, and how it ends."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.tracking import MlflowClient

from oncotrain.lake.filesystem import Lake
from support.runs import copy_lake, run_config

JOB = Path(__file__).parents[2] / "jobs" / "centralized_train.py"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A run's YAML that asks for Horovod."""
    path = tmp_path / "drug_response.yaml"
    settings = run_config("drug_response", engine="horovod", ranks=2).model_dump(mode="json")
    path.write_text(yaml.safe_dump(settings))
    return path


def call(*arguments: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run([sys.executable, JOB, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a job keeps MLflow's store unless it is told another."""
    monkeypatch.chdir(tmp_path)


def test_the_last_line_is_the_summary(trained_on: Lake, tmp_path, config):
    lake = copy_lake(trained_on, tmp_path / "lake")
    code, summary, _ = call("--lake", lake.uri, "--config", str(config), "--engine", "single", "--seed", "3")
    assert (code, summary["status"], summary["engine"], summary["seed"]) == (0, "done", "single", 3)
    assert lake.exists("runs", summary["run"], "summary.json")
    [shown] = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_runs(["1"])
    assert shown.info.run_name == summary["run"]


def test_rows_behind_the_manifest_end_in_3_and_nonsense_in_2(trained_on: Lake, tmp_path, config):
    lake = copy_lake(trained_on, tmp_path / "lake")
    data = next(Path(lake.path("curated", "samples", "v0001")).glob("*.parquet"))
    data.unlink()
    code, summary, log = call("--lake", lake.uri, "--config", str(config), "--engine", "single")
    assert (code, summary["status"]) == (3, "failed")
    assert data.name in summary["error"]
    assert "Traceback" not in log
    code, summary, _ = call("--lake", lake.uri, "--config", str(config), "--engine", "spark")
    assert code == 2
    assert "'train.engine' has value 'spark'" in summary["error"]
