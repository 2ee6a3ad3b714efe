"""The manifest CSV of a slide delivery: one row a slide, paths relative to the CSV's folder."""

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from oncotrain.config.slides import Column, SlidesConfig
from oncotrain.errors import DataError, UserError
from oncotrain.lake.names import slug
from oncotrain.lake.received import find_received, folder_of, open_received
from oncotrain.slides.reader import READERS

REQUIRED: tuple[Column, ...] = ("slide", "patient")
OPTIONAL: tuple[Column, ...] = ("id", "mpp", "reader", "annotations", "mask", "class_map", "cohort", "part", "site")
FILES: tuple[Column, ...] = ("slide", "annotations", "mask", "class_map")
PARTS = ("train", "test", "")
COHORT = re.compile(r"[A-Za-z0-9._-]{0,32}")
"""It enters every row, so it is no free text."""


@dataclass(frozen=True)
class SlideEntry:
    """One accepted row. Its `files` exist and lie in the manifest's folder."""

    row: int
    """1 for the first row below the header; what log lines say instead of a name."""
    name: str
    """The slide's path as the manifest writes it."""
    files: dict[str, str]
    """`slide` and, where given, `annotations`, `mask`, `class_map`: local path or URI."""
    patient: str
    id: str
    region: int
    """Rows with the same id are regions of one slide, numbered from 0 by path."""
    mpp: float | None
    reader: str
    """One of `oncotrain.slides.reader.READERS`; empty: chosen by the file's content."""
    cohort: str
    part: str


class Refused(NamedTuple):
    """A slide that is not taken, and why, in words that name nobody."""

    row: int
    name: str
    reason: str


class Delivery(NamedTuple):
    """The rows of one site: those that can be tried, and the others."""

    entries: list[SlideEntry]
    refused: list[Refused]


def read_delivery(path: str | Path, site: str, config: SlidesConfig) -> Delivery:
    """Read the rows of `site`: all of them, or those whose `site` column, as a slug, equals it where there is one.

    `path` is a local path or a URI, and the slides lie in the same folder or below.
    Raises UserError if the file or a column is missing, DataError if no row belongs to the site.
    """
    names = {column: config.columns.get(column, column) for column in (*REQUIRED, *OPTIONAL)}
    try:
        with open_received(str(path)) as stream:
            text = stream.read().decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        header, lines = list(reader.fieldnames or []), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: is not a CSV file in UTF-8 ({error})") from None
    for column, name in names.items():
        if name not in header and (column in REQUIRED or column in config.columns):
            raise UserError(f"{path}: column '{name}' ({column}) is missing; found: {', '.join(header)}")

    entries: list[SlideEntry] = []
    refused: list[Refused] = []
    first: dict[str, int] = {}
    patients: dict[str, str] = {}
    others: set[str] = set()
    folder = folder_of(str(path))
    for row, line in enumerate(lines, start=1):
        values = {column: (line.get(name) or "").strip() for column, name in names.items()}
        if names["site"] in header and slug(values["site"]) != site:
            others.add(slug(values["site"]))
            continue
        try:
            entry = _entry(row, values, folder)
            if first.setdefault(entry.files["slide"], row) != row:
                raise DataError(f"is the same file as in row {first[entry.files['slide']]}")
            if patients.setdefault(entry.id, entry.patient) != entry.patient:
                raise DataError("has the id of another patient's slide")
            entries.append(entry)
        except DataError as error:
            refused.append(Refused(row, values["slide"] or f"row {row}", str(error)))
    if not entries and not refused:
        raise DataError(f"{path}: no row belongs to site '{site}'; sites found: {', '.join(sorted(others)) or 'none'}")
    return Delivery(_number_regions(entries), refused)


def _number_regions(entries: list[SlideEntry]) -> list[SlideEntry]:
    seen: Counter[str] = Counter()
    numbered = []
    for entry in sorted(entries, key=lambda entry: entry.name):
        numbered.append(replace(entry, region=seen[entry.id]))
        seen[entry.id] += 1
    return numbered


def _entry(row: int, values: dict[Column, str], folder: str) -> SlideEntry:
    if not values["patient"]:
        raise DataError("column 'patient' is empty")
    if not COHORT.fullmatch(values["cohort"]):
        raise DataError("column 'cohort' must be a short name of letters, digits, '.', '_' and '-', without spaces")
    if values["part"] not in PARTS:
        raise DataError("column 'part' must be 'train', 'test' or empty")
    if values["reader"] and values["reader"] not in READERS:
        raise DataError(f"column 'reader' must be one of {', '.join(READERS)}, or empty")
    if values["annotations"] and values["mask"]:
        raise DataError("has both 'annotations' and 'mask'; one of them is allowed")
    if values["class_map"] and not values["mask"]:
        raise DataError("has a 'class_map' but no 'mask'")
    if not values["slide"]:
        raise DataError("column 'slide' is empty")
    return SlideEntry(
        row=row,
        name=values["slide"],
        files={column: _file(values, column, folder) for column in FILES if values[column]},
        patient=values["patient"],
        id=values["id"] or values["slide"],
        region=0,
        mpp=_number(values["mpp"]),
        reader=values["reader"],
        cohort=values["cohort"],
        part=values["part"],
    )


def _file(values: dict[Column, str], column: Column, folder: str) -> str:
    try:
        return find_received(folder, values[column])
    except DataError as error:
        raise DataError(f"the file in column '{column}' {error}") from None


def _number(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        raise DataError("column 'mpp' must be a number of µm per pixel") from None
