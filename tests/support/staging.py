"""A process that is in the middle of its work on a lake, for tests that kill it or let it live."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from oncotrain.lake.filesystem import Lake

_WORK = """
import sys, time
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.staging import staging
lake = Lake(sys.argv[1])
with staging(lake) as path:
    lake.fs.pipe_file(f"{path}/file", b"half")
    print(path, flush=True)
    time.sleep(600)
"""


@contextmanager
def work_in_progress(lake: Lake) -> Iterator[str]:
    """The staging directory of a process that is killed on leaving."""
    with subprocess.Popen([sys.executable, "-c", _WORK, lake.uri], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()
