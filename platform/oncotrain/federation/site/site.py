"""A site's part in a federation: one Spark application, whose driver answers and whose ranks train, until the end."""

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from flwr.app import RecordDict
from pyspark.sql import SparkSession

from oncotrain.config.training import RunConfig
from oncotrain.errors import UserError
from oncotrain.federation.audit.heads import Signer
from oncotrain.federation.identity.keys import load_public_key
from oncotrain.federation.secure.credentials import read_credentials
from oncotrain.federation.site.policy import allowed_apps
from oncotrain.federation.site.rank_loop import SiteWork
from oncotrain.federation.site.ranks import training_ranks
from oncotrain.federation.site.worker import Worker
from oncotrain.federation.wire import parcel
from oncotrain.federation.wire.blocks import pack, unpack
from oncotrain.federation.wire.connection import installed_app, joined, require_coordinator
from oncotrain.federation.wire.refusal import Refusal
from oncotrain.lake.audit import verify
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import require_layout
from oncotrain.log import get_logger
from oncotrain.training.data import open_data

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
        apps: SHA-256 of the Flower apps that may send messages here; by default those of the site's policy, or that of
            the installed oncotrain.

    Returns:
        The summary: site, messages answered, engine and ranks, head of the site's audit chain.

    Raises:
        UserError: Lake, configuration, or nobody answers at `address`, or the coordinator refused this site's key.
        DataError: Rows are missing, or ranks were lost `train.attempts` times in a row.
    """
    require_layout(lake)
    require_coordinator(address, authority)
    if not key.is_file():
        raise UserError(f"--key {key}: no such file; its public half is registered by the coordinator")
    allowed = allowed_apps(lake, apps, installed_app())
    with joined(address, authority, key, allowed, place=key.with_suffix(".node")) as node:
        signer = Signer.load(site, key)
        known = load_public_key(coordinator_key) if coordinator_key else None
        credentials = read_credentials(key, *roster) if roster else None
        data = open_data(lake, config, source)
        work = SiteWork(lake, data.dataset.manifest.version, config, source)
        with training_ranks(spark(), data, work) as ask:
            worker = Worker(
                *(site, lake, config, source, data, ask),
                signer=signer,
                coordinator_key=known,
                credentials=credentials,
            )
            get_logger(site=site, stage="federate").info("ready: %s, %d ranks", config.train.engine, config.train.ranks)
            answered = node.serve(partial(answer, worker), lambda: worker.finished or worker.failure is not None)
            time.sleep(FAREWELL_SECONDS)
            if worker.failure:
                raise worker.failure
    return {
        "site": site,
        "messages": answered,
        "engine": config.train.engine,
        "ranks": config.train.ranks,
        "audit_head": verify(lake, site),
    }


def answer(worker: Worker, content: RecordDict, kind: str) -> RecordDict | Refusal:
    """The worker's reply to a message's content and kind, such as ``train``."""
    try:
        unpack(content)
        came = parcel.from_records(content)
        request = replace(came, body={**came.body, "kind": kind})
    except (KeyError, TypeError, ValueError):
        get_logger(site=worker.site, stage="federate").error("%s: is no message of a coordinator's", kind)
        request = parcel.Parcel()
    reply = worker.answer(request)
    if "refusal" in reply.body:
        return Refusal(reply.body["refusal"])
    records = parcel.to_records(reply)
    pack([records])
    return records
