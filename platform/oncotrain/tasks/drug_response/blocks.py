"""Rows by the block: what is in memory together."""

from collections.abc import Iterable, Iterator
from itertools import islice

from oncotrain.tasks.task import Row

BLOCK = 512
"""Rows."""


def blocks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """`rows` in lists of at most `BLOCK`."""
    iterator = iter(rows)
    while block := list(islice(iterator, BLOCK)):
        yield block
