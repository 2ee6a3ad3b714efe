"""The ranks of a site as its driver sees them: started once for the whole federation, asked, started again if lost.

The driver holds the site's key and the connection to the coordinator; the ranks hold dataset and model. They dial the
driver, which listens on this machine's loopback, or on the interface by which executors reach it, while they start.
"""

import queue
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from types import TracebackType
from typing import Self

from pyspark.sql import SparkSession

from oncotrain.config.training import TrainConfig
from oncotrain.errors import DataError, UserError
from oncotrain.federation.site.rank_loop import SiteWork, from_answer, serve, to_question
from oncotrain.federation.site.trainer import Ask, Trainer
from oncotrain.federation.wire.parcel import Parcel
from oncotrain.log import get_logger
from oncotrain.training.collective import Alone
from oncotrain.training.data import RunData
from oncotrain.training.engines import Engine, RankLost, create_engine

POLL_SECONDS = 0.5
"""Between two looks whether ranks that do not answer are still there."""
GRACE_SECONDS = 30.0
"""Time for ranks to end by themselves."""
CANCELLED_SECONDS = 60.0
"""Time for them to be gone after that."""


class RanksGoneError(DataError):
    """The ranks were lost so often in a row that they are not started again."""


@contextmanager
def training_ranks(spark: SparkSession, data: RunData, work: SiteWork) -> Iterator[Ask]:
    """Whom to ask: a trainer in this process (engine single), or the ranks of one Spark job that lasts as long.

    Raises:
        UserError: There are fewer slots than ranks, or private training on several ranks.
        DataError: The ranks did not start.
    """
    train = work.config.train
    if train.engine == "single":
        yield Trainer(data, work.lake, work.config, work.source, Alone()).answer
        return
    _require_possible(train, spark, work.source)
    listen, reach = _addresses(spark)
    cancel = spark.sparkContext.cancelAllJobs
    engine = create_engine(train.engine, spark)
    with Ranks(engine, work, listen=listen, reach=reach, cancel=cancel) as ranks:
        yield ranks.ask


class Ranks:
    """A context: ranks that work on `ask` from its beginning to its end."""

    def __init__(
        self, engine: Engine, work: SiteWork, *, listen: str, reach: str, cancel: Callable[[], object] = lambda: None
    ) -> None:
        """`listen` is an address of this machine, `reach` the name by which ranks dial it, `cancel` ends all ranks."""
        self._engine, self._work, self._listen, self._reach, self._cancel = engine, work, listen, reach, cancel
        self._connection: Connection | None = None
        self._lost = 0
        self._busy = False

    def __enter__(self) -> Self:
        self._start()
        try:
            self._connection = self._connect()
        except RankLost as lost:
            self._end()
            raise DataError(f"the ranks of this site did not start; their log lines above say why ({lost})") from None
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: object, _trace: TracebackType | None) -> None:
        self._end()

    def ask(self, kind: str, request: Parcel) -> Parcel:
        """The answer of rank 0.

        Raises:
            UserError, DataError: As the ranks do.
            RankLost: A rank is gone. All are being started again, without plan and model.
            RanksGoneError: They are not, after `train.attempts` losses in a row.
        """
        question = to_question(kind, request)
        self._busy = True
        try:
            if self._connection is None:
                self._connection = self._connect()
            content = self._exchange(self._connection, question)
        except (RankLost, UserError, EOFError, OSError) as error:
            self._start_again(error)
        self._busy, self._lost = False, 0
        return from_answer(content)

    def _exchange(self, connection: Connection, question: bytes) -> bytes:
        connection.send_bytes(question)
        while not connection.poll(POLL_SECONDS):
            if not self._thread.is_alive():
                raise EOFError
        return connection.recv_bytes()

    def _start(self) -> None:
        key = secrets.token_bytes(32)
        self._events: queue.SimpleQueue[Connection | Exception] = queue.SimpleQueue()
        self._server = socket.create_server((self._listen, 0))
        self._server.settimeout(POLL_SECONDS)
        self._admit = partial(_admit, key=key, events=self._events)
        address = (self._reach, self._server.getsockname()[1])
        ranks = partial(self._engine.run, partial(serve, self._work, address, key), self._work.config.train.ranks)
        self._thread = threading.Thread(target=_run, args=(ranks, self._events), name="engine", daemon=True)
        self._thread.start()

    def _connect(self) -> Connection:
        """Rank 0's connection, once it has dialled; nobody else is listened to from then on.

        Raises what ended the ranks if something did.
        """
        while True:
            with suppress(TimeoutError):
                peer, _ = self._server.accept()
                # In a thread of its own: who says nothing must not keep rank 0 waiting.
                threading.Thread(target=self._admit, args=(peer,), name="admit", daemon=True).start()
            with suppress(queue.Empty):
                event = self._events.get_nowait()
                if isinstance(event, Exception):
                    raise event
                self._server.close()
                return event

    def _start_again(self, error: Exception) -> None:
        self._end()
        self._busy = False
        self._lost += 1
        attempts = self._work.config.train.attempts
        if self._lost >= attempts:
            raise RanksGoneError(
                f"the ranks of this site were lost {attempts} times in a row; their log lines above say why (often "
                "memory). The same command takes part again"
            ) from error
        get_logger(stage="federate").error("a rank was lost, the %d. time in a row: all are started again", self._lost)
        self._start()
        raise RankLost("all ranks are started again") from error

    def _end(self) -> None:
        """Hang up, upon which ranks that wait end; those that compute are cut off."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._server.close()
        self._thread.join(0.0 if self._busy else GRACE_SECONDS)
        if self._thread.is_alive():
            with suppress(Exception):  # Spark may have ended first
                self._cancel()
            self._thread.join(CANCELLED_SECONDS)


def _run(ranks: Callable[[], object], events: "queue.SimpleQueue[Connection | Exception]") -> None:
    try:
        ranks()
    except Exception as error:  # noqa: BLE001 - it is raised in the thread that waits for the ranks
        events.put(error)
    else:
        events.put(RankLost("the ranks ended by themselves"))


def _admit(peer: socket.socket, key: bytes, events: "queue.SimpleQueue[Connection | Exception]") -> None:
    """Hand on the connection of who proves to know `key`, having proved it as well."""
    connection = Connection(peer.detach())
    try:
        deliver_challenge(connection, key)
        answer_challenge(connection, key)
    except (AuthenticationError, EOFError, OSError):
        connection.close()
        get_logger(stage="federate").warning("somebody who is no rank of this site connected, and was refused")
    else:
        events.put(connection)


def _addresses(spark: SparkSession) -> tuple[str, str]:
    """Where to listen for ranks, and where they find it."""
    if str(spark.sparkContext.master).startswith("local"):
        return "127.0.0.1", "127.0.0.1"
    host = str(spark.conf.get("spark.driver.host"))
    return str(spark.conf.get("spark.driver.bindAddress", host)), host


def _require_possible(train: TrainConfig, spark: SparkSession, source: str) -> None:
    slots = spark.sparkContext.defaultParallelism
    if str(spark.sparkContext.master).startswith("local") and train.ranks > slots:
        raise UserError(
            f"{source}: train.ranks is {train.ranks}, but the Spark application has {slots} slots (--master "
            f"local[{slots}]); --ranks {slots}, or --engine single for one rank without slots"
        )
    if train.privacy and train.ranks > 1:
        raise UserError(f"{source}: train.privacy needs one rank, train.ranks is {train.ranks}; --engine single")
