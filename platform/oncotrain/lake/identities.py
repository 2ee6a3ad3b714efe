"""The search for names and numbers of patients where none may be: in every byte and every decoded value of a lake."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from oncotrain.errors import UserError
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.manifest import dataset_versions

ZONES = ("curated", "runs", "audit")
SHORT = 6
"""Bytes. What is shorter turns up by chance in compressed data, so it is looked for as a word of text only."""
ENCODINGS = ("utf-8", "utf-16-le", "latin-1")
_CHUNK = 8 << 20
_TEXT = (".json", ".jsonl", ".yaml", ".yml", ".csv", ".txt", ".html", ".log")


class Needles:
    """What is looked for, whatever the case of its letters."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._numbers: dict[bytes, int] = {}
        """Lower-case bytes of a needle in some encoding -> its number, from 1."""
        self._words: dict[bytes, int] = {}
        for number, text in enumerate(texts, start=1):
            for encoding in ENCODINGS:
                encoded = text.encode(encoding, errors="ignore").lower()
                if encoded:
                    (self._numbers if len(encoded) >= SHORT else self._words).setdefault(encoded, number)
        self._anywhere = _pattern(self._numbers)
        self._as_word = _pattern(self._words, rb"(?<![a-z0-9])(?:%s)(?![a-z0-9])")
        self.longest = max(map(len, (*self._numbers, *self._words)), default=0)

    def find(self, data: bytes, *, text: bool) -> set[int]:
        """Numbers of the needles in `data`; the short ones only if it is `text`."""
        lower = data.lower()
        found = {self._numbers[hit] for hit in self._anywhere.findall(lower)} if self._anywhere else set[int]()
        if text and self._as_word:
            found |= {self._words[hit] for hit in self._as_word.findall(lower)}
        return found


class Finding(NamedTuple):
    """A needle that was found, by its number: a report must not repeat it."""

    needle: int
    """Line of the file of needles, from 1."""
    path: str
    column: str
    """Of a dataset; empty where it is in the file's bytes or its name."""

    def told(self, file: Path) -> str:
        """In words, of the needles in `file`."""
        column = f" in column {self.column}" if self.column else ""
        return f"{self.path}: holds line {self.needle} of {file}{column}"


class Searched(NamedTuple):
    """How much was looked through, and what was found."""

    files: int
    bytes: int
    rows: int
    findings: list[Finding]


def read_needles(path: Path) -> list[str]:
    """One name or number a line, in UTF-8; empty lines count as lines and are not looked for.

    Raises UserError if the file cannot be read or holds nothing.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({type(error).__name__})") from None
    if not any(lines):
        raise UserError(f"{path}: holds no name or number, one a line")
    return lines


def search_lake(lake: Lake, texts: Sequence[str]) -> Searched:
    """Look for `texts` in every file's name and bytes, and in every value of every dataset version, of `ZONES`."""
    needles = Needles(texts)
    findings: set[Finding] = set()
    files = size = rows = 0
    for path in _files(lake):
        name = path.removeprefix(f"{lake.root}/")
        files, size = files + 1, size + int(lake.fs.size(path))
        numbers = needles.find(name.encode(), text=True)
        for chunk in _chunks(lake, path, needles.longest):
            numbers |= needles.find(chunk, text=path.endswith(_TEXT))
        findings |= {Finding(number, name, "") for number in numbers}
    for dataset in lake.list("curated"):
        for version in dataset_versions(lake, dataset):
            count, found = _search_rows(lake, dataset, version, needles)
            rows += count
            findings |= found
    return Searched(files, size, rows, sorted(findings))


def _search_rows(lake: Lake, name: str, version: str, needles: Needles) -> tuple[int, set[Finding]]:
    dataset = open_dataset(lake, name, version, cache_bytes=0)
    found: set[Finding] = set()
    for row in dataset.iterate(list(dataset.schema.fields)):
        for column, value in row.items():
            text = isinstance(value, str)
            data = value.encode() if isinstance(value, str) else np.asarray(value).tobytes()
            numbers = needles.find(data, text=text) if value is not None else set()
            found |= {Finding(number, f"curated/{name}/{version}", column) for number in numbers}
    return dataset.rows, found


def _files(lake: Lake) -> Iterator[str]:
    for zone in ZONES:
        if lake.exists(zone):
            yield from sorted(str(path) for path in lake.fs.find(lake.path(zone)))


def _chunks(lake: Lake, path: str, overlap: int) -> Iterator[bytes]:
    """A file's bytes, each piece beginning with the end of the one before, so that nothing falls between two."""
    rest = b""
    with lake.fs.open(path, "rb") as file:
        while piece := file.read(_CHUNK):
            yield rest + piece
            rest = piece[-overlap:]


def _pattern(needles: Iterable[bytes], form: bytes = b"%s") -> re.Pattern[bytes] | None:
    """One expression for all needles, the longest first, so that one inside another is not lost."""
    ordered = sorted(needles, key=len, reverse=True)
    return re.compile(form % b"|".join(map(re.escape, ordered))) if ordered else None
