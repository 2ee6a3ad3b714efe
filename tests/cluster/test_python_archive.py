"""Python's packages by archive: YARN unpacks them beside each container, and nothing of them comes from elsewhere."""

import subprocess
import sysconfig
from pathlib import Path

import pytest

from oncotrain.cluster.folder import Cluster
from oncotrain.cluster.python_archive import write_python
from oncotrain.errors import UserError
from oncotrain.lake.filesystem import Lake
from support.hadoop import newest_logs, submit, summary_in, upload

PACKAGES = {file.name for file in Path(sysconfig.get_path("purelib")).iterdir() if "__editable__" not in file.name}
NEEDED = {"hdfs_native", "fsspec", "typing_extensions.py"}
"""What the job below imports: all packages together are gigabytes. pyspark comes with the submission."""

JOB = """
import sys
from oncotrain.job import run_job
from oncotrain.spark import run_tasks, spark_session

def look(_):
    from hdfs_native import fsspec
    return sys.executable, fsspec.__file__, fsspec.HdfsFileSystem().exists("/")

def main():
    tasks = run_tasks(spark_session("packed"), range(2), look)
    return {"driver": sys.executable, "tasks": tasks}

run_job("packed", main)
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist") / "environment.tar.gz"
    interpreter = write_python(target, PACKAGES - NEEDED)
    assert interpreter.is_file()
    return target


def test_it_is_this_environment_and_runs_anywhere(archive: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
    code = "import sys, fsspec; print(sys.prefix, fsspec.__file__)"
    done = subprocess.run([tmp_path / "bin" / "python", "-c", code], capture_output=True, text=True, check=True)
    prefix, module = done.stdout.split()
    assert prefix == str(tmp_path)
    assert Path(module).is_relative_to(tmp_path)
    done = subprocess.run([tmp_path / "bin" / "python", "-c", "import oncotrain"], capture_output=True, text=True)
    assert "No module named 'oncotrain'" in done.stderr


def test_a_package_that_is_not_there_cannot_be_left_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--without tensorflow: there is no such file or folder"):
        write_python(tmp_path / "environment.tar.gz", ["tensorflow"])
    assert not list(tmp_path.iterdir())


@pytest.mark.cluster
@pytest.mark.timeout(400)
def test_yarn_hands_it_to_every_container(cluster: Cluster, archive: Path, code: Path, tmp_path: Path) -> None:
    folder = upload(Lake(f"{cluster.uri}/apps"), [archive], "oncotrain")
    (tmp_path / "packed.py").write_text(JOB)
    settings = [f"spark.archives={folder}/{archive.name}#environment", "spark.pyspark.python=./environment/bin/python"]
    submit(cluster, str(tmp_path / "packed"), [], mode="cluster", code=code, settings=settings)
    [said] = [log.read_text() for log in newest_logs(cluster) if log.match("container_*_000001/stdout")]
    summary = summary_in(said)
    assert summary["status"] == "done"
    containers = cluster.data / "nodemanager-1", cluster.data / "nodemanager-2"
    for executable, module, answered in summary["tasks"]:
        assert executable.endswith("/environment/bin/python")
        assert any(Path(executable).is_relative_to(container) for container in containers)
        assert module.startswith(executable.removesuffix("bin/python"))
        assert answered
    assert summary["driver"].endswith("/environment/bin/python")
