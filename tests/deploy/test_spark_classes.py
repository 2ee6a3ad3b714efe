"""The archive of Spark's classes that setup.sh makes: a JVM that may not go on without it takes it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


def submit(tmp_path: Path, archive: Path) -> subprocess.CompletedProcess[str]:
    job = tmp_path / "job.py"
    job.write_text("print('submitted')\n")
    folders = ("HADOOP_CONF_DIR", "SPARK_CONF_DIR", "YARN_CONF_DIR")  # on the class path, where archives allow none
    variables = {
        **{name: value for name, value in os.environ.items() if name not in folders},
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "SPARK_SUBMIT_OPTS": f"-Xshare:on -XX:SharedArchiveFile={archive}",
    }
    return subprocess.run([BIN / "spark-submit", job], capture_output=True, text=True, env=variables, timeout=120)


def test_the_archive_fits_this_spark_in_its_place(tmp_path: Path) -> None:
    done = submit(tmp_path, Path(sys.prefix) / "spark.jsa")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "submitted" in done.stdout


@pytest.mark.parametrize("content", [None, b"no archive"])
def test_that_jvm_starts_with_no_other(tmp_path: Path, content: bytes | None) -> None:
    """Else the test above would pass without an archive."""
    archive = tmp_path / "spark.jsa"
    if content is not None:
        archive.write_bytes(content)
    done = submit(tmp_path, archive)
    assert done.returncode
    assert "submitted" not in done.stdout
