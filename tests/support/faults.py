"""What a fault test does to a cluster: find a process in its containers, take a daemon away, wait for what follows."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

from oncotrain.cluster.daemons import kill_daemon, start
from oncotrain.cluster.folder import Cluster
from oncotrain.cluster.processes import processes_of
from oncotrain.cluster.ready import wait_for_hdfs


def wait(condition: Callable[[], object], seconds: float = 60) -> None:
    """Until `condition` holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the fault waits for did not happen"
        time.sleep(0.02)


@contextmanager
def without(cluster: Cluster, daemon: str) -> Iterator[None]:
    """The daemon is killed, and comes back on leaving."""
    kill_daemon(cluster, daemon)
    try:
        yield
    finally:
        start(cluster, daemon)
        wait_for_hdfs(cluster)


def runs(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def in_containers(cluster: Cluster, variable: str, value: str | None = None) -> list[psutil.Process]:
    """Living processes of all containers whose environment has `variable`, as `value` where that is given."""
    found = []
    for process in processes_of(cluster.folder):
        with suppress(psutil.Error, OSError):
            variables = process.environ()
            if "CONTAINER_ID" in variables and variable in variables and value in (None, variables[variable]):
                found.append(process)
    return found
