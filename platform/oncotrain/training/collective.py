"""What the ranks of one training say to each other."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import torch

from oncotrain.errors import UserError

T = TypeVar("T")


class Collective(Protocol):
    """One rank's view of all ranks. Every rank must make the same calls in the same order."""

    rank: int
    world: int
    local_rank: int
    """Number of this rank on its machine; chooses the GPU where there is one."""

    def summed(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The sum of each tensor over the ranks. All have one dtype; shapes and dtype agree between ranks."""

    def broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor by that of rank 0."""

    def gather(self, value: T) -> list[T]:
        """The values of all ranks, in rank order, on every rank. Values are pickled."""


class Alone:
    """The collective of a single rank."""

    rank = 0
    world = 1
    local_rank = 0

    def summed(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The sum over one rank is what is there: the same tensors."""
        return list(tensors)

    def broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        """Rank 0 is this rank."""

    def gather(self, value: T) -> list[T]:
        """One value."""
        return [value]


def flat_sum(tensors: Sequence[torch.Tensor], reduce: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
    """What `reduce` makes of tensors of one dtype laid end to end, one message and not many: views of its result."""
    parts = torch.split(
        reduce(torch.cat([tensor.reshape(-1) for tensor in tensors])), [tensor.numel() for tensor in tensors]
    )
    return [part.view_as(tensor) for tensor, part in zip(tensors, parts, strict=True)]


def device(collective: Collective) -> torch.device:
    """The GPU of this rank where CUDA exists (ranks share when there are fewer GPUs), else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", collective.local_rank % torch.cuda.device_count())


def attempt(work: Callable[[], T]) -> T | UserError:
    """The result of `work`, or the user's error as a value that can be sent to other ranks."""
    try:
        return work()
    except UserError as error:
        return error


def successes(outcomes: Sequence[T | UserError]) -> list[T]:
    """What `attempt` returned on each rank. Raises the first UserError among them."""
    values: list[T] = []
    for outcome in outcomes:
        if isinstance(outcome, UserError):
            raise outcome
        values.append(outcome)
    return values


def together(collective: Collective, work: Callable[[], T]) -> list[T]:
    """The results of `work` on all ranks, in rank order; a UserError of any rank is raised on every rank."""
    return successes(collective.gather(attempt(work)))
