"""The slide ingest job: a hospital's delivery becomes a published dataset of kind `tiles`."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from logging import LoggerAdapter
from pathlib import Path
from threading import Event, Thread
from typing import Any

from pyspark.sql import SparkSession

from oncotrain.config.slides import SlidesConfig
from oncotrain.errors import DataError
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import require_layout
from oncotrain.lake.manifest import dataset_versions, read_manifest
from oncotrain.lake.pseudonym import Pseudonyms
from oncotrain.lake.publish import write_summary
from oncotrain.lake.quarantine import accept, refuse
from oncotrain.lake.writer import write_dataset
from oncotrain.log import get_logger
from oncotrain.slides.delivery import Refused, read_delivery
from oncotrain.slides.tiles import features, tile_schema
from oncotrain.slides.work import Outcome, SlideWork, process
from oncotrain.spark import run_tasks


def ingest_slides(
    spark: SparkSession, lake: Lake, site: str, manifest: str | Path, config: SlidesConfig, name: str = "tiles"
) -> dict[str, Any]:
    """Publish the slides that `manifest` lists as dataset `name`: exactly those, whatever earlier versions held.

    The manifest is a local path or a URI; where it is a URI, each task copies its slide to its own disk, once.
    Returns the summary: `accepted`, `reused`, `quarantined` slides, `rows`, `version`, `unchanged` (the newest version
    holds this very content; nothing was published), `seconds`. A slide that cannot be taken goes to `quarantine` with
    its reason. Raises UserError for a mistake in the manifest or the lake, DataError if no slide was accepted.
    """
    started = time.monotonic()
    log = get_logger(site=site, stage="ingest_slides")
    require_layout(lake)
    entries, refused = read_delivery(manifest, site, config)
    pseudonyms = Pseudonyms(lake)
    works = [
        SlideWork(entry, site, pseudonyms.make("patient", entry.patient), pseudonyms.make("slide", entry.id), config)
        for entry in entries
    ]
    pseudonyms.save()

    log.info("%d slides to read, %d rows of the manifest refused", len(works), len(refused))
    with _progress(spark, log):
        outcomes = run_tasks(spark, works, partial(process, lake))
    accepted = [outcome for outcome in outcomes if not outcome.reason]
    refused += [Refused(one.work.entry.row, one.work.entry.name, one.reason) for one in outcomes if one.reason]
    for one in sorted(refused):
        log.warning("row %d of the manifest is refused: %s", one.row, one.reason)
        refuse(lake, name, one.name, one.reason)
    for outcome in accepted:
        accept(lake, name, outcome.work.entry.name)
    if not accepted:
        raise DataError(f"{manifest}: no slide was accepted; the reasons are in {lake.path('quarantine')}")
    log.info("%d slides accepted, %d of them from an earlier run", len(accepted), sum(one.reused for one in accepted))

    version, unchanged = _publish(spark, lake, name, accepted, config)
    summary = {
        "site": site,
        "dataset": name,
        "version": version,
        "unchanged": unchanged,
        "accepted": len(accepted),
        "reused": sum(outcome.reused for outcome in accepted),
        "quarantined": len(refused),
        "rows": sum(outcome.rows for outcome in accepted),
        "seconds": round(time.monotonic() - started, 1),
    }
    write_summary(lake, name, summary)
    return summary


@contextmanager
def _progress(spark: SparkSession, log: LoggerAdapter[Any]) -> Iterator[None]:
    """Meanwhile, a line every ten seconds with the Spark tasks (slides) that are done."""
    finished = Event()
    tracker = spark.sparkContext.statusTracker()

    def report() -> None:
        while not finished.wait(10):
            stages = filter(None, map(tracker.getStageInfo, tracker.getActiveStageIds()))
            for stage in stages:
                log.info("%d of %d slides done", stage.numCompletedTasks, stage.numTasks)

    thread = Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def _publish(
    spark: SparkSession, lake: Lake, name: str, accepted: Sequence[Outcome], config: SlidesConfig
) -> tuple[str, bool]:
    """The version that holds the accepted slides, and whether it was there already."""
    ordered = sorted(accepted, key=lambda one: (one.work.patient, one.work.slide, one.work.entry.region))
    inputs = {f"{one.work.slide}/{one.work.entry.region}": one.sha256 for one in ordered}
    offered = features(config)
    versions = dataset_versions(lake, name)
    if versions:
        newest = read_manifest(lake, name, versions[-1])
        if newest.inputs == inputs and newest.features == offered:
            return newest.version, True
    schema, parts = tile_schema(config.tile), [one.part for one in ordered]
    published = write_dataset(
        spark, lake, name, kind="tiles", schema=schema, parts=parts, features=offered, inputs=inputs
    )
    return published.manifest.version, not published.new
