"""Children end with what started them, and leave nobody behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from oncotrain.federation.process import running

CHILD = """
import os, signal, subprocess, sys, time
if sys.argv[1:] == ["deaf"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    time.sleep(600)
subprocess.Popen([sys.executable, __file__, "deaf"])
time.sleep(600)
"""
WATCHED = """
import os, time
from oncotrain.federation.process import end_with_parent
end_with_parent()
print(os.getpid(), flush=True)
time.sleep(600)
"""


def test_who_does_not_listen_does_not_outlive_the_group(tmp_path):
    script, log = tmp_path / "child.py", tmp_path / "log"
    script.write_text(CHILD)
    with running([sys.executable, str(script)], environment=os.environ, log=log):
        deaf = pid_in(log)
        assert psutil.pid_exists(deaf)
    wait_until_gone(deaf)


def test_a_process_ends_after_its_parent_was_killed(tmp_path):
    log = tmp_path / "log"
    child = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WATCHED!r}], stdout=open({str(log)!r}, 'w'))"
    )
    parent = subprocess.Popen([sys.executable, "-c", child])
    watched = pid_in(log)
    parent.kill()
    parent.wait()
    wait_until_gone(watched)


def pid_in(log: Path) -> int:
    deadline = time.monotonic() + 60
    while not (log.exists() and log.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return int(log.read_text())


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.1)
