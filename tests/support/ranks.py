"""Ranks as threads of this process, for tests that need several ranks at the price of one."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from oncotrain.training.collective import Collective

T = TypeVar("T")


class _Thread:
    def __init__(self, rank: int, board: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.local_rank, self.world = rank, rank, len(board)
        self._board, self._barrier = board, barrier

    def gather(self, value: T) -> list[T]:
        self._board[self.rank] = value
        self._barrier.wait()
        values = list(self._board)
        self._barrier.wait()
        return values

    def summed(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        shares = self.gather([tensor.clone() for tensor in tensors])
        return [torch.stack(parts).sum(dim=0) for parts in zip(*shares, strict=True)]

    def broadcast(self, tensors: Sequence[torch.Tensor]) -> None:
        for tensor, first in zip(tensors, self.gather([tensor.clone() for tensor in tensors])[0], strict=True):
            tensor.copy_(first)


def run_ranks(work: Callable[[Collective], T], world: int) -> list[T]:
    """Call `work` on `world` threads and return the results in rank order; an exception of a rank is raised."""
    barrier = threading.Barrier(world, timeout=60)
    board: list[Any] = [None] * world
    with ThreadPoolExecutor(world) as executor:
        return list(executor.map(work, [_Thread(rank, board, barrier) for rank in range(world)]))
