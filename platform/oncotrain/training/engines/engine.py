"""The seam between training and what distributes it."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from oncotrain.training.collective import Collective

T = TypeVar("T")


class RankLost(Exception):  # noqa: N818 - what happened, not whose mistake it is
    """A rank ended without a result: killed, out of memory, its machine gone. The others were ended with it."""


class Engine(Protocol):
    """Launches ranks; what they compute is no business of its own."""

    def run(self, work: Callable[[Collective], T], ranks: int) -> list[T]:
        """Call `work` once on each of `ranks` ranks and return its results in rank order.

        `work` is pickled. It must raise a UserError on all ranks or on none; `run` raises it again.

        Raises RankLost if a rank ended otherwise.
        """
