"""The slide ingest job: a hospital's delivery becomes a published dataset of kind `tiles`."""

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from logging import LoggerAdapter
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

from pyspark.sql import SparkSession

from oncotrain.config.slides import SlidesConfig
from oncotrain.errors import DataError
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import require_layout
from oncotrain.lake.manifest import dataset_versions, read_manifest
from oncotrain.lake.pseudonym import Pseudonyms
from oncotrain.lake.publish import write_summary
from oncotrain.lake.quarantine import accept, refuse
from oncotrain.lake.withdrawal import WITHDRAWN, withdraw_late, withdrawn
from oncotrain.lake.writer import write_dataset
from oncotrain.log import get_logger
from oncotrain.slides.delivery import Refused, read_delivery
from oncotrain.slides.state import Output, SlideState
from oncotrain.slides.tiles import features, tile_schema
from oncotrain.slides.work import SlideWork, survey_slide, write_range
from oncotrain.spark import run_tasks


def ingest_slides(
    spark: SparkSession, lake: Lake, site: str, manifest: str | Path, config: SlidesConfig, name: str = "tiles"
) -> dict[str, Any]:
    """Publish the slides that `manifest` lists as dataset `name`: exactly those, whatever earlier versions held.

    The manifest is a local path or a URI; where it is a URI, tasks copy their slides to their own disk.
    Returns the summary: `accepted`, `reused`, `quarantined` slides, `readers` and how many slides each read, `rows`,
    `version`, `unchanged` (the newest version holds this very content; nothing was published), `seconds`. A slide that
    cannot be taken goes to `quarantine` with its reason. Raises UserError for a mistake in the manifest or the lake,
    DataError if no slide was accepted.
    """
    started = time.monotonic()
    log = get_logger(site=site, stage="ingest_slides")
    require_layout(lake)
    entries, refused = read_delivery(manifest, site, config)
    pseudonyms = Pseudonyms(lake)
    works = [
        SlideWork(
            entry, name, site, pseudonyms.make("patient", entry.patient), pseudonyms.make("slide", entry.id), config
        )
        for entry in entries
    ]
    pseudonyms.save()
    gone = withdrawn(lake)
    refused += [Refused(one.entry.row, one.entry.name, WITHDRAWN) for one in works if one.patient in gone]
    works = [one for one in works if one.patient not in gone]

    log.info("%d slides to read, %d rows of the manifest refused", len(works), len(refused))
    done = _read(spark, lake, works, log)
    accepted = [slide for slide in done if slide.state.status == "accepted"]
    refused += [
        Refused(slide.work.entry.row, slide.work.entry.name, slide.state.reason)
        for slide in done
        if slide.state.status == "refused"
    ]
    for one in sorted(refused):
        log.warning("row %d of the manifest is refused: %s", one.row, one.reason)
        refuse(lake, name, one.name, one.reason)
    for slide in accepted:
        accept(lake, name, slide.work.entry.name)
    if not accepted:
        raise DataError(f"{manifest}: no slide was accepted; the reasons are in {lake.path('quarantine')}")
    log.info("%d slides accepted, %d of them from an earlier run", len(accepted), sum(one.reused for one in accepted))

    version, unchanged = _publish(spark, lake, name, accepted, config)
    if withdraw_late(spark, lake, site, gone, {one.work.patient for one in accepted}):
        log.warning("consent was withdrawn meanwhile: once more, without that patient")
        return ingest_slides(spark, lake, site, manifest, config, name)
    summary = {
        "site": site,
        "dataset": name,
        "version": version,
        "unchanged": unchanged,
        "accepted": len(accepted),
        "reused": sum(slide.reused for slide in accepted),
        "quarantined": len(refused),
        "readers": dict(Counter(slide.state.reader for slide in accepted)),
        "rows": sum(output.rows for slide in accepted for output in slide.state.outputs),
        "seconds": round(time.monotonic() - started, 1),
    }
    write_summary(lake, name, summary)
    return summary


class Done(NamedTuple):
    """A slide of which nothing is left to do."""

    work: SlideWork
    state: SlideState
    reused: bool
    """All its outputs are of an earlier run."""


def _read(spark: SparkSession, lake: Lake, works: Sequence[SlideWork], log: LoggerAdapter[Any]) -> list[Done]:
    """Survey every slide, then write what is missing, all slides' ranges of tiles side by side."""
    with _progress(spark, log, "slides surveyed"):
        surveyed = run_tasks(spark, works, partial(survey_slide, lake))
    missing = [task for slide in surveyed for task in slide.missing]
    with _progress(spark, log, "ranges of tiles written"):
        written = iter(run_tasks(spark, missing, partial(write_range, lake)))
    done = []
    for slide in surveyed:
        found = [next(written) if output is None else output for _, output in slide.ranges]
        outputs = tuple(output for output in found if isinstance(output, Output))
        reason = next((output for output in found if isinstance(output, str)), slide.state.reason)
        tiles = round(sum(output.seconds for output in outputs), 2)
        state = slide.state.model_copy(
            update={
                "status": "refused" if reason else "accepted",
                "reason": reason,
                "outputs": () if reason else outputs,
                "seconds": slide.state.seconds | {"tiles": tiles},
            }
        )
        slide.work.save(lake, state)
        done.append(Done(slide.work, state, not slide.missing))
    return done


@contextmanager
def _progress(spark: SparkSession, log: LoggerAdapter[Any], what: str) -> Iterator[None]:
    """Meanwhile, a line every ten seconds with how many of the Spark tasks are done."""
    finished = Event()
    tracker = spark.sparkContext.statusTracker()

    def report() -> None:
        while not finished.wait(10):
            stages = filter(None, map(tracker.getStageInfo, tracker.getActiveStageIds()))
            for stage in stages:
                log.info("%d of %d %s", stage.numCompletedTasks, stage.numTasks, what)

    thread = Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def _publish(
    spark: SparkSession, lake: Lake, name: str, accepted: Sequence[Done], config: SlidesConfig
) -> tuple[str, bool]:
    """The version that holds the accepted slides, and whether it was there already."""
    ordered = sorted(accepted, key=lambda one: (one.work.patient, one.work.slide, one.work.entry.region))
    inputs = {f"{one.work.slide}/{one.work.entry.region}": _hash(one.state.outputs) for one in ordered}
    offered = features(config)
    versions = dataset_versions(lake, name)
    if versions:
        newest = read_manifest(lake, name, versions[-1])
        if newest.inputs == inputs and newest.features == offered:
            return newest.version, True
    schema, parts = tile_schema(config.tile), [output.path for one in ordered for output in one.state.outputs]
    published = write_dataset(
        spark, lake, name, kind="tiles", schema=schema, parts=parts, features=offered, inputs=inputs
    )
    return published.manifest.version, not published.new


def _hash(outputs: Sequence[Output]) -> str:
    """Of a slide's rows, in storage order."""
    return hashlib.sha256("".join(output.sha256 for output in outputs).encode()).hexdigest()
