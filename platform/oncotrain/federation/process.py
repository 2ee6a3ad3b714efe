"""Child processes that end with their parent's interest in them, or with their parent."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

GRACE_SECONDS = 10.0
PARENT_SECONDS = 2.0


@contextmanager
def running(command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` for as long as the context lasts, its output in the file `log`.

    It leads a process group of its own: an interrupt typed at the terminal reaches the parent alone, which then ends
    the child and what the child started. Where this process is killed, the child ends, too.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            # setpriv (util-linux): SIGTERM when this process ends.
            ["setpriv", "--pdeathsig", "TERM", "--", *command],  # noqa: S607 - found on PATH, wherever that is
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )
    try:
        yield process
    finally:
        stop(process)


def end_with_parent() -> None:
    """End this process within seconds once the one that started it has ended, whatever this one is waiting for."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the process and its group to end; insist after ten seconds, and where others outlive it at once."""
    _signal_group(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def last_lines(log: Path, count: int = 5) -> str:
    """The end of a log, for a message that says why a process ended."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(line for line in lines[-count:] if line.strip())
