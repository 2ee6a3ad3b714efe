"""How a job is submitted to YARN: the one command line, for tests and for whoever reads deploy/cluster.md."""

import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from oncotrain.cluster.folder import Cluster
from oncotrain.cluster.kdc import client_environment

DeployMode = Literal["client", "cluster"]


def environment(cluster: Cluster, user: str | None = None) -> dict[str, str]:
    """The variables with which spark-submit, hdfs-native and Java's clients find a local cluster, as `user`."""
    account = user or os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
    ticket = client_environment(cluster, account) if cluster.krb5_conf.exists() else {}
    return {
        **ticket,
        "HADOOP_CONF_DIR": str(cluster.conf),
        "SPARK_CONF_DIR": str(cluster.spark_conf),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "HADOOP_USER_NAME": account,
    }


def command(
    job: Path, options: Sequence[str], *, mode: DeployMode, code: Path, files: Sequence[Path] = ()
) -> list[str]:
    """The call of spark-submit.

    Args:
        job: A file of `jobs/`.
        options: The job's own. In cluster mode the driver is in a container: other paths than `hdfs://` are to be in
            `files`, and are named without their folder.
        code: What `oncotrain dist` made.
        files: Small files, such as configurations, that are copied into every container's working directory.
    """
    sent = ["--files", ",".join(map(str, files))] if files else []
    submit = str(Path(sys.prefix) / "bin" / "spark-submit")
    return [submit, "--master", "yarn", "--deploy-mode", mode, "--py-files", str(code), *sent, str(job), *options]
