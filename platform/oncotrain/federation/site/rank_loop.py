"""What each rank of a site does until the site's driver hangs up: hear a request, answer it together with the others.

Rank 0 is the one that talks with the driver, over a connection that it opens and both ends authenticate; it passes each
request on to the other ranks. Bytes travel, never pickled objects of the driver's.
"""

import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from multiprocessing.connection import Client, Connection
from typing import Any

from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError, UserError
from oncotrain.federation.site.trainer import Trainer
from oncotrain.federation.wire.parcel import Parcel, from_bytes, to_bytes
from oncotrain.federation.wire.refusal import type_and_place
from oncotrain.lake.filesystem import Lake
from oncotrain.training.collective import Collective
from oncotrain.training.data import open_data

BEAT_SECONDS = 10.0
"""Between two signs of life among ranks that wait for a request: one that is gone is noticed before the next round."""
_KIND, _ERROR, _OF_DATA = "asked", "error", "of_data"


@dataclass(frozen=True)
class SiteWork:
    """A site's part in a run as it is sent to its ranks; each opens the data by itself."""

    lake: Lake
    version: str
    """Of the dataset."""
    config: RunConfig
    source: str


def serve(work: SiteWork, address: tuple[str, int], key: bytes, collective: Collective) -> None:
    """Answer what comes from the driver at `address`, which knows `key`, until it hangs up."""
    data = open_data(work.lake, work.config, work.source, work.version)
    trainer = Trainer(data, work.lake, work.config, work.source, collective)
    connected = Client(address, authkey=key) if collective.rank == 0 else nullcontext()
    with connected as driver:
        while (content := collective.gather(_hear(driver))[0]) is not None:
            if content:
                reply = _answer(trainer, from_bytes(content), collective)
                if driver is not None:
                    driver.send_bytes(to_bytes(reply))


def to_question(kind: str, request: Parcel) -> bytes:
    """What a rank is sent."""
    return to_bytes(replace(request, body={**request.body, _KIND: kind}))


def from_answer(content: bytes) -> Parcel:
    """What a rank answered; `cpu_seconds` in its body are those of all ranks. Raises the UserError that it reports."""
    reply = from_bytes(content)
    if _ERROR in reply.body:
        raise (DataError if reply.body[_OF_DATA] else UserError)(reply.body[_ERROR])
    return reply


def _hear(driver: Connection | None) -> bytes | None:
    """A request; empty where none came, or another rank listens; None once the driver is gone."""
    if driver is None or not driver.poll(BEAT_SECONDS):
        return b""
    try:
        return driver.recv_bytes()
    except (EOFError, ConnectionError):
        return None


def _answer(trainer: Trainer, request: Parcel, collective: Collective) -> Parcel:
    began = time.process_time()
    body: dict[str, Any]
    try:
        reply = trainer.answer(request.body[_KIND], request)
    except UserError as error:
        reply = Parcel({_ERROR: str(error), _OF_DATA: isinstance(error, DataError)})
    except Exception as error:  # noqa: BLE001 - other ranks may wait for this one: all end, and what it says may be data
        raise RuntimeError(type_and_place(error)) from None
    body = {**reply.body, "cpu_seconds": sum(collective.gather(time.process_time() - began))}
    return replace(reply, body=body)
