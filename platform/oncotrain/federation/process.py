"""Child processes that end with their parent's interest in them."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

GRACE_SECONDS = 10.0


@contextmanager
def running(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` for as long as the context lasts, its output in the file `log`.

    It is a process group of its own, so that an interrupt typed at the terminal reaches the parent alone, which then
    ends the child in order.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - the command is made here, from an argument list
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end; insist after ten seconds."""
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_lines(log: Path, count: int = 5) -> str:
    """The end of a log, for a message that says why a process ended."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(line for line in lines[-count:] if line.strip())
