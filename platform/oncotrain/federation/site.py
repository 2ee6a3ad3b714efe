"""A site's part in a federation: one Spark application that holds the worker until the end."""

import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

from flwr.app import RecordDict
from pyspark.sql import SparkSession

from oncotrain.config.training import RunConfig
from oncotrain.errors import UserError
from oncotrain.federation import parcel
from oncotrain.federation.connection import installed_app, joined, require_coordinator
from oncotrain.federation.heads import Signer
from oncotrain.federation.keys import load_public_key
from oncotrain.federation.node import Node
from oncotrain.federation.process import end_with_spark_submit
from oncotrain.federation.refusal import Refusal
from oncotrain.federation.secure.credentials import read_credentials
from oncotrain.federation.worker import Worker
from oncotrain.lake.audit import verify
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import require_layout
from oncotrain.log import get_logger
from oncotrain.training.collective import Collective
from oncotrain.training.engines import create_engine

FAREWELL_SECONDS = 2.0
"""Time for the coordinator to fetch the last answer: Flower hands out none of a site that has left."""


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
    coordinator_key: Path | None = None,
    roster: tuple[Path, Path] | None = None,
    apps: Collection[str] = (),
) -> dict[str, Any]:
    """Train with the other sites until the coordinator says that the run is over.

    Args:
        spark: Starts this site's Spark session; called once lake and coordinator are known to be there.
        source: The configuration's file, for messages.
        address: The coordinator's ``host:port``.
        authority: Certificate of the authority that signed the coordinator's.
        key: This site's private key, whose public half the coordinator registered.
        coordinator_key: The public key by which the coordinator signs its audit; without it, the first head that
            comes says which key that is.
        roster: For secure aggregation: the signed list of the sites, and the public key that signed it.
        apps: SHA-256 of the Flower apps that may send messages here; by default that of the installed oncotrain.

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
    with joined(address, authority, key, frozenset(apps or [installed_app()])) as node:
        signer = Signer.load(site, key)
        known = load_public_key(coordinator_key) if coordinator_key else None
        credentials = read_credentials(key, *roster) if roster else None
        open_worker = partial(
            Worker,
            site,
            lake,
            config,
            source,
            signer=signer,
            coordinator_key=known,
            credentials=credentials,
        )
        serve = partial(_serve, node, open_worker)
        [answered] = create_engine("single", spark()).run(serve, 1)
    return {"site": site, "messages": answered, "audit_head": verify(lake, site)}


def _serve(node: Node, open_worker: Callable[[Collective], Worker], collective: Collective) -> int:
    """Answer messages until the last one; how many there were."""
    worker = open_worker(collective)
    get_logger(site=worker.site, stage="federate").info("ready")
    answered = node.serve(partial(answer, worker), lambda: worker.finished)
    time.sleep(FAREWELL_SECONDS)
    return answered


def answer(worker: Worker, content: RecordDict, kind: str) -> RecordDict | Refusal:
    """The worker's reply to a message's content and kind, such as ``train``."""
    try:
        request = parcel.from_records(content)
    except (KeyError, ValueError):
        get_logger(site=worker.site, stage="federate").error("%s: is no message of a coordinator's", kind)
        return Refusal.FAILED
    body = {**request.body, "kind": kind}
    reply = parcel.from_bytes(worker.answer(parcel.to_bytes(parcel.Parcel(body, request.sums, request.parameters))))
    return Refusal(reply.body["refusal"]) if "refusal" in reply.body else parcel.to_records(reply)
