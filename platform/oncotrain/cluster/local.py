"""A real Hadoop on this machine: bring it up, take it down, say how it is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from oncotrain.cluster.configuration import write_hadoop_configuration, write_spark_configuration
from oncotrain.cluster.daemons import daemons, format_namenode, start
from oncotrain.cluster.folder import Cluster, make_folder
from oncotrain.cluster.kdc import start_kdc
from oncotrain.cluster.processes import daemons_of, processes_of, terminate
from oncotrain.cluster.ready import active_nodemanagers, live_datanodes, wait_for_hdfs, wait_for_yarn
from oncotrain.cluster.submit import environment
from oncotrain.errors import UserError

NODE_MEMORY = 6144
"""MiB of each of the two NodeManagers."""


def up(cluster: Cluster, node_memory: int = NODE_MEMORY, *, kerberos: bool = False) -> None:
    """Start what does not run, and wait until HDFS and YARN serve; a cluster that is up stays as it is.

    `kerberos` puts a KDC beside a new cluster, and makes every daemon ask for a ticket.
    Raises UserError if a daemon dies, with the end of its log, or Hadoop's jars cannot be had.
    """
    make_folder(cluster)
    if kerberos or cluster.krb5_conf.exists():
        start_kdc(cluster)
    write_hadoop_configuration(cluster, node_memory)
    format_namenode(cluster)
    for daemon in daemons(cluster):
        start(cluster, daemon.name)
    wait_for_hdfs(cluster)
    write_spark_configuration(cluster, _upload_spark(cluster))
    wait_for_yarn(cluster)


def _upload_spark(cluster: Cluster) -> str:
    """In a process of its own: the HDFS client looks for configuration and tickets in the environment."""
    program = str(Path(sys.prefix) / "bin" / "oncotrain")
    command = [program, "cluster", "spark-archive", "--to", f"{cluster.uri}/oncotrain"]
    done = subprocess.run(
        command, env={**os.environ, **environment(cluster)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"Spark's jars could not be uploaded: {done.stderr.strip()}")
    return done.stdout.strip()


def down(cluster: Cluster) -> None:
    """End its daemons and containers, and remove its folder with all its data. No other process is touched."""
    terminate(daemons_of(cluster.folder).values())
    terminate(processes_of(cluster.folder))  # containers whose NodeManager had been killed
    shutil.rmtree(cluster.folder, ignore_errors=True)


def status(cluster: Cluster) -> list[str]:
    """A line a daemon, then what HDFS and YARN say of their nodes. Raises UserError if there is no such cluster."""
    running = daemons_of(cluster.folder)
    lines = [
        f"{daemon.name:<16}{f'runs, pid {running[daemon.name].pid}' if daemon.name in running else 'does not run'}"
        for daemon in daemons(cluster)
    ]
    hdfs = f"{cluster.uri} with {live_datanodes(cluster)} DataNodes, http://{cluster.address('namenode-http')}"
    yarn = f"YARN with {active_nodemanagers(cluster)} NodeManagers, http://{cluster.address('resourcemanager-http')}"
    return [*lines, hdfs, yarn]
