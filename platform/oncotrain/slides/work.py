"""One slide, one Spark task, one part file: found again by what its rows follow from, so that a re-run skips it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path

from oncotrain.config.slides import SlidesConfig
from oncotrain.errors import DataError
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.packing import read_footer
from oncotrain.lake.publish import hash_file
from oncotrain.lake.received import local_copies
from oncotrain.lake.writer import write_part
from oncotrain.slides.delivery import SlideEntry
from oncotrain.slides.labels import Annotations, Unlabelled
from oncotrain.slides.mask_annotations import MaskAnnotations
from oncotrain.slides.polygon_annotations import PolygonAnnotations
from oncotrain.slides.reader import SlideReader, open_reader
from oncotrain.slides.slide import Slide
from oncotrain.slides.tiles import select_tiles, tile_rows, tile_schema

PARTS = ("landing", "_work", "tiles")
"""Where part files lie. They may be deleted at any time between two jobs; the next job makes them again."""


@dataclass(frozen=True)
class SlideWork:
    """What a Spark task needs to turn one slide into rows; the site's key stays on the driver."""

    entry: SlideEntry
    site: str
    patient: str
    """Pseudonym."""
    slide: str
    """Pseudonym."""
    config: SlidesConfig

    @property
    def keys(self) -> dict[str, str | int]:
        """Columns that all rows of the slide share."""
        return {
            "site": self.site,
            "patient": self.patient,
            "cohort": self.entry.cohort,
            "part": self.entry.part,
            "slide": self.slide,
            "region": self.entry.region,
        }


@dataclass(frozen=True)
class Outcome:
    """What became of one slide: a part file with `rows` rows, or the `reason` for refusing it."""

    work: SlideWork
    reason: str = ""
    part: str = ""
    """Path inside the lake's filesystem."""
    sha256: str = ""
    """Of the part's bytes."""
    rows: int = 0
    reused: bool = False


def process(lake: Lake, work: SlideWork) -> Outcome:
    """Write the slide's part file, or find it. A slide that cannot be taken is an outcome, not an error."""
    try:
        with local_copies(work.entry.files) as files:
            part = lake.path(*PARTS, f"{_fingerprint(work, files)}.parquet")
            reused = lake.fs.exists(part)
            if not reused:
                _write(lake, part, work, files)
    except DataError as error:
        return Outcome(work, reason=str(error))
    return Outcome(work, "", part, hash_file(lake, part), read_footer(lake.fs, part).num_rows, reused)


def _write(lake: Lake, part: str, work: SlideWork, files: Mapping[str, Path]) -> None:
    config = work.config
    with open_reader(files["slide"], work.entry.reader) as reader:
        slide = Slide(reader, _spacing(reader, work))
        annotations = _annotations(slide, config, files)
        tiles = select_tiles(slide, annotations, config)
        if not tiles:
            raise DataError(f"no tile holds {config.min_tissue:.0%} tissue or an annotated nucleus")
        rows = tile_rows(slide, annotations, tiles, config, work.keys)
        write_part(lake.fs, part, tile_schema(config.tile), rows)


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


def _fingerprint(work: SlideWork, files: Mapping[str, Path]) -> str:
    """SHA-256 of all that the rows follow from: the files' bytes, the keys, the configuration and this package."""
    settings = {
        "keys": work.keys,
        "mpp": work.entry.mpp,
        "reader": work.entry.reader,
        "config": work.config.model_dump(mode="json", exclude={"columns"}),
        "files": {kind: _digest(file) for kind, file in files.items()},
        "code": _code(),
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _code() -> list[str]:
    """SHA-256 of this package's modules, which may lie in a zip that came with the submission."""
    modules = [entry for entry in package_files("oncotrain.slides").iterdir() if entry.name.endswith(".py")]
    return [hashlib.sha256(entry.read_bytes()).hexdigest() for entry in sorted(modules, key=lambda entry: entry.name)]
