"""The two jobs of a federation as processes: how they are submitted to Spark, found again, and ended."""

import os
import sys
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import psutil

from oncotrain.config.coordinator import CoordinatorConfig
from oncotrain.config.site import SiteConfig
from oncotrain.config.submission import Submission
from oncotrain.errors import UserError

STOP_SECONDS = 60.0
"""Time for a job to end by itself once it is asked to."""
LEAVE_SECONDS = 5.0
"""The same where it has to be gone."""


def client_command(site: SiteConfig) -> list[str]:
    """The site's job."""
    return [
        *_spark_submit(site),
        *("--lake", site.lake, "--site", site.site, "--superlink", site.coordinator, "--config", str(site.config)),
        *("--root-certificates", str(site.authority), "--key", str(site.key)),
        *("--coordinator-key", str(site.coordinator_key), "--engine", site.engine, "--ranks", str(site.ranks)),
        *(("--roster", *map(str, site.roster)) if site.roster else ()),
        *(part for app in site.apps for part in ("--app", app)),
    ]


def server_command(server: CoordinatorConfig) -> list[str]:
    """The coordinator's job."""
    return [
        *_spark_submit(server),
        *("--lake", server.lake, "--config", str(server.config), "--work", str(server.folder)),
        *("--superlink-host", server.host, "--superlink-port", str(server.port)),
    ]


def become(command: Sequence[str]) -> NoReturn:
    """Replace this process by the job, so that whoever started this one (a person, systemd) holds the job itself."""
    environment = {"PYSPARK_PYTHON": sys.executable, **os.environ, "PYSPARK_DRIVER_PYTHON": sys.executable}
    os.execve(command[0], list(command), environment)  # noqa: S606 - no shell


def client_processes(site: SiteConfig) -> list[psutil.Process]:
    """Processes of this machine that were given the site's job and key: Spark's Java and its Python."""
    return _given((str(site.job), str(site.key)))


def server_processes(server: CoordinatorConfig) -> list[psutil.Process]:
    """Processes of this machine that were given the coordinator's job and folder."""
    return _given((str(server.job), str(server.folder)))


def require_none(processes: Sequence[psutil.Process], stop: str) -> None:
    """Raise UserError if there are any; `stop` is the command that ends them."""
    if processes:
        raise UserError(f"it runs already (process {processes[0].pid}); to end it, type: {stop}")


def stop(processes: Sequence[psutil.Process]) -> bool:
    """Ask the job to end, and wait until it has; False if it has not within a minute."""
    _ask(processes)
    return not _survivors(processes, STOP_SECONDS)


def kill(processes: Sequence[psutil.Process]) -> None:
    """End the job and all that it started: asked first, within seconds in any case."""
    family = {*processes}
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            family |= {*process.children(recursive=True)}
    _ask(processes)
    for survivor in _survivors(family, LEAVE_SECONDS):
        with suppress(psutil.NoSuchProcess):
            survivor.kill()
    _survivors(family, LEAVE_SECONDS)


def _ask(processes: Sequence[psutil.Process]) -> None:
    """SIGTERM to the eldest: its Python gets the same from the kernel, see `run_job`, and only once."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.ppid() not in {other.pid for other in processes}:
                process.terminate()


def _survivors(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run after so long; one that its parent has not asked for (a zombie) does not."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _given(arguments: Collection[str]) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if all(argument in (process.info["cmdline"] or []) for argument in arguments)
    ]


def _spark_submit(job: Submission) -> list[str]:
    """In client mode, so that keys stay on the machine where they are."""
    submit = Path(sys.executable).parent / "spark-submit"
    return [str(submit), "--master", job.master, "--deploy-mode", "client", *job.spark_options, str(job.job)]
