"""One rank, in this process: for a hospital alone, and for machines without a cluster."""

from collections.abc import Callable
from typing import TypeVar

from oncotrain.errors import UserError
from oncotrain.training.collective import Alone, Collective

T = TypeVar("T")


class Single:
    """The engine of one rank; needs no Spark."""

    def run(self, work: Callable[[Collective], T], ranks: int) -> list[T]:
        """Call `work` here. Raises UserError for more than one rank."""
        if ranks != 1:
            raise UserError(f"engine single has 1 rank; found ranks: {ranks}")
        return [work(Alone())]
