"""Batches of one rank, read, decoded and collated in a background thread while the model computes."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

from oncotrain.config.training import TrainConfig
from oncotrain.errors import DataError
from oncotrain.lake.dataset import Dataset
from oncotrain.tasks import Plan, Row, Task
from oncotrain.training.collective import Collective
from oncotrain.training.sampling import epoch_order, rank_slice, row_rng, steps_per_epoch

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
) -> Iterator[list[Batch]]:
    """This rank's slice of the global batch of each step, in pieces of `train.micro_batch` rows; none without a row.

    Args:
        steps: Step numbers since the beginning of the training; they need not begin with an epoch.
        rows: Selected row numbers (n,) int64, n > 0.
    """
    per_epoch = steps_per_epoch(len(rows), train.batch_size)
    epoch, order = -1, rows
    for step in steps:
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            order = epoch_order(train.seed, epoch, dataset.group_sizes, rows, train.shuffle_groups)
        start = step % per_epoch * train.batch_size
        mine = rank_slice(order[start : start + train.batch_size], collective.rank, collective.world)
        size = train.micro_batch or train.batch_size
        pieces = [mine[at : at + size].tolist() for at in range(0, len(mine), size)]
        yield [
            task.collate(
                read_rows(dataset, piece, task, plan),
                plan,
                [row_rng(train.seed, epoch, row) for row in piece] if train.augment else None,
            )
            for piece in pieces
        ]


def prefetch(items: Iterator[T], ahead: int = 2) -> Generator[T]:
    """The same items, up to `ahead` of them made before they are asked for, by one thread.

    An exception of `items` is raised where its item would have been. Closing the generator ends the thread.
    """
    end = object()
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="loader")
    try:
        made = deque(executor.submit(next, items, end) for _ in range(ahead))
        while (item := made.popleft().result()) is not end:
            made.append(executor.submit(next, items, end))
            yield item  # type: ignore[misc]  # the sentinel is gone
    finally:
        executor.shutdown(cancel_futures=True)
