"""Ranks end together: one that hangs after another has ended is not waited for."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark import SparkContext

from oncotrain.log import get_logger

PATIENCE = 60.0
"""Seconds between the end of the first rank and that of the last."""


@contextmanager
def ending_together(context: SparkContext, group: str) -> Iterator[None]:
    """Meanwhile, cancel the Spark jobs of `group` where a task goes on for PATIENCE after another is done.

    A rank that has lost another fails at its next collective, as a rule. One that is frozen, or waits for a device,
    does not: it would hold its container for ever, and the driver would wait for it.
    """
    over = threading.Event()

    def watch() -> None:
        since = None
        while not over.wait(1):
            if since is None and _done(context, group):
                since = time.monotonic()
            if since is not None and time.monotonic() - since > PATIENCE:
                get_logger(stage="train").error("a rank hangs %.0f s after another has ended: it is killed", PATIENCE)
                context.cancelJobGroup(group)
                return

    watcher = threading.Thread(target=watch, name="ranks", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _done(context: SparkContext, group: str) -> int:
    """Tasks of the group that have returned. Spark starts one that failed again: the ranks may not have begun yet."""
    tracker = context.statusTracker()
    jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(group)]
    stages = [tracker.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
    return sum(stage.numCompletedTasks for stage in stages if stage)
