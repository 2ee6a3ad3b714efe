"""One SparkSession for local runs, YARN and a site's cluster."""

import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from oncotrain.errors import UserError
from oncotrain.log import get_logger

T = TypeVar("T")
R = TypeVar("R")

_STARTS = 5


def spark_session(app_name: str, master: str | None = None) -> SparkSession:
    """The session that spark-submit configured or, in a plain Python process, one on `master`, by default local[2].

    Executors use this interpreter unless PYSPARK_PYTHON names another (as it must where they have their own).
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(app_name)
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if master or not submitted:
        builder = builder.master(master or "local[2]")
    if not submitted:
        builder = builder.config("spark.ui.enabled", "false").config("spark.driver.bindAddress", "127.0.0.1")
    session = _start(builder.config("spark.ui.showConsoleProgress", "false"))
    session.sparkContext.setLogLevel("ERROR")
    for name, link in _links(session).items():
        get_logger(stage=app_name).info("%s: %s", name, link)
    return session


def _start(builder: SparkSession.Builder) -> SparkSession:
    """A session, started anew where Spark trips over itself.

    In YARN's client mode the application master sends a filter for the Spark UI while the driver starts the UI's pages.
    If both touch a page at once, Spark 4.3.0 ends the application: about one in thirty, as measured.
    """
    for _ in range(_STARTS - 1):
        try:
            return builder.getOrCreate()
        except Py4JJavaError as error:
            if error.java_exception.getClass().getName() != "java.util.ConcurrentModificationException":
                raise
            get_logger(stage="spark").warning("Spark's pages got in the way of its start; it is started again")
    return builder.getOrCreate()


def _links(spark: SparkSession) -> dict[str, str]:
    """Where a browser shows the application: Spark's own pages while it runs, YARN's with the containers' logs."""
    context, links = spark.sparkContext, {}
    if context.uiWebUrl:
        links["Spark UI"] = context.uiWebUrl
    if context.master == "yarn":
        address = context._jsc.hadoopConfiguration().get("yarn.resourcemanager.webapp.address")
        links["YARN"] = f"http://{address}/cluster/app/{context.applicationId}"
    return links


def run_tasks(spark: SparkSession, items: Sequence[T], work: Callable[[T], R]) -> list[R]:
    """`work` of each item, in order, each in a Spark task of its own.

    A task that dies is tried again elsewhere; a UserError is not, and is raised here.
    """

    def attempt(item: T) -> R | UserError:
        if not gc.get_freeze_count():
            # Spark's worker collects garbage after each task: 0.1 s, if that goes through all that was imported.
            gc.freeze()
        try:
            return work(item)
        except UserError as error:
            return error

    results: list[R] = []
    for outcome in spark.sparkContext.parallelize(items, max(1, len(items))).map(attempt).collect():
        if isinstance(outcome, UserError):
            raise outcome
        results.append(outcome)
    return results
