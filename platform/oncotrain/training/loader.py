"""Batches of one rank, read, decoded and collated in background threads while the model computes."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import lru_cache
from itertools import islice, tee
from typing import TypeVar

import numpy as np
import torch

from oncotrain.config.training import TrainConfig
from oncotrain.errors import DataError
from oncotrain.lake.dataset import Dataset
from oncotrain.tasks import Plan, Row, Task
from oncotrain.training.collective import Collective
from oncotrain.training.sampling import epoch_order, poisson_sample, rank_slice, row_rng, sample_rate, steps_per_epoch

EARLY = 8
"""Batches between the loading of a row group and its first use: far enough for a lake over a network."""

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

    def numbers(step: int) -> np.ndarray:
        start = step % per_epoch * train.batch_size
        batch = order(step // per_epoch)[start : start + train.batch_size]
        return rank_slice(batch, collective.rank, collective.world)

    def collate(epoch: int, piece: list[int]) -> Batch:
        rngs = [row_rng(train.seed, epoch, row) for row in piece] if train.augment else None
        return task.collate(read_rows(dataset, piece, task, plan), plan, rngs)

    def make(step: int) -> list[Batch]:
        mine = numbers(step)
        return [collate(step // per_epoch, mine[at : at + size].tolist()) for at in range(0, len(mine), size)]

    return prefetch(make, steps, train.readers, early=lambda step: dataset.load(numbers(step), task.columns))


def patient_batches(
    steps: range,
    *,
    task: Task,
    plan: Plan,
    dataset: Dataset,
    patients: Sequence[np.ndarray],
    train: TrainConfig,
    secret: int,
) -> Generator[Iterator[list[Batch]]]:
    """Those who take part in each step, a Poisson sample: of each patient all rows, in pieces of `train.micro_batch`.

    A step's patients come one at a time, for all their rows together may be more than memory holds; they are to be
    taken before the next step is asked for.

    Args:
        patients: The row numbers of each.
        secret: What sample and augmentation follow from.
    """
    rate, size = sample_rate(len(patients), train.batch_size), train.micro_batch or train.batch_size

    def make(item: tuple[int, int]) -> list[Batch]:
        step, rows = item[0], patients[item[1]].tolist()

        def collate(piece: list[int]) -> Batch:
            rngs = [row_rng(secret, step, row) for row in piece] if train.augment else None
            return task.collate(read_rows(dataset, piece, task, plan), plan, rngs)

        return [collate(rows[at : at + size]) for at in range(0, len(rows), size)]

    def sample(step: int) -> list[int]:
        return list(map(int, poisson_sample(secret, step, len(patients), rate)))

    def load(item: tuple[int, int]) -> None:
        dataset.load(patients[item[1]], task.columns)

    items = ((step, patient) for step in steps for patient in sample(step))
    with closing(prefetch(make, items, train.readers, load)) as made:
        for step in steps:
            yield islice(made, len(sample(step)))


def prefetch(
    make: Callable[[S], T], items: Iterable[S], threads: int = 1, early: Callable[[S], object] | None = None
) -> Generator[T]:
    """What `make` makes of each item, in order, two a thread made before they are asked for.

    An exception is raised where its result would have been. Closing the generator ends the threads.

    Args:
        early: What can be done long before, EARLY items ahead, in one more thread, so that `make` need not wait for it.
            Whatever it raises, `make` meets for itself.
    """
    makers = ThreadPoolExecutor(threads, thread_name_prefix="loader")
    fetcher = ThreadPoolExecutor(1, thread_name_prefix="fetcher")
    ahead, far_ahead = tee(items)
    fetched = (fetcher.submit(early, item) for item in far_ahead) if early else iter(())
    try:
        deque(islice(fetched, EARLY), maxlen=0)
        made = deque(makers.submit(make, item) for item in islice(ahead, 2 * threads))
        while made:
            result = made.popleft().result()
            made.extend(makers.submit(make, item) for item in islice(ahead, 1))
            next(fetched, None)
            yield result
    finally:
        makers.shutdown(cancel_futures=True)
        fetcher.shutdown(cancel_futures=True)
