"""How every spark-submit job ends: one JSON object as the last line on stdout, and an exit code."""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, NoReturn

from oncotrain.errors import TOLD, exit_code
from oncotrain.log import get_logger

_PR_SET_PDEATHSIG = 1
"""prctl(2): which signal to get when the parent ends."""


def run_job(name: str, main: Callable[[], Mapping[str, Any]]) -> NoReturn:
    """Run `main` and leave the process: 0 done, 2 usage, 3 data, 130 interrupted (SIGINT or SIGTERM).

    `main` returns the job's summary, JSON-able; it becomes the last line on stdout, with the keys `job`,
    `status` (done, failed, interrupted) and `exit_code` added. A user's mistake is printed without a traceback.
    Where the spark-submit that started this process ends, this one gets SIGTERM.
    """

    def interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
        # Ending spark-submit sends it twice, and the second must not cut short what the first began: taking leave.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if "PYSPARK_GATEWAY_PORT" in os.environ:  # spark-submit, which would leave its Python to itself
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    log = get_logger(stage=name)
    summary: dict[str, Any] = {}
    status, code = "done", 0
    try:
        summary = dict(main())
    except TOLD as error:
        status, code = "failed", exit_code(error)
        summary = {"error": str(error)}
        log.error("%s", error)
    except KeyboardInterrupt:
        status, code = "interrupted", 130
        summary = {"error": "interrupted; run the same command again to go on"}
        log.error("interrupted; run the same command again to go on")
    sys.stderr.flush()
    sys.stdout.write(json.dumps({"job": name, "status": status, "exit_code": code, **summary}) + "\n")
    sys.stdout.flush()
    sys.exit(code)
