"""Reading a file that may be anything, in a process that may die: decoders of damaged files crash, hang and swell."""

import ctypes
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import psutil

from oncotrain.errors import DataError, UserError
from oncotrain.memory_file import contents, memory_file, size_of

PATIENCE = 30.0
"""Seconds without progress after which a file is given up."""
MEMORY = 2 << 30
"""Bytes that the process may hold."""
_LOOK = 0.5
"""Seconds between two looks at the process."""
_PDEATHSIG = 1
_KEEP_MEMORY = ((-1, 1 << 30), (-3, 32 << 20))
"""For `mallopt`: what is freed (M_TRIM_THRESHOLD) of blocks up to 32 MiB (M_MMAP_THRESHOLD) is kept for the next tile.
Given back to the system, each of its pages would cost a fault again."""

T = TypeVar("T")
Beat = Callable[[], None]
"""To be called whenever a little is done: shows that the work goes on."""


def guarded(work: Callable[[Beat, BinaryIO], T]) -> tuple[T, memoryview]:
    """The facts that `work` returns and the bytes that it writes, in a forked process of its own.

    Raises DataError, in words that name nobody, where it raises that or anything else, dies, does not call `Beat` for
    `PATIENCE` seconds, or needs more than `MEMORY`. So `work` reads files and touches no lake, whose errors are none
    of the file's. Whoever calls runs no thread pool (OpenCV's, for one): a fork has its locks and not its threads.

    The bytes are written to memory that both processes see: through a pipe they would be copied four times more.
    """
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    with memory_file("guarded") as shared:
        process = context.Process(target=_run, args=(work, shared, send), daemon=True)
        process.start()
        send.close()
        try:
            facts = _await(process, receive, shared)
        finally:
            receive.close()
            process.kill()
            process.join()
        return facts, contents(shared)


def _await(process: Any, receive: Connection, shared: BinaryIO) -> Any:
    deadline = time.monotonic() + PATIENCE
    watched = psutil.Process(process.pid)
    while True:
        try:
            if receive.poll(_LOOK):
                what, value = receive.recv()
                if what == "refused":
                    raise DataError(value)
                if what == "done":
                    return value
                deadline = time.monotonic() + PATIENCE
        except (EOFError, OSError):
            process.join()
            raise DataError(f"is damaged: its reader died ({_cause(process.exitcode)})") from None
        if time.monotonic() > deadline:
            raise DataError(f"is damaged: its reader made no progress for {PATIENCE:g} s")
        if _resident(watched) + size_of(shared) > MEMORY:
            raise DataError(f"needs more than {MEMORY >> 30} GiB of memory to be read")


def _run(work: Callable[[Beat, BinaryIO], Any], shared: BinaryIO, send: Connection) -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(_PDEATHSIG, signal.SIGKILL)
    for option, value in _KEEP_MEMORY:
        libc.mallopt(option, value)
    nowhere = Path(os.devnull).open("w")  # noqa: SIM115 - to the process's end
    for stream in (1, 2):  # decoders complain with the texts that they find in a header
        os.dup2(nowhere.fileno(), stream)
    sys.stdout = sys.stderr = nowhere
    told = time.monotonic()

    def beat() -> None:
        nonlocal told
        if time.monotonic() - told > _LOOK:
            send.send(("beat", None))
            told = time.monotonic()

    try:
        facts = work(beat, shared)
    except UserError as error:
        send.send(("refused", str(error)))
    except BaseException as error:  # noqa: BLE001 - whatever a decoder thinks of
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}, line {where.lineno}"
        send.send(("refused", f"cannot be read ({type(error).__name__} in {place})"))
    else:
        send.send(("done", facts))


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it has ended; what it sent is still to be read
        return 0


def _cause(exitcode: int) -> str:
    return signal.Signals(-exitcode).name if exitcode < 0 else f"exit code {exitcode}"
