"""A federated round beyond training: ours beside the stock way, in turn, in one run.

    python tests/benchmarks/federated_round.py --work DIR [--parameters 5000000] [--rounds 6] [--repetitions 3]

Three sites on loopback, TLS and keys in both ways, and a model of which each site sends back a multiple of its own, so
that a round is overhead alone (a tensor that Flower has met before is not sent again, so it has to be another one each
time). Stock is Flower's own loop (`FedAvg.start`) with a SuperNode a site, each of which starts a process for every
message, whose app imports torch. Ours is a gateway before the SuperLink, and sites that take messages themselves. The
first round is left out. Medians and ranges over all other rounds are printed, and as JSON.
"""

import hashlib
import json
import multiprocessing
import random
import shutil
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from flwr.app import RecordDict
from flwr.cli.build import build_fab_from_disk

from oncotrain.federation.coordinator.server import Coordinator, coordinator, prepare
from oncotrain.federation.local import enroll, key_of
from oncotrain.federation.process import running
from oncotrain.federation.wire import blocks, parcel, superlink
from oncotrain.federation.wire.connection import joined
from oncotrain.federation.wire.flower import environment, executable
from oncotrain.federation.wire.superlink import free_ports
from oncotrain.job import run_job

SITES = ("aachen", "basel", "delft")

STOCK = """
import json, random, time
from pathlib import Path
import numpy as np
import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

client = ClientApp()
server = ServerApp()

@client.train()
def train(message, context):
    factor = np.float32(1 + random.random())
    arrays = ArrayRecord([factor * array for array in message.content["arrays"].to_numpy_ndarrays()])
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})
    return Message(content, reply_to=message)

class Timed(FedAvg):
    begins = []
    def configure_train(self, *arguments):
        self.begins.append(time.monotonic())
        return super().configure_train(*arguments)

@server.main()
def main(grid, context):
    given = json.loads(Path(context.run_config["job"]).read_text())
    strategy = Timed(fraction_evaluate=0.0, min_train_nodes=3, min_available_nodes=3)
    arrays = ArrayRecord([np.random.default_rng(i).random(given["parameters"] // 10, np.float32) for i in range(10)])
    strategy.start(grid, arrays, num_rounds=given["rounds"])
    seconds = np.diff([*strategy.begins, time.monotonic()]).tolist()
    Path(given["result"]).write_text(json.dumps([{"round": each} for each in seconds]))
"""

OURS = """
import json, time
from pathlib import Path
import numpy as np
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from oncotrain.federation.coordinator import sites as sites_module
from oncotrain.federation.coordinator.sites import Sites
from oncotrain.federation.strategies.updates import Updates
from oncotrain.federation.wire.grid import PromptGrid
from oncotrain.federation.wire.parcel import ARRAYS, CONFIG, Parcel, parameters_of, to_records

client = ClientApp()
server = ServerApp()

class Clock:
    def __init__(self):
        self.seconds = {}
    def timed(self, piece, function):
        def call(*arguments):
            began = time.monotonic()
            try:
                return function(*arguments)
            finally:
                self.seconds[piece] = self.seconds.get(piece, 0.0) + time.monotonic() - began
        return call

@server.main()
def main(grid, context):
    given, grid = json.loads(Path(context.run_config["job"]).read_text()), PromptGrid(grid)
    push, pull = grid.push_messages, grid.pull_messages
    pack, unpack = sites_module.pack, sites_module.unpack
    sites = Sites(grid, {int(node): name for node, name in given["nodes"].items()}, 600)
    sites.wait(3, 120)
    strategy = FedAvg(min_train_nodes=3, min_available_nodes=3, weighted_by_key="equal")
    arrays = [np.random.default_rng(i).random(given["parameters"] // 10, np.float32) for i in range(10)]
    rounds = []
    for number in range(1, given["rounds"] + 1):
        clock, began = Clock(), time.monotonic()
        grid.push_messages, grid.pull_messages = clock.timed("send", push), clock.timed("fetch", pull)
        sites_module.pack, sites_module.unpack = clock.timed("pack", pack), clock.timed("unpack", unpack)
        records = clock.timed("pack", to_records)(Parcel({"round": number}, {}, arrays))
        messages = strategy.configure_train(number, records[ARRAYS], records[CONFIG], grid)
        with Updates(arrays) as updates:
            def take(reply):
                updates.add(sites.name(reply), parameters_of(reply.content))
                reply.content.pop(ARRAYS).clear()
                return reply
            replies = sites.exchange(messages, clock.timed("keep", take))
            arrays = clock.timed("mean", updates.mean)({sites.name(reply): 1.0 for reply in replies})
        clock.seconds["round"] = time.monotonic() - began
        rounds.append(clock.seconds)
    Path(given["result"]).write_text(json.dumps(rounds))
"""
PIECES = {
    "pack": "the model into a message",
    "send": "the model to the SuperLink",
    "fetch": "looks for answers, and fetches them",
    "unpack": "answers out of their blocks",
    "keep": "answers onto the disk",
    "mean": "the mean of the answers",
}
"""Of a round of ours; the rest is waiting: sites look for the message, fetch it, send it back."""


