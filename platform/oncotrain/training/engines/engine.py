"""The seam between training and what distributes it."""

import importlib
from collections.abc import Callable
from typing import Protocol, TypeVar

from pyspark.sql import SparkSession

from oncotrain.training.collective import Collective

T = TypeVar("T")


class Engine(Protocol):
    """Launches ranks; what they compute is no business of its own."""

    def run(self, work: Callable[[Collective], T], ranks: int, spark: SparkSession | None) -> list[T]:
        """Call `work` once on each of `ranks` ranks and return its results in rank order.

        `work` is pickled by value. It must raise a UserError on all ranks or on none; `run` raises it again.
        """


def create_engine(name: str) -> Engine:
    """The engine of module `engines/<name>.py`; imported on demand, since Horovod may not be installed."""
    engine: Engine = importlib.import_module(f"oncotrain.training.engines.{name}").ENGINE
    return engine
