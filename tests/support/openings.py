"""Which files a command and all of its descendants opened, as the kernel saw it (strace)."""

import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pytest

_CALL = re.compile(r'^(\d+) +(?:open|openat|openat2|creat)\((?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
_OPENED = re.compile(r"^(\d+) +.*= \d+<(/[^>]*)>$")
_PROGRAM = re.compile(r"^(\d+) +execve\(\"[^\"]*\", \[(.*?)\], ")


def trace_into(log: Path) -> list[str]:
    """What to put before a command. Its process stays the direct child; ``{...}`` in `log` is the caller's to fill."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (apt install strace), so nobody sees who opens which lake")
    # A seccomp filter stops processes at these calls alone, so that Java and torch run at nearly full speed.
    calls = "trace=open,openat,openat2,creat,execve"
    return ["strace", "-D", "-f", "-q", "--seccomp-bpf", "-y", "-s", "4096", "-e", calls, "-o", str(log), "--"]


@dataclass(frozen=True)
class Trace:
    """What strace noted."""

    programs: dict[int, str]
    """Command line by process id, of every process that was started."""
    openings: frozenset[tuple[int, str]]
    """(process or thread id, absolute path), as asked for and as resolved by the kernel; refused ones too."""

    def processes(self, program: str) -> set[int]:
        """Ids of the processes whose command line contains `program`."""
        return {process for process, line in self.programs.items() if program in line}

    def opened_under(self, folders: Collection[Path]) -> set[tuple[int, str]]:
        """Openings of files in any of these folders."""
        return {
            (process, path) for process, path in self.openings if any(Path(path).is_relative_to(f) for f in folders)
        }


def read_trace(log: Path) -> Trace:
    """Parse what a traced command left."""
    programs: dict[int, str] = {}
    openings: set[tuple[int, str]] = set()
    for line in log.read_text(errors="replace").splitlines():
        if match := _PROGRAM.match(line):
            programs[int(match[1])] = " ".join(re.findall(r'"((?:[^"\\]|\\.)*)"', match[2]))
            continue
        if match := _CALL.match(line):
            asked = Path(match[2] or "/") / match[3]
            openings.add((int(match[1]), str(Path(*_without_dots(asked)))))
        if match := _OPENED.match(line):
            openings.add((int(match[1]), match[2]))
    return Trace(programs, frozenset(openings))


def _without_dots(path: Path) -> list[str]:
    """The parts of a path with each '..' applied to the one before; the kernel's own resolution is noted besides."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and len(parts) > 1:
            parts.pop()
        elif part != "..":
            parts.append(part)
    return parts