def main(
    work: Annotated[Path, typer.Option(help="an empty folder")],
    parameters: Annotated[int, typer.Option(min=10)] = 5_000_000,
    rounds: Annotated[int, typer.Option(min=2, help="of each launch, the first of which is left out")] = 6,
    repetitions: Annotated[int, typer.Option(min=1, help="launches of each way, in turn")] = 3,
    alone: Annotated[bool, typer.Option("--alone", help="ours alone, such as for a model of a gigabyte")] = False,
) -> None:
    """Print the table; the last line is the same as JSON."""
    ways = ["oncotrain"] if alone else ["stock", "oncotrain"]
    run_job("federated_round", lambda: measure(work.resolve(), parameters, rounds, repetitions, ways))


def measure(work: Path, parameters: int, rounds: int, repetitions: int, ways: Sequence[str]) -> dict[str, Any]:
    """Seconds a round of both ways, and their ratio; of ours, what its pieces take."""
    found: dict[str, list[dict[str, float]]] = {"stock": [], "oncotrain": []}
    for repetition in range(repetitions):
        for name in ways:
            folder = work / f"{name}-{repetition}"
            folder.mkdir(parents=True, mode=0o700)
            found[name] += _launch(folder, name, {"parameters": parameters, "rounds": rounds})[1:]
    summary: dict[str, Any] = {}
    print("| way | s a round | range |\n|---|---|---|")
    for name in ways:
        seconds = [each["round"] for each in found[name]]
        summary[name] = [min(seconds), statistics.median(seconds), max(seconds)]
        print(f"| {name} | {summary[name][1]:.2f} | {summary[name][0]:.2f} to {summary[name][2]:.2f} |")
    print("\n| piece of ours | s |\n|---|---|")
    pieces = {piece: statistics.median(each[piece] for each in found["oncotrain"]) for piece in PIECES}
    pieces["wait"] = summary["oncotrain"][1] - sum(pieces.values())
    for piece, seconds in pieces.items():
        print(f"| {PIECES.get(piece, 'waiting for the sites')} | {seconds:.2f} |")
    ratio = summary["oncotrain"][1] / summary["stock"][1] if "stock" in ways else None
    return {"parameters": parameters, **summary, "pieces": pieces, "ratio": ratio}


def _launch(folder: Path, name: str, given: dict[str, Any]) -> list[dict[str, float]]:
    app = _app(folder / "app", STOCK if name == "stock" else OURS)
    result = folder / "result.json"
    with ExitStack() as stack:
        prepare(folder, ["127.0.0.1"])
        enroll(folder, SITES)
        server = stack.enter_context(coordinator(folder, "127.0.0.1", free_ports(1)[0]))
        (_stock_sites if name == "stock" else _our_sites)(stack, server, folder, app)
        told = {**given, "result": str(result), "nodes": server.nodes}
        superlink.APP, installed = app, superlink.APP
        job = folder / "job.json"
        job.write_text(json.dumps(told))
        server.link.submit({"job": str(job)})
        superlink.APP = installed
        while not result.exists():
            server.link.require_alive()
            time.sleep(0.5)
        rounds: list[dict[str, float]] = json.loads(result.read_text())
    return rounds


def _app(folder: Path, code: str) -> Path:
    shutil.copytree(superlink.APP, folder)
    (folder / "timed.py").write_text(code)
    described = (folder / "pyproject.toml").read_text()
    for old, new in (("server_app:app", "server"), ("client_app:app", "client")):
        described = described.replace(f"oncotrain.federation.{old}", f"timed:{new}")
    (folder / "pyproject.toml").write_text(described)
    return folder


def _stock_sites(stack: ExitStack, server: Coordinator, folder: Path, _app: Path) -> None:
    for site in SITES:
        home = folder / site
        command = [
            *(executable("flower-supernode"), "--superlink", server.link.address),
            *("--root-certificates", str(server.invitation.authority)),
            *("--auth-supernode-private-key", str(key_of(folder, site))),
            *("--host", "127.0.0.1", "--port", str(free_ports(1)[0])),
        ]
        stack.enter_context(running(command, environment=environment(home), log=folder / f"{site}.log"))


def _our_sites(stack: ExitStack, server: Coordinator, folder: Path, app: Path) -> None:
    hashed = hashlib.sha256(build_fab_from_disk(app)).hexdigest()
    spawn = multiprocessing.get_context("spawn")
    for site in SITES:
        invitation = server.invitation
        arguments = (invitation.address, invitation.authority, key_of(folder, site), hashed)
        process = spawn.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        stack.callback(process.terminate)


def _serve(address: str, authority: Path, key: Path, app: str) -> None:
    with suppress(KeyboardInterrupt), joined(address, authority, key, frozenset([app])) as node:
        node.serve(_multiplied, lambda: False)


def _multiplied(content: RecordDict, _kind: str) -> RecordDict:
    blocks.unpack(content)
    came, factor = parcel.from_records(content), np.float32(1 + random.random())
    body = {"seconds": 0.0, "cpu_seconds": 0.0}
    sent = [factor * array for array in came.parameters]
    records = parcel.to_records(parcel.Parcel(body, {}, sent, {"equal": 1.0, "loss": 0.0}))
    blocks.pack([records])
    return records


if __name__ == "__main__":
    typer.run(main)
