"""Whose process is it? Daemons and all they start carry their cluster's folder in the environment.

Pids are never written down: a pid in a file may belong to somebody else by the time it is read.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "ONCOTRAIN_CLUSTER"
"""Environment variable: the folder of the cluster that a process belongs to. NodeManagers hand it to containers."""
DAEMON = "-Doncotrain.daemon="
"""Option on a daemon's command line, followed by its name."""


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every living process of the cluster in `folder`: daemons, containers, and what these have started."""
    return [process for process in psutil.process_iter() if _belongs(process, folder)]


def daemons_of(folder: Path) -> dict[str, psutil.Process]:
    """Running daemons by name."""
    found = {}
    for process in processes_of(folder):
        option = next((word for word in _command(process) if word.startswith(DAEMON)), None)
        if option is not None:
            found[option.removeprefix(DAEMON)] = process
    return found


def terminate(processes: Iterable[psutil.Process], patience: float = 10) -> None:
    """SIGTERM, and after `patience` seconds SIGKILL; returns when all of them are gone."""
    processes = list(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, living = psutil.wait_procs(processes, patience)
    kill(living)


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL; returns when all of them are gone."""
    processes = list(processes)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, 10)


def _belongs(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.environ().get(MARK) == str(folder) and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):  # gone meanwhile, or of another account
        return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
