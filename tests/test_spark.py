"""A session is started anew where Spark trips over its own pages, and only there."""

from collections.abc import Callable
from typing import Any

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from oncotrain.spark import spark_session


def changed_while_it_is_read(spark: SparkSession) -> None:
    """Raises the JVM's own error for a list that grew while a part of it is looked at."""
    numbers = spark._jvm.java.util.ArrayList()
    part = numbers.subList(0, 0)
    numbers.add(1)
    part.size()


def nothing_there(spark: SparkSession) -> None:
    spark._jvm.java.util.ArrayDeque().removeFirst()


def starts(monkeypatch: pytest.MonkeyPatch, failing: int, failure: Callable[[], None]) -> list[int]:
    """The starts from now on, of which the first `failing` fail."""
    seen: list[int] = []
    start = SparkSession.Builder.getOrCreate

    def tried(builder: Any) -> SparkSession:
        seen.append(len(seen))
        if len(seen) <= failing:
            failure()
        return start(builder)

    monkeypatch.setattr(SparkSession.Builder, "getOrCreate", tried)
    return seen


def test_a_start_that_tripped_is_begun_again(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = starts(monkeypatch, 2, lambda: changed_while_it_is_read(spark))
    assert spark_session("tripped").range(3).count() == 3
    assert len(seen) == 3


def test_one_that_trips_each_time_is_given_up(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = starts(monkeypatch, 100, lambda: changed_while_it_is_read(spark))
    with pytest.raises(Py4JJavaError, match="ConcurrentModificationException"):
        spark_session("tripped")
    assert len(seen) == 5


def test_another_error_is_told_at_once(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = starts(monkeypatch, 1, lambda: nothing_there(spark))
    with pytest.raises(Py4JJavaError, match="NoSuchElementException"):
        spark_session("broken")
    assert len(seen) == 1
