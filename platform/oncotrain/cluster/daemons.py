"""The daemons of a local Hadoop, each a JVM of its own: how one is started and killed."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from oncotrain.cluster.folder import DATANODES, NODEMANAGERS, Cluster
from oncotrain.cluster.jars import fetch_jars
from oncotrain.cluster.kdc import java_environment
from oncotrain.cluster.processes import DAEMON, MARK, daemons_of, kill
from oncotrain.errors import UserError

_HDFS = "org.apache.hadoop.hdfs.server"
_YARN = "org.apache.hadoop.yarn.server"
_JVM = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true")
"""Small, and quick to start: these daemons serve one machine."""


@dataclass(frozen=True)
class Daemon:
    """One daemon: its name, its main class, and the properties that set it apart from others of its class."""

    name: str
    main: str
    properties: dict[str, str]


def daemons(cluster: Cluster) -> list[Daemon]:
    """All daemons of a cluster, in the order in which they are started."""
    return [
        Daemon("namenode", f"{_HDFS}.namenode.NameNode", {}),
        *(_datanode(cluster, name) for name in DATANODES),
        Daemon("resourcemanager", f"{_YARN}.resourcemanager.ResourceManager", {}),
        *(_nodemanager(cluster, name) for name in NODEMANAGERS),
    ]


def start(cluster: Cluster, name: str) -> None:
    """Start the daemon `name` unless it runs; does not wait until it serves."""
    if name in daemons_of(cluster.folder):
        return
    daemon = next(daemon for daemon in daemons(cluster) if daemon.name == name)
    properties = [f"-D{key}={value}" for key, value in daemon.properties.items()]
    with log_file(cluster, name).open("ab") as log:
        subprocess.Popen(
            [*_java(cluster, name), daemon.main, *properties],
            cwd=cluster.folder,
            env=_environment(cluster),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def kill_daemon(cluster: Cluster, name: str) -> None:
    """End the daemon `name` at once, as a power cut would."""
    kill([process for key, process in daemons_of(cluster.folder).items() if key == name])


def format_namenode(cluster: Cluster) -> None:
    """Make an empty HDFS, unless there is one. Raises UserError with the NameNode's last words if it cannot."""
    if (cluster.data / "namenode").exists():
        return
    command = [*_java(cluster, "format"), f"{_HDFS}.namenode.NameNode", "-format", "-nonInteractive"]
    with log_file(cluster, "format").open("wb") as log:
        done = subprocess.run(
            command, cwd=cluster.folder, env=_environment(cluster), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    if done.returncode:
        raise UserError(f"the NameNode could not be formatted:\n{last_lines(cluster, 'format')}")


def log_file(cluster: Cluster, name: str) -> Path:
    """What the daemon says."""
    return cluster.logs / f"{name}.log"


def last_lines(cluster: Cluster, name: str, count: int = 15) -> str:
    """The end of a daemon's log, with the file's name."""
    log = log_file(cluster, name)
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join([f"{log}:", *lines[-count:]])


def _java(cluster: Cluster, name: str) -> list[str]:
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else "java"
    return [java, *_JVM, f"{DAEMON}{name}", "-cp", f"{cluster.conf}:{fetch_jars()}/*"]


def _environment(cluster: Cluster) -> dict[str, str]:
    """NodeManagers hand HADOOP_CONF_DIR and the mark to their containers (yarn.nodemanager.env-whitelist)."""
    own = {"HADOOP_CONF_DIR": str(cluster.conf), MARK: str(cluster.folder)}
    return {**os.environ, **own, **java_environment(cluster)}


def _datanode(cluster: Cluster, name: str) -> Daemon:
    properties = {
        "dfs.datanode.data.dir": str(cluster.data / name),
        "dfs.datanode.address": cluster.address(f"{name}-data"),
        "dfs.datanode.http.address": cluster.address(f"{name}-http"),
        "dfs.datanode.ipc.address": cluster.address(f"{name}-ipc"),
    }
    return Daemon(name, f"{_HDFS}.datanode.DataNode", properties)


def _nodemanager(cluster: Cluster, name: str) -> Daemon:
    properties = {
        "yarn.nodemanager.address": cluster.address(f"{name}-rpc"),
        "yarn.nodemanager.localizer.address": cluster.address(f"{name}-localizer"),
        "yarn.nodemanager.webapp.address": cluster.address(f"{name}-http"),
        "yarn.nodemanager.local-dirs": str(cluster.data / name),
        "yarn.nodemanager.log-dirs": str(cluster.logs / name),
    }
    return Daemon(name, f"{_YARN}.nodemanager.NodeManager", properties)
