"""Is it up? The daemons are asked, over the pages that they serve to administrators."""

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from oncotrain.cluster.daemons import last_lines
from oncotrain.cluster.folder import DATANODES, NODEMANAGERS, Cluster
from oncotrain.cluster.processes import daemons_of
from oncotrain.errors import UserError


def live_datanodes(cluster: Cluster) -> int:
    """DataNodes that the NameNode counts as alive; 0 while it is in safe mode or does not answer."""
    beans = _get(cluster, "namenode-http", "jmx?qry=Hadoop:service=NameNode,name=*")
    by_name = {bean["name"].rsplit("=", 1)[-1]: bean for bean in beans.get("beans", [])}
    if "NameNodeInfo" not in by_name or by_name["NameNodeInfo"]["Safemode"]:
        return 0
    return int(by_name["FSNamesystemState"]["NumLiveDataNodes"])


def active_nodemanagers(cluster: Cluster) -> int:
    """NodeManagers that the ResourceManager gives work to; 0 while it does not answer."""
    metrics = _get(cluster, "resourcemanager-http", "ws/v1/cluster/metrics")
    return int(metrics.get("clusterMetrics", {}).get("activeNodes", 0))


def wait_for_hdfs(cluster: Cluster, patience: float = 60) -> None:
    """Until the NameNode has left safe mode and both DataNodes are alive. Raises UserError if a daemon has died."""
    _wait(cluster, ("namenode", *DATANODES), lambda: live_datanodes(cluster) == len(DATANODES), patience)


def wait_for_yarn(cluster: Cluster, patience: float = 60) -> None:
    """Until the ResourceManager has both NodeManagers. Raises UserError if a daemon has died."""
    ready = lambda: active_nodemanagers(cluster) == len(NODEMANAGERS)  # noqa: E731
    _wait(cluster, ("resourcemanager", *NODEMANAGERS), ready, patience)


def _wait(cluster: Cluster, names: tuple[str, ...], ready: Callable[[], bool], patience: float) -> None:
    deadline = time.monotonic() + patience
    while not ready():
        running = daemons_of(cluster.folder)
        for name in names:
            if name not in running:
                raise UserError(f"{name} of cluster {cluster.name!r} does not run\n{last_lines(cluster, name)}")
        if time.monotonic() > deadline:
            logs = "\n".join(last_lines(cluster, name, 5) for name in names)
            raise UserError(f"cluster {cluster.name!r} is not ready after {patience:.0f} s\n{logs}")
        time.sleep(0.3)


def _get(cluster: Cluster, purpose: str, path: str) -> dict[str, Any]:
    """JSON of a daemon's page; empty while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{cluster.address(purpose)}/{path}", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except (OSError, ValueError):
        return {}
