"""Profiles and records joined into part files, a run of samples at a time: what each Spark task does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from petastorm.unischema import Unischema

from oncotrain.expression.matrix import ExpressionMatrix
from oncotrain.expression.refusal import Refusal
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.writer import write_part

PART_BYTES = 16 << 20
_SPAN_BYTES = 256 << 20


class Span(NamedTuple):
    """Samples `first` to `stop` of a matrix, read in one pass; `records` by position, of those that are taken."""

    first: int
    stop: int
    records: Mapping[int, Mapping[str, Any]]


class Written(NamedTuple):
    """The parts of a span in order, how many responses they hold, each gene's extremes (G,), what was refused."""

    parts: list[str]
    responses: int
    minima: np.ndarray
    maxima: np.ndarray
    refused: list[Refusal]


@dataclass(frozen=True)
class PartWriter:
    """Writes spans of one matrix into the directory `staged` of a lake; travels to the tasks."""

    matrix: ExpressionMatrix
    genes: np.ndarray
    """Positions in the matrix, int64 (G,)."""
    schema: Unischema
    lake: Lake
    staged: str
    part_bytes: int
    """Expression in a part."""

    @property
    def part_rows(self) -> int:
        """Samples of a part; does not depend on the number of tasks."""
        return max(1, self.part_bytes // (4 * len(self.genes)))

    def spans(self, records: Mapping[int, Mapping[str, Any]], tasks: int) -> list[Span]:
        """Runs of whole parts that hold a record, of equal length: `tasks`, or where samples are columns a multiple of
        so many, that none is over 256 MB, since all of it is in memory.
        """
        samples = len(self.matrix.samples)
        parts = -(-samples // self.part_rows)
        largest = parts if self.matrix.samples_as_rows else max(1, _SPAN_BYTES // self.part_bytes)
        rounds = -(-parts // (tasks * largest))
        size = self.part_rows * -(-parts // (tasks * rounds))
        spans = []
        for first in range(0, samples, size):
            stop = min(first + size, samples)
            taken = {position: records[position] for position in range(first, stop) if position in records}
            if taken:
                spans.append(Span(first, stop, taken))
        return spans

    def write(self, span: Span) -> Written:
        """Write the span's parts; a sample with a cell that is no finite number is refused."""
        parts, responses, refused = [], 0, []
        minima = np.full(len(self.genes), np.inf, np.float32)
        maxima = -minima
        profiles = self.matrix.profiles(span.first, span.stop, self.genes)
        for number, members in groupby(profiles, key=lambda profile: profile.position // self.part_rows):
            taken = []
            for profile in members:
                record = span.records.get(profile.position)
                if record is None:
                    continue
                if profile.problem:
                    refused.append(Refusal(f"sample {record['sample']}", profile.problem))
                    continue
                taken.append({**record, "expression": profile.values})
                responses += len(record["response"])
                np.minimum(minima, profile.values, out=minima)
                np.maximum(maxima, profile.values, out=maxima)
            if taken:
                parts.append(f"{self.staged}/{number:05d}.parquet")
                write_part(self.lake.fs, parts[-1], self.schema, taken)
        return Written(parts, responses, minima, maxima, refused)


def constant_genes(written: Sequence[Written]) -> np.ndarray:
    """Bool (G,): the genes with one and the same value in every sample."""
    minima: np.ndarray = np.min([span.minima for span in written], axis=0)
    return minima == np.max([span.maxima for span in written], axis=0)
