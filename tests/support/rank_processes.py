"""Processes of an engine's ranks below this one."""

import contextlib

import psutil

RANK = {"horovod": "HOROVOD_RANK", "ddp": "RANK"}
"""Where an engine puts a rank's number into the environment of its process."""
_OWN = {"horovod": "HOROVOD_RANK", "ddp": "TORCHELASTIC_RUN_ID"}
"""What is in the environment of ranks alone: Spark's task and the agent above a rank of DDP have its number as well."""


def ranks_of(engine: str) -> dict[int, psutil.Process]:
    """Those that live, by the number of the rank."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.name().startswith("python") and _OWN[engine] in process.environ():
                found.setdefault(int(process.environ()[RANK[engine]]), process)
    return found
