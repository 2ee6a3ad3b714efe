import json
import subprocess
import sys
from pathlib import Path

from oncotrain.lake.filesystem import Lake
from support.tables import Tables

JOB = Path(__file__).parents[2] / "jobs" / "ingest_expression.py"


def run(lake: Lake, files: tuple[str, str, str], config: Path) -> tuple[int, dict[str, object], str]:
    options = zip(("--expression", "--samples", "--response"), files, strict=True)
    command = [sys.executable, str(JOB), "--lake", lake.uri, "--site", "chu-grenoble", "--config", str(config)]
    command += [word for option in options for word in option]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_job_ends_in_one_line_of_json(lake: Lake, tables: Tables, tmp_path: Path) -> None:
    config = tmp_path / "ingest.yaml"
    config.write_text("columns: {replicate: replicate}\n")
    code, summary, log = run(lake, tables.write(), config)
    assert (code, summary["status"], summary["rows"]) == (0, "done", 7)
    assert json.loads(lake.read_text("curated", "samples", "summary.json")).items() <= summary.items()
    assert not [name for name in ("SAMPLE-", "PATIENT-") if name in log]


def test_an_unknown_key_is_a_mistake_without_a_traceback(lake: Lake, tables: Tables, tmp_path: Path) -> None:
    config = tmp_path / "ingest.yaml"
    config.write_text("response: {replicate: mean}\n")
    code, summary, log = run(lake, tables.write(), config)
    assert code == summary["exit_code"] == 2
    allowed = "auxiliary, classes, drugs, measure, replicates, rows"
    assert f"unknown key 'response.replicate'; allowed here: {allowed}" in str(summary["error"])
    assert "Traceback" not in log
