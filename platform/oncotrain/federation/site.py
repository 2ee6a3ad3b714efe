"""A site's part in a federation: one Spark application that holds the worker and Flower's client until the end."""

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from oncotrain.config.training import RunConfig
from oncotrain.errors import UserError
from oncotrain.federation.channel import Channel, answer_one, ask, open_channel
from oncotrain.federation.process import end_with_spark_submit, last_lines
from oncotrain.federation.supernode import LOG, require_coordinator, supernode
from oncotrain.federation.worker import Worker
from oncotrain.lake.audit import verify
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import require_layout
from oncotrain.log import get_logger
from oncotrain.training.collective import Collective
from oncotrain.training.engines import create_engine

FAREWELL_SECONDS = 5.0
"""Time for the answer to the coordinator's last message to leave before Flower's client is stopped."""


def take_part(
    spark: Callable[[], SparkSession],
    lake: Lake,
    config: RunConfig,
    *,
    source: str,
    site: str,
    address: str,
    authority: Path,
    key: Path,
) -> dict[str, Any]:
    """Train with the other sites until the coordinator says that the run is over.

    Args:
        spark: Starts this site's Spark session; called once lake and coordinator are known to be there.
        source: The configuration's file, for messages.
        address: The coordinator's ``host:port``.
        authority: Certificate of the authority that signed the coordinator's.
        key: This site's private key, whose public half the coordinator registered.

    Returns:
        The summary: site, messages answered, head of the site's audit chain.

    Raises:
        UserError: Lake, configuration, or nobody answers at `address`, or the coordinator refused this site's key.
        DataError: Rows are missing.
    """
    end_with_spark_submit()
    require_layout(lake)
    require_coordinator(address, authority)
    if not key.is_file():
        raise UserError(f"--key {key}: no such file; its public half is registered by the coordinator")
    with tempfile.TemporaryDirectory(prefix=f"oncotrain-{site}-") as folder:
        work = Path(folder)
        channel, listener = open_channel(work)
        with (
            listener,
            supernode(work, site=site, address=address, authority=authority, key=key, channel=channel) as process,
        ):
            threading.Thread(target=_wake_when_ended, args=(process, channel), daemon=True).start()
            open_worker = partial(Worker, site, lake, config, source)
            serve = partial(_serve, listener, open_worker, process, work / LOG)
            [answered] = create_engine("single", spark()).run(serve, 1)
            time.sleep(FAREWELL_SECONDS)
    return {"site": site, "messages": answered, "audit_head": verify(lake, site)}


def _serve(
    listener: Listener,
    open_worker: Callable[[Collective], Worker],
    client: subprocess.Popen[bytes],
    log: Path,
    collective: Collective,
) -> int:
    """Answer messages until the last one; how many there were. Raises UserError if Flower's client ends before."""
    worker = open_worker(collective)
    get_logger(site=worker.site, stage="federate").info("ready")
    answered = 0
    while not worker.finished:
        answer_one(listener, lambda request: worker.answer(request) if request else b"")
        if client.poll() is not None:
            raise UserError(
                "Flower's client ended: the coordinator is gone, or refused --key (its public half must be registered, "
                f"and no other client use it); its last words:\n{last_lines(log, 12)}"
            )
        answered += 1
    return answered


def _wake_when_ended(client: subprocess.Popen[bytes], channel: Channel) -> None:
    """Send the worker, which waits for a message, an empty one when no other can come any more."""
    client.wait()
    with suppress(OSError):  # The worker ended first.
        ask(channel, b"")
