"""One rank, in this process: for a hospital alone, and for machines without a cluster."""

from collections.abc import Callable
from typing import TypeVar

from pyspark.sql import SparkSession

from oncotrain.errors import UserError
from oncotrain.training.collective import Alone, Collective

T = TypeVar("T")


class Single:
    """The engine of one rank; needs no Spark."""

    def run(self, work: Callable[[Collective], T], ranks: int, _spark: SparkSession | None) -> list[T]:
        """Call `work` here."""
        if ranks != 1:
            raise UserError(f"engine single has 1 rank; found ranks: {ranks}")
        return [work(Alone())]


ENGINE = Single()
