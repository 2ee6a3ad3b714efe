"""Spark's own cluster manager at a hospital: a master and one worker, on loopback."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyspark.find_spark_home import _find_spark_home

from oncotrain.federation.process import running

PORT = 7077
MASTER = f"spark://localhost:{PORT}"
_DEPLOY = "org.apache.spark.deploy"


@contextmanager
def standalone(folder: Path, prefix: Sequence[str], cores: int = 2) -> Iterator[str]:
    """The master's URL for as long as the context lasts; `prefix` is put before each command."""
    folder.mkdir()
    spark_class = str(Path(_find_spark_home()) / "bin" / "spark-class")
    environment = {
        **os.environ,
        "SPARK_LOCAL_IP": "127.0.0.1",  # its pages listen here, too
        "SPARK_LOCAL_HOSTNAME": "localhost",
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_WORKER_DIR": str(folder / "work"),
    }
    master = [*prefix, spark_class, f"{_DEPLOY}.master.Master", "--host", "localhost", "--port", str(PORT)]
    worker = [*prefix, spark_class, f"{_DEPLOY}.worker.Worker", "--host", "localhost", "--cores", str(cores), MASTER]
    log = folder / "worker.log"
    with (
        running([*master, "--webui-port", "0"], environment=environment, log=folder / "master.log"),
        running([*worker, "--memory", "2g", "--webui-port", "0"], environment=environment, log=log),
    ):
        deadline = time.monotonic() + 60
        while "Successfully registered with master" not in (log.read_text() if log.exists() else ""):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield MASTER
