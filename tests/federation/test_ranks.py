"""A site with several ranks: real processes of Horovod in Spark tasks, asked by the worker in this process."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from typing import Any

import numpy as np
import psutil
import pytest
from pyspark.sql import SparkSession

from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError, UserError
from oncotrain.federation.site.rank_loop import SiteWork
from oncotrain.federation.site.ranks import Ranks, training_ranks
from oncotrain.federation.site.worker import Worker
from oncotrain.federation.wire.parcel import Parcel
from oncotrain.federation.wire.refusal import Refusal
from oncotrain.lake.audit import read, verify
from oncotrain.lake.filesystem import Lake
from oncotrain.training.collective import Collective
from oncotrain.training.data import open_data, plan_alone
from oncotrain.training.engines import RankLost
from oncotrain.training.state import get_parameters, initial_state
from support.federation import federated_config, open_worker
from support.rank_processes import RANK, ranks_of
from support.ranks import run_ranks
from support.runs import copy_lake

pytestmark = [
    pytest.mark.timeout(600),
    # Horovod leaves the thread of its Spark job, which is cut off with the ranks.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

SITE = "uz-leuven"
SCAFFOLD = {"strategy": "scaffold"}
SGD = {"optimizer": {"name": "sgd", "lr": 0.01}}


def work_of(lake: Lake, config: RunConfig) -> SiteWork:
    version = open_data(lake, config, "test.yaml").dataset.manifest.version
    return SiteWork(lake, version, config, "test.yaml")


@contextmanager
def worker_on_ranks(spark: SparkSession, lake: Lake, config: RunConfig) -> Iterator[Worker]:
    data = open_data(lake, config, "test.yaml")
    with training_ranks(spark, data, work_of(lake, config)) as ask:
        yield Worker(SITE, lake, config, "test.yaml", data, ask)


def contract_of(lake: Lake, config: RunConfig) -> Mapping[str, Any]:
    data = open_data(lake, config, "test.yaml")
    return data.task.agree([data.task.contract(data.dataset.manifest.features)])


SEEDED = threading.Lock()
"""Ranks that are threads share the generator from which parameters are drawn."""


def conversation(worker: Worker, between: Callable[[int], None] = lambda _number: None) -> list[Parcel]:
    """Everything that a coordinator of this one site asks, in two rounds of three steps; the answers."""
    plan = plan_alone(worker.data)
    with SEEDED:
        parameters = get_parameters(initial_state(worker.data.task, plan, worker.config.train).model)
    contract = contract_of(worker.lake, worker.config)
    answers = [
        worker.answer(Parcel({"kind": "statistics", "contract": contract, "run": "run-a"})),
        worker.answer(Parcel({"kind": "plan", "run": "run-a", "plan": plan})),
    ]
    extra = {"counted": 0} if worker.federated.strategy.name == "scaffold" else {}
    common = [np.zeros_like(each) for each in parameters] if extra else []
    for number in (1, 2):
        between(number)
        body = {"kind": "train", "run": "run-a", "round": number, "step": 3 * (number - 1), "validate": True}
        answers.append(worker.answer(Parcel({**body, **extra}, {}, [*parameters, *common])))
        if answers[-1].parameters:
            parameters = list(answers[-1].parameters)[: len(parameters)]
    body = {"kind": "test", "run": "run-a", "name": "run-a", "decision": worker.data.task.decisions()[0]}
    answers.append(worker.answer(Parcel(body, {}, parameters)))
    return answers


def same(one: list[Parcel], other: list[Parcel], *, thresholds: bool = False) -> bool:
    """All that leaves, but for times, to rounding.

    With `thresholds`, metric sums of validation and test are left out: nuclei are cut out of a map at a threshold, and
    a pixel that stands at it goes to either side by the last bit of a sum.
    """
    timing = {"seconds", "cpu_seconds"}
    pairs = list(zip(one, other, strict=True))
    return all(
        {key: value for key, value in a.body.items() if key not in timing}
        == {key: value for key, value in b.body.items() if key not in timing}
        and a.sums.keys() == b.sums.keys()
        and a.metrics == pytest.approx(b.metrics, rel=1e-9, nan_ok=True)
        and len(a.parameters) == len(b.parameters)
        and all(
            np.allclose(a.sums[name], b.sums[name], rtol=1e-7, atol=1e-9, equal_nan=True)
            for name in a.sums
            if not (thresholds and number > 0)
        )
        and all(np.allclose(x, y, rtol=1e-9, atol=1e-11) for x, y in zip(a.parameters, b.parameters, strict=True))
        for number, (a, b) in enumerate(pairs)
    )


def pids(ranks: Mapping[int, psutil.Process]) -> set[int]:
    return {process.pid for process in ranks.values()}


@pytest.mark.parametrize("federated", [{}, SCAFFOLD], ids=["fedavg", "scaffold"])
@pytest.mark.parametrize("task", ["drug_response", "histology"])
def test_a_site_of_several_ranks_answers_as_one_of_one(task, federated, sites, tmp_path):
    """Batches of 7 over 3 ranks, the last one short: threads take the place of processes."""
    config = federated_config(task, federated, **SGD)
    lakes = [copy_lake(sites[SITE], tmp_path / f"lake-{rank}") for rank in range(3)]
    alone = conversation(open_worker(SITE, sites[SITE], config))
    assert [answer.body.get("refusal") for answer in alone] == [None] * 5
    several = run_ranks(lambda ranks: conversation(open_worker(SITE, lakes[ranks.rank], config, ranks)), 3)
    assert same(several[0], alone, thresholds=task == "histology")


@pytest.mark.parametrize("engine", RANK)
def test_ranks_in_processes_answer_as_one_and_one_that_is_killed_costs_a_round(engine, spark, sites, tmp_path):
    config = federated_config("drug_response", engine=engine, ranks=2)
    alone_lake, lake = sites[SITE], copy_lake(sites[SITE], tmp_path / "lake")
    alone = conversation(open_worker(SITE, alone_lake, config))
    with worker_on_ranks(spark, lake, config) as worker:
        started = ranks_of(engine)
        assert started.keys() == {0, 1}
        assert same(conversation(worker), alone)
        assert pids(ranks_of(engine)) == pids(started), "the same processes in all rounds"
        spoiled = worker.answer(Parcel({"kind": "test", "run": "run-a", "name": "run-a", "decision": {}}, {}, []))
        assert spoiled.body == {"refusal": Refusal.CONFIGURATION}, "parameters of another model"

        def kill(number: int) -> None:
            if number == 1:
                ranks_of(engine)[1].kill()

        answers = conversation(worker, kill)
        assert [answer.body.get("refusal") for answer in answers] == [None, None, Refusal.RANK, None, None]
        assert not {process.pid for process in started.values()} & {
            process.pid for process in ranks_of(engine).values()
        }
        assert answers[3].parameters
    verify(lake, SITE)
    names = [(line["event"].get("refusal") or {}).get("name") for line in read(lake, SITE)]
    assert [name for name in names if name] == ["CONFIGURATION", "RANK"]
    assert not ranks_of(engine), "nothing of it is left"


class Threads:
    """An engine whose ranks are threads of this process."""

    def __init__(self, work: Callable[[Any], object] | None = None) -> None:
        self.work, self.starts = work, 0

    def run(self, work: Callable[[Collective], Any], ranks: int) -> list[Any]:
        self.starts += 1
        return run_ranks(self.work or work, ranks)


def ranks_on(engine: Threads, lake: Lake, **train: Any) -> Ranks:
    config = federated_config("drug_response", engine="horovod", **train)
    return Ranks(engine, work_of(lake, config), listen="127.0.0.1", reach="127.0.0.1")


def test_nobody_without_the_key_is_taken_for_a_rank(sites):
    """One who says nothing, and one with a wrong key, come before rank 0 does."""
    silent: list[socket.socket] = []

    class Intruded(Threads):
        def run(self, work: Any, ranks: int) -> list[Any]:
            address = work.args[1]
            silent.append(socket.create_connection(address))
            with pytest.raises(AuthenticationError):
                Client(address, authkey=b"guessed")
            return super().run(work, ranks)

    with ranks_on(Intruded(), sites[SITE], ranks=1) as ranks:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(silent[0].getpeername())  # once rank 0 is there, nothing listens
        contract = ranks.ask(
            "statistics", Parcel({"contract": contract_of(sites[SITE], ranks._work.config), "floor": 1})
        )
        assert contract.sums
    silent[0].close()


def test_ranks_that_do_not_start_end_the_client_in_words(sites):
    def die(_ranks: Collective) -> None:
        raise RankLost("no slot came free")

    with pytest.raises(DataError, match=r"ranks of this site did not start.*no slot came free"):
        ranks_on(Threads(die), sites[SITE], ranks=1).__enter__()


def test_a_site_that_cannot_open_its_data_on_the_ranks_says_so(sites):
    def refuse(_ranks: Collective) -> None:
        raise UserError("no such lake on this machine")

    with pytest.raises(UserError, match="no such lake on this machine"):
        ranks_on(Threads(refuse), sites[SITE], ranks=1).__enter__()


def test_ranks_that_are_lost_again_and_again_end_the_client(sites):
    """What is no UserError ends the ranks: here a plan that is none."""
    engine, lake = Threads(), sites[SITE]
    with ranks_on(engine, lake, ranks=1, attempts=2) as ranks:
        worker = Worker(SITE, lake, ranks._work.config, "test.yaml", open_data(lake, ranks._work.config, ""), ranks.ask)
        for code in (Refusal.RANK, Refusal.DATA):
            assert worker.answer(Parcel({"kind": "plan", "run": "r", "plan": {}})).body == {"refusal": code}
        assert "lost 2 times in a row" in str(worker.failure)
    assert engine.starts == 2


def test_more_ranks_than_slots_and_private_ranks_are_refused_in_words(spark, sites):
    private = {"privacy": {"control": True}}
    for train, message in [
        ({"ranks": 64}, r"test\.yaml: train\.ranks is 64, but the Spark application has 2 slots"),
        ({"ranks": 2, **private}, r"test\.yaml: train\.privacy needs one rank, train\.ranks is 2"),
    ]:
        config = federated_config("drug_response", engine="horovod", **train)
        with pytest.raises(UserError, match=message), worker_on_ranks(spark, sites[SITE], config):
            pass
