"""The work on one slide, by Spark tasks: a survey, then its tiles by ranges, each of them one part file.

What is done is found again by what it follows from, so that a re-run does only what is missing.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.resources import files as package_files
from pathlib import Path
from typing import BinaryIO

from oncotrain.config import parse
from oncotrain.config.slides import SlidesConfig
from oncotrain.errors import DataError
from oncotrain.lake.dataset import Row
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.received import local_copies
from oncotrain.lake.writer import encode_part
from oncotrain.slides.delivery import SlideEntry
from oncotrain.slides.grid_picture import draw_grid
from oncotrain.slides.guarded import Beat, guarded
from oncotrain.slides.labels import Annotations, Unlabelled
from oncotrain.slides.mask_annotations import MaskAnnotations
from oncotrain.slides.polygon_annotations import PolygonAnnotations
from oncotrain.slides.reader import SlideReader, open_reader, reader_name
from oncotrain.slides.slide import Slide
from oncotrain.slides.state import Output, SlideState, load_state, save_picture, save_state
from oncotrain.slides.survey import Spot, Survey, find_spots, pack_spots, unpack_spots
from oncotrain.slides.tiles import tile_rows, tile_schema
from oncotrain.slides.tissue import SPACING

PARTS = ("landing", "_work", "tiles")
"""Where surveys and part files lie. They may be deleted at any time between two jobs; the next job makes them again."""
RANGE_PIXELS = 32 << 20
"""Pixels of the tiles that one task writes: few enough to bound its memory and to split a large slide over executors,
many enough to be worth the process and the open slide that each task begins with."""


@dataclass(frozen=True)
class SlideWork:
    """What a Spark task needs to turn one slide into rows; the site's key stays on the driver."""

    entry: SlideEntry
    dataset: str
    site: str
    patient: str
    """Pseudonym."""
    slide: str
    """Pseudonym."""
    config: SlidesConfig

    @property
    def keys(self) -> dict[str, str | int]:
        """Columns that all rows of the slide share: nothing else of the delivery enters a row."""
        return {
            "site": self.site,
            "patient": self.patient,
            "cohort": self.entry.cohort,
            "part": self.entry.part,
            "slide": self.slide,
            "region": self.entry.region,
        }

    def save(self, lake: Lake, state: SlideState) -> None:
        """Note what became of the slide."""
        save_state(lake, self.dataset, self.slide, self.entry.region, state)


@dataclass(frozen=True)
class Surveyed:
    """A slide after its survey: `ranges` of tiles with the output of those that are written, or the `reason`."""

    work: SlideWork
    state: SlideState
    fingerprint: str = ""
    ranges: tuple[tuple[int, Output | None], ...] = ()
    """Number of the first tile, and what was written from there on."""

    @property
    def missing(self) -> list["RangeWork"]:
        """What is left to do."""
        return [RangeWork(self.work, self.fingerprint, start) for start, output in self.ranges if output is None]


@dataclass(frozen=True)
class RangeWork:
    """Tiles of a surveyed slide, from number `start` on."""

    work: SlideWork
    fingerprint: str
    start: int


def survey_slide(lake: Lake, work: SlideWork) -> Surveyed:
    """Find the slide's tiles, or find that they were found. A slide that cannot be taken has a state that says why."""
    before = load_state(lake, work.dataset, work.slide, work.entry.region)
    attempts, seconds = before.attempts if before else 0, dict(before.seconds) if before else {}
    began = time.monotonic()
    try:
        with local_copies(work.entry.files) as files:
            fingerprint = _fingerprint(work, files)
            seconds["fetch"] = round(time.monotonic() - began, 2)
            place = (*PARTS, fingerprint, "survey.json")
            if not lake.exists(*place):
                work.save(lake, SlideState(status="reading", attempts=attempts + 1))
                attempts += 1
                began = time.monotonic()
                (survey, spots), picture = guarded(partial(_survey, work, files))
                save_picture(lake, work.dataset, work.slide, work.entry.region, picture)
                lake.write_atomic(spots, *PARTS, fingerprint, "spots.npy")
                lake.write_atomic(survey.model_dump_json().encode(), *place)
                seconds["survey"] = round(time.monotonic() - began, 2)
    except DataError as error:
        seconds["survey"] = round(time.monotonic() - began, 2)
        state = SlideState(status="refused", reason=str(error), attempts=max(attempts, 1), seconds=seconds)
        return Surveyed(work, state)
    survey = _load_survey(lake, fingerprint)
    step = _tiles_a_range(work.config)
    ranges = tuple((start, _find_output(lake, fingerprint, start)) for start in range(0, survey.tiles, step))
    state = SlideState(status="reading", attempts=max(attempts, 1), reader=survey.reader, seconds=seconds)
    return Surveyed(work, state, fingerprint, ranges)


