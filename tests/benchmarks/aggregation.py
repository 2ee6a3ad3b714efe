"""Memory of the coordinator while it averages many sites' updates, in models' worth: ours beside Flower's FedAvg.

    python tests/benchmarks/aggregation.py [--sites 50] [--parameters 25000000] [--stock-sites 10]

Each way in a process of its own. A reply is made when it is asked for, as the network would bring it; measured is the
peak of resident memory beyond what the process had with the common parameters and nothing else. Flower's way keeps all
replies until it averages, so it is run with fewer sites: its memory grows with them.
"""

import multiprocessing
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.serverapp.strategy import FedAvg
from flwr.supercore.task_identity import TaskIdentity

from oncotrain.federation.coordinator.sites import Sites
from oncotrain.federation.strategies.updates import Updates
from oncotrain.federation.wire.blocks import pack
from oncotrain.federation.wire.parcel import ARRAYS, Parcel, parameters_of, to_records
from oncotrain.job import run_job

LAYERS = 10


class _Grid:
    """Makes a site's reply, its number in every parameter, when it is fetched; `wrap` makes it fit to travel."""

    def __init__(self, common: list[np.ndarray], wrap: Callable[[list[RecordDict]], None]) -> None:
        self._common, self._wrap = common, wrap
        self._asked: dict[str, Message] = {}

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        new = {f"message-{number}": message for number, message in enumerate(messages)}
        for identifier, message in new.items():
            message.metadata.__dict__["_message_id"] = identifier
        self._asked |= new
        return list(new)

    def pull_messages(self, identifiers: Iterable[str]) -> list[Message]:
        return [self._reply(self._asked.pop(identifier)) for identifier in identifiers]

    def _reply(self, message: Message) -> Message:
        value = np.float32(message.metadata.dst_node_id)
        records = to_records(Parcel({"seconds": 0.0, "cpu_seconds": 0.0}, {}, (), {"equal": 1.0, "loss": 0.0}))
        arrays = ((f"{number:02d}", Array(np.full_like(array, value))) for number, array in enumerate(self._common))
        records[ARRAYS] = ArrayRecord(OrderedDict(arrays))
        self._wrap([records])
        return Message(records, reply_to=message)


def ours(sites: int, parameters: int) -> dict[str, float]:
    """Models' worth of memory, seconds, and the mean that was found."""
    common = _common(parameters)
    names = {number: f"site-{number:03d}" for number in range(1, sites + 1)}
    group = Sites(_Grid(common, pack), names, 600.0)
    messages = [Message(to_records(Parcel()), node, "train") for node in names]
    before, began = _resident(), time.monotonic()
    with Updates(common) as updates:

        def take(reply: Message) -> Message:
            updates.add(group.name(reply), parameters_of(reply.content))
            reply.content.pop(ARRAYS).clear()
            return reply

        group.exchange(messages, take)
        mean = updates.mean(dict.fromkeys(names.values(), 1.0))
    return _result(before, began, parameters, mean)


def stock(sites: int, parameters: int) -> dict[str, float]:
    """The same with Flower's strategy alone."""
    common = _common(parameters)
    grid = _Grid(common, lambda _records: None)
    messages = [Message(to_records(Parcel()), node, "train") for node in range(1, sites + 1)]
    before, began = _resident(), time.monotonic()
    replies = grid.pull_messages(grid.push_messages(messages))
    averaged, _ = FedAvg(weighted_by_key="equal").aggregate_train(1, replies)
    assert isinstance(averaged, ArrayRecord)
    return _result(before, began, parameters, averaged.to_numpy_ndarrays())


def measure(sites: int, parameters: int, stock_sites: int) -> dict[str, Any]:
    """Both ways, each in a fresh process, as a table."""
    print("| way | sites | memory, models | s |\n|---|---|---|---|")
    summary: dict[str, Any] = {"parameters": parameters}
    for way, count in ((ours, sites), (ours, stock_sites), (stock, stock_sites)):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(way, (count, parameters))
        print(f"| {way.__name__} | {count} | {found['models']:.2f} | {found['seconds']:.1f} |")
        summary[f"{way.__name__} {count}"] = found
    return summary


def _common(parameters: int) -> list[np.ndarray]:
    # Messages carry the identity of the process that Flower started for the app; here there is none.
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
    return [np.ones(parameters // LAYERS, np.float32) for _ in range(LAYERS)]


def _resident() -> int:
    # The kernel's peak begins anew, so that what importing took does not count.
    Path("/proc/self/clear_refs").write_text("5")
    return int(psutil.Process().memory_info().rss)


def _result(before: int, began: float, parameters: int, mean: list[np.ndarray]) -> dict[str, float]:
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    models = (int(peak.split()[1]) * 1024 - before) / (4 * parameters)
    return {"models": models, "seconds": time.monotonic() - began, "mean": float(mean[0][0])}


def main(
    sites: Annotated[int, typer.Option(min=2)] = 50,
    parameters: Annotated[int, typer.Option(min=LAYERS)] = 25_000_000,
    stock_sites: Annotated[int, typer.Option(min=2)] = 10,
) -> None:
    """Print the table; the last line is the same as JSON."""
    run_job("aggregation", lambda: measure(sites, parameters, stock_sites))


if __name__ == "__main__":
    typer.run(main)
