"""The jobs of a federation as their owners type them: the coordinator's, and one at each site."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from oncotrain.config.training import RunConfig
from oncotrain.federation.coordinator.server import Invitation, prepare
from oncotrain.federation.identity.keys import COORDINATOR
from oncotrain.federation.local import enroll, key_of
from oncotrain.federation.process import running

READY = "SuperLink behind"
"""What the coordinator's log says when sites may come."""
JOBS = Path(__file__).parents[2] / "jobs"
_SPARK_SUBMIT = str(Path(sys.executable).parent / "spark-submit")


@dataclass(frozen=True)
class Party:
    """Where a job runs: what precedes its command, its lake, its Spark, and its environment."""

    lake: str
    prefix: Sequence[str] = ()
    master: str = "local[1]"
    variables: Mapping[str, str] = field(default_factory=dict)
    ranks: int = 1
    """Processes that train there, in Spark's executors where they are several."""
    coordinator: str = ""
    """Where it believes the coordinator to be; by default, where that is."""


@dataclass
class Job:
    """A started job and its log, which has both its outputs."""

    process: subprocess.Popen[bytes]
    log: Path

    def says(self, text: str, times: int = 1) -> bool:
        """Whether `text` is in the log so often."""
        return self.log.exists() and self.log.read_text().count(text) >= times

    def wait_for(self, text: str, times: int = 1, seconds: float = 180) -> None:
        """Until `text` is in the log so often; fails with the log where the job ends first."""
        deadline = time.monotonic() + seconds
        while not self.says(text, times):
            goes_on = self.process.poll() is None and time.monotonic() < deadline
            assert goes_on, self.log.read_text()[-5000:]
            time.sleep(0.1)

    def kill(self) -> None:
        """As a power cut would: the process and all that it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ended(self, seconds: float = 300) -> dict[str, Any]:
        """The summary, once the job has ended; fails with the log where there is none."""
        self.process.wait(seconds)
        lines = [line for line in self.log.read_text().splitlines() if line.startswith('{"job"')]
        assert lines, self.log.read_text()[-5000:]
        summary: dict[str, Any] = json.loads(lines[-1])
        return summary


@contextmanager
def coordinator_job(party: Party, invitation: Invitation, config: Path, sites: Sequence[str]) -> Iterator[Job]:
    """`federated_server.py`; its log goes on where an earlier one ended."""
    host, port = invitation.address.split(":")
    prepare(invitation.folder, [host, "127.0.0.1"])
    enroll(invitation.folder, sites)
    options = [
        *("--lake", party.lake, "--config", str(config), "--work", str(invitation.folder)),
        *("--superlink-host", host, "--superlink-port", port),
    ]
    command = [*party.prefix, sys.executable, str(JOBS / "federated_server.py"), *options]
    log = invitation.folder.with_suffix(".log")
    with running(command, environment={**os.environ, **party.variables}, log=log) as process:
        yield Job(process, log)


@contextmanager
def site_job(
    site: str, party: Party, invitation: Invitation, config: Path, script: Path = JOBS / "federated_client.py"
) -> Iterator[Job]:
    """`federated_client.py` in client mode, with files of the coordinator's folder."""
    scratch = invitation.folder.parent / f"{site}.scratch"
    scratch.mkdir(exist_ok=True)
    spark = ["--master", party.master, "--driver-memory", "600m", "--conf", "spark.ui.enabled=false"]
    options = [
        *("--lake", party.lake, "--site", site, "--config", str(config)),
        *("--superlink", party.coordinator or invitation.address, "--root-certificates", str(invitation.authority)),
        *("--key", str(key_of(invitation.folder, site)), "--coordinator-key", str(invitation.audit_key)),
        *("--engine", "single" if party.ranks == 1 else "horovod", "--ranks", str(party.ranks)),
    ]
    command = [*party.prefix, _SPARK_SUBMIT, *spark, str(script), *options]
    variables = {"SPARK_LOCAL_DIRS": str(scratch), "SPARK_LOCAL_HOSTNAME": "localhost", "SPARK_LOCAL_IP": "127.0.0.1"}
    log = invitation.folder.parent / f"{site}.log"
    with running(command, environment={**os.environ, **variables, **party.variables}, log=log) as process:
        yield Job(process, log)


class Federation:
    """A coordinator and its sites, whose jobs can be killed and started again; all end with the context."""

    def __init__(self, folder: Path, parties: Mapping[str, Party], config: Path, address: str) -> None:
        self.parties, self.config = parties, config
        self.invitation = Invitation(folder / "work", address)
        self.jobs: dict[str, Job] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(None, None, None)

    @property
    def sites(self) -> list[str]:
        return [party for party in self.parties if party != COORDINATOR]

    def start(self, party: str, script: Path = JOBS / "federated_client.py") -> None:
        """Start the job of `party`, again where it was killed; the coordinator's, until it admits sites."""
        job = (
            coordinator_job(self.parties[party], self.invitation, self.config, self.sites)
            if party == COORDINATOR
            else site_job(party, self.parties[party], self.invitation, self.config, script)
        )
        log = self.jobs[party].log.read_text() if party in self.jobs else ""
        self.jobs[party] = self._stack.enter_context(job)
        if party == COORDINATOR:
            self.jobs[party].wait_for(READY, log.count(READY) + 1)

    def start_all(self) -> None:
        """The coordinator, then its sites."""
        for party in (COORDINATOR, *self.sites):
            self.start(party)

    def until_round(self, number: int) -> None:
        """Wait until that round is over."""
        self.jobs[COORDINATOR].wait_for(f"] round {number} of", seconds=300)


def write_config(config: RunConfig, file: Path) -> Path:
    """The configuration as YAML."""
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return file
