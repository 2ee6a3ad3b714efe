"""The whole platform on three made-up hospitals, through the same jobs that a hospital would submit."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from oncotrain.demo.expression import write_tables
from oncotrain.demo.slides import write_slides
from oncotrain.errors import UserError
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout

SITES = ("chu-grenoble", "uz-leuven", "charite-berlin")

CORES = 2


def run_demo(root: Path, jobs: Path, console: Console) -> Path:
    """From raw files to the report, with the jobs' own lines; a second run redoes only what is missing.

    Args:
        root: Folder of everything the demo makes.
        jobs: The repository's `jobs/`.

    Returns:
        The report's path.

    Raises:
        UserError: A job failed; the message names it, its log and its error.
    """
    centre = root / "centre" / "lake"
    for lake in [centre, *(root / "sites" / site / "lake" for site in SITES)]:
        apply_layout(Lake(lake.resolve().as_uri()))
    _step(
        console,
        "slides of three hospitals: drawn, then to Parquet",
        SITES,
        lambda site: _ingest_slides(console, root, jobs, site),
    )
    _step(
        console,
        "their expression matrices: drawn, then to Parquet",
        SITES,
        lambda site: _ingest_expression(console, root, jobs, site),
    )
    study = jobs / "studies" / "demo.yaml"
    _step(
        console,
        "pool, train centralized, local and federated, compare",
        ["compare"],
        lambda name: _submit(
            console, root, jobs, name, "compare", ["--study", str(study), "--work", str(root / "federation")]
        ),
    )
    summary = json.loads((root / "logs" / "compare.json").read_text())
    return Path(summary["report"])


def _step(console: Console, title: str, names: Iterable[str], work: Callable[[str], Any]) -> None:
    started = time.monotonic()
    console.print(f"[bold]{title}[/bold] ...")
    with ThreadPoolExecutor(CORES) as executor:
        list(executor.map(work, names))
    console.print(f"    {time.monotonic() - started:.0f} s")


def _ingest_slides(console: Console, root: Path, jobs: Path, site: str) -> None:
    manifest = write_slides(root / "sites" / site / "inbox" / "slides", site, SITES.index(site))
    config = jobs / "configs" / "ingest_slides.yaml"
    inputs = ["--manifest", str(manifest), "--config", str(config)]
    _submit(console, root, jobs, f"{site}-slides", "ingest_slides", [*_lake(root, site), *inputs])


def _ingest_expression(console: Console, root: Path, jobs: Path, site: str) -> None:
    tables = write_tables(root / "sites" / site / "inbox" / "tables", site, SITES.index(site))
    inputs = [part for option, file in tables._asdict().items() for part in (f"--{option}", str(file))]
    inputs += ["--config", str(jobs / "configs" / "ingest_expression.yaml")]
    _submit(console, root, jobs, f"{site}-expression", "ingest_expression", [*_lake(root, site), *inputs])


def _lake(root: Path, site: str) -> list[str]:
    lake = root / "sites" / site / "lake"
    return ["--lake", lake.resolve().as_uri(), "--site", site]


def _submit(console: Console, root: Path, jobs: Path, name: str, job: str, options: list[str]) -> None:
    """spark-submit a job and show its lines as they come; its log and its summary lie under logs/."""
    logs = root / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    command = [str(Path(sys.prefix) / "bin" / "spark-submit"), "--master", f"local[{CORES}]"]
    command += [str(jobs / f"{job}.py"), *options]
    path = logs / f"{name}.log"
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    last = ""
    with (
        path.open("w", encoding="utf-8") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as running,
    ):
        # In client mode spark-submit merges what the driver writes to stderr, its log lines, into stdout.
        for line in running.stdout or ():
            if last:
                console.print(f"    {last}", style="dim", markup=False)
                log.write(last + "\n")
            last = line.rstrip()
    if running.returncode or not last:
        raise UserError(f"{job} ended with exit code {running.returncode}: {last or 'no summary'}; {path}")
    (logs / f"{name}.json").write_text(last + "\n")
