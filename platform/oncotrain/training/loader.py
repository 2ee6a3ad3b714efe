"""Batches of one rank, read, decoded and collated in background threads while the model computes."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from typing import TypeVar

import numpy as np
import torch

from oncotrain.config.training import TrainConfig
from oncotrain.errors import DataError
from oncotrain.lake.dataset import Dataset
from oncotrain.tasks import Plan, Row, Task
from oncotrain.training.collective import Collective
from oncotrain.training.sampling import epoch_order, rank_slice, row_rng, steps_per_epoch

S = TypeVar("S")
T = TypeVar("T")

Batch = dict[str, torch.Tensor]
"""What a task collates of some rows."""


def read_rows(dataset: Dataset, numbers: Sequence[int], task: Task, plan: Plan) -> list[Row]:
    """The rows of these numbers, in that order, as the task knows them.

    Raises:
        DataError: The dataset gave another number of rows than asked.
    """
    rows = dataset.read(numbers, task.columns)
    if len(rows) != len(numbers):
        raise DataError(f"{dataset.uri}: {len(rows)} rows read where {len(numbers)} were asked")
    adapt = task.adapt(dataset.manifest.features, plan)
    return [adapt(row) for row in rows]


def batches(
    steps: range,
    *,
    task: Task,
    plan: Plan,
    dataset: Dataset,
    rows: np.ndarray,
    train: TrainConfig,
    collective: Collective,
) -> Generator[list[Batch]]:
    """This rank's slice of the global batch of each step, in pieces of `train.micro_batch` rows; none without a row.

    Args:
        steps: Step numbers since the beginning of the training; they need not begin with an epoch.
        rows: Selected row numbers (n,) int64, n > 0.
    """
    per_epoch = steps_per_epoch(len(rows), train.batch_size)
    size = train.micro_batch or train.batch_size

    @lru_cache(maxsize=2)  # readers work on the end of one epoch and the beginning of the next
    def order(epoch: int) -> np.ndarray:
        return epoch_order(train.seed, epoch, dataset.group_sizes, rows, train.shuffle_groups)

    def collate(epoch: int, piece: list[int]) -> Batch:
        rngs = [row_rng(train.seed, epoch, row) for row in piece] if train.augment else None
        return task.collate(read_rows(dataset, piece, task, plan), plan, rngs)

    def make(step: int) -> list[Batch]:
        epoch, start = step // per_epoch, step % per_epoch * train.batch_size
        mine = rank_slice(order(epoch)[start : start + train.batch_size], collective.rank, collective.world)
        return [collate(epoch, mine[at : at + size].tolist()) for at in range(0, len(mine), size)]

    return prefetch(make, steps, train.readers)


def prefetch(make: Callable[[S], T], items: Iterable[S], threads: int = 1) -> Generator[T]:
    """What `make` makes of each item, in order, two a thread made before they are asked for.

    An exception is raised where its result would have been. Closing the generator ends the threads.
    """
    executor = ThreadPoolExecutor(threads, thread_name_prefix="loader")
    ahead = iter(items)
    try:
        made = deque(executor.submit(make, item) for item in islice(ahead, 2 * threads))
        while made:
            result = made.popleft().result()
            made.extend(executor.submit(make, item) for item in islice(ahead, 1))
            yield result
    finally:
        executor.shutdown(cancel_futures=True)