def write_range(lake: Lake, task: RangeWork) -> Output | str:
    """Write the part file of a range of tiles; the reason, if the slide's pixels cannot be read."""
    began = time.monotonic()
    survey, work = _load_survey(lake, task.fingerprint), task.work
    packed = lake.read_bytes(*PARTS, task.fingerprint, "spots.npy")
    spots = unpack_spots(packed, task.start, task.start + _tiles_a_range(work.config))
    try:
        with local_copies(work.entry.files) as files:
            rows, data = guarded(partial(_rows, work, files, survey, spots))
    except DataError as error:
        return str(error)
    path = lake.path(*PARTS, task.fingerprint, f"{task.start:06d}.parquet")
    output = Output(
        path=path,
        rows=rows,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        seconds=round(time.monotonic() - began, 2),
    )
    lake.write_atomic(data, *PARTS, task.fingerprint, f"{task.start:06d}.parquet")
    lake.write_atomic(output.model_dump_json().encode(), *PARTS, task.fingerprint, f"{task.start:06d}.json")
    return output


def _survey(work: SlideWork, files: Mapping[str, Path], beat: Beat, picture: BinaryIO) -> tuple[Survey, bytes]:
    config = work.config
    with open_reader(files["slide"], work.entry.reader) as reader:
        slide = Slide(reader, _spacing(reader, work))
        beat()
        annotations = _annotations(slide, config, files)
        beat()
        thumbnail = slide.thumbnail(SPACING, beat)
        spots = find_spots(slide, thumbnail, annotations, config)
        if not spots:
            raise DataError(f"no tile holds {config.min_tissue:.0%} tissue or an annotated nucleus")
        survey = Survey(
            reader=reader_name(reader),
            vendor=reader.vendor,
            mpp=slide.mpp,
            size=slide.dimensions,
            tiles=len(spots),
        )
    picture.write(draw_grid(thumbnail, spots, config.spacing))
    return survey, pack_spots(spots)


def _rows(
    work: SlideWork, files: Mapping[str, Path], survey: Survey, spots: Sequence[Spot], beat: Beat, part: BinaryIO
) -> int:
    with open_reader(files["slide"], survey.reader) as reader:
        slide = Slide(reader, survey.mpp)
        annotations = _annotations(slide, work.config, files)
        beat()
        rows = tile_rows(slide, annotations, spots, work.config, work.keys)
        return encode_part(part, tile_schema(work.config.tile), _beating(rows, beat))


def _beating(rows: Iterable[Row], beat: Beat) -> Iterator[Row]:
    for row in rows:
        yield row
        beat()


def _spacing(reader: SlideReader, work: SlideWork) -> tuple[float, float]:
    if work.entry.mpp is not None:
        return work.entry.mpp, work.entry.mpp
    if reader.vendor in work.config.override_spacing:
        return (work.config.override_spacing[reader.vendor],) * 2
    if reader.mpp is not None:
        return reader.mpp
    if reader.vendor in work.config.missing_spacing:
        return (work.config.missing_spacing[reader.vendor],) * 2
    raise DataError(
        "does not state its spacing; "
        f"give 'mpp' in the manifest, or missing_spacing.{reader.vendor} in the configuration"
    )


def _annotations(slide: Slide, config: SlidesConfig, files: Mapping[str, Path]) -> Annotations:
    if "annotations" in files:
        return PolygonAnnotations(files["annotations"], slide, config)
    if "mask" in files:
        return MaskAnnotations(files["mask"], files.get("class_map"), slide, config.spacing, len(config.classes))
    return Unlabelled()


def _tiles_a_range(config: SlidesConfig) -> int:
    return max(1, RANGE_PIXELS // config.tile**2)


def _load_survey(lake: Lake, fingerprint: str) -> Survey:
    place = (*PARTS, fingerprint, "survey.json")
    return parse(Survey, json.loads(lake.read_bytes(*place)), lake.path(*place))


def _find_output(lake: Lake, fingerprint: str, start: int) -> Output | None:
    """What an earlier task wrote, if it is still there."""
    place = (*PARTS, fingerprint, f"{start:06d}.json")
    if not lake.exists(*place):
        return None
    output = parse(Output, json.loads(lake.read_bytes(*place)), lake.path(*place))
    there = lake.fs.exists(output.path) and lake.fs.size(output.path) == output.bytes
    return output if there else None


def _fingerprint(work: SlideWork, files: Mapping[str, Path]) -> str:
    """SHA-256 of all that a part follows from: the files' bytes, keys, configuration, this package and the codec."""
    settings = {
        "keys": work.keys,
        "mpp": work.entry.mpp,
        "reader": work.entry.reader,
        "config": work.config.model_dump(mode="json", exclude={"columns"}),
        "files": {kind: _digest(file) for kind, file in files.items()},
        "code": _code(),
        "codec": version("petastorm"),
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _code() -> list[str]:
    """SHA-256 of this package's modules, which may lie in a zip that came with the submission."""
    modules = [entry for entry in package_files("oncotrain.slides").iterdir() if entry.name.endswith(".py")]
    return [hashlib.sha256(entry.read_bytes()).hexdigest() for entry in sorted(modules, key=lambda entry: entry.name)]
