"""One SparkSession for local runs, YARN and a site's cluster."""

import os
import sys

from pyspark.sql import SparkSession


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
    session = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
