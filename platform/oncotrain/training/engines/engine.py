"""The seam between training and what distributes it."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from oncotrain.training.collective import Collective

T = TypeVar("T")


class Engine(Protocol):
    """Launches ranks; what they compute is no business of its own."""

    def run(self, work: Callable[[Collective], T], ranks: int) -> list[T]:
        """Call `work` once on each of `ranks` ranks and return its results in rank order.

        `work` is pickled. It must raise a UserError on all ranks or on none; `run` raises it again.
        """
