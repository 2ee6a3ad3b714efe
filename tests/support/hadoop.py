"""Jobs on the tests' own Hadoop: laid-out lakes, uploads, submissions, and what became of them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from oncotrain.cluster.folder import Cluster
from oncotrain.cluster.jars import jar_directory
from oncotrain.cluster.local import down, up
from oncotrain.cluster.submit import DeployMode, command, environment
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.hdfs import Hdfs
from oncotrain.lake.layout import load_layout

ROOT = Path(__file__).parents[2]
TRAINER = "trainer"
"""The account that trains: it reads curated datasets and writes runs, and has no business in `landing`."""


@contextmanager
def own_hadoop(folder: Path, *, kerberos: bool = False) -> Iterator[Cluster]:
    """HDFS with two DataNodes and YARN with two NodeManagers in `folder`; this process is its superuser's client."""
    if not jar_directory().is_dir() and shutil.which("mvn") is None:
        pytest.skip("Hadoop's jars are not here, and without Maven they cannot be fetched; deploy/README.md")
    cluster, before = Cluster(folder), dict(os.environ)
    try:
        up(cluster, kerberos=kerberos)
        os.environ |= environment(cluster)
        yield cluster
    finally:
        os.environ.clear()
        os.environ |= before
        Hdfs.clear_instance_cache()
        down(cluster)


def training_layout(path: Path) -> Path:
    """Write the shipped layout with what an administrator adds for TRAINER: ACL entries, and modes that allow them."""
    layout = load_layout().model_dump(mode="json", exclude_none=True)
    zones = {"curated": "r-x", "splits": "rwx", "runs": "rwx", "_staging": "rwx"}
    layout["root"] |= {"mode": "0710", "acl": [f"user:{TRAINER}:--x"]}
    for name, bits in zones.items():
        layout["zones"][name] |= {"mode": "0770", "acl": [f"user:{TRAINER}:{bits}"]}
    path.write_text(yaml.safe_dump(layout))
    return path


def oncotrain(cluster: Cluster, *arguments: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command `oncotrain` against the cluster."""
    program = Path(sys.executable).with_name("oncotrain")
    variables = {**os.environ, **environment(cluster, user)}
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, env=variables)


def upload(lake: Lake, files: Sequence[Path], *folder: str) -> str:
    """Copy local files into a folder of the lake; returns the folder's URI."""
    for file in files:
        lake.write_atomic(file.read_bytes(), *folder, file.name)
    return lake.child_uri(*folder)


def start(
    cluster: Cluster,
    job: str,
    options: Sequence[str],
    *,
    mode: DeployMode,
    code: Path,
    files: Sequence[Path] = (),
    user: str | None = None,
    settings: Sequence[str] = (),
) -> subprocess.Popen[str]:
    """Submit `jobs/<job>.py`; `settings` are Spark's, as KEY=VALUE."""
    call = command(ROOT / "jobs" / f"{job}.py", options, mode=mode, code=code, files=files)
    call[1:1] = [word for setting in settings for word in ("--conf", setting)]
    variables = {**os.environ, **environment(cluster, user)}
    return subprocess.Popen(
        call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables, start_new_session=True
    )


def summary_in(output: str) -> dict[str, Any]:
    """What a job printed last; Spark's JVM may log a line after it, while its executors go away."""
    return json.loads([line for line in output.splitlines() if line.startswith('{"job"')][-1])


def submit(cluster: Cluster, job: str, options: Sequence[str], **how: Any) -> str:
    """Submit a job, wait for it, and return what the submitter printed. Fails with the containers' logs."""
    process = start(cluster, job, options, **how)
    try:
        output, _ = process.communicate(timeout=280)
    finally:
        process.kill()
    assert process.returncode == 0, f"{output[-12_000:]}\n{driver_log(cluster)}"
    return output


def driver_log(cluster: Cluster) -> str:
    """The end of standard output and error of the newest application's containers."""
    return "\n".join(f"== {log.relative_to(cluster.logs)}\n{log.read_text()[-3000:]}" for log in newest_logs(cluster))


def newest_logs(cluster: Cluster) -> list[Path]:
    """Standard output and error of the newest application's containers."""
    found = sorted(cluster.logs.glob("nodemanager-*/application_*/container_*/std*"))
    return [log for log in found if log.parents[1].name == max(one.parents[1].name for one in found)]
