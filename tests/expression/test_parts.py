"""How a matrix is shared out over tasks."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oncotrain.expression.parts import PartWriter
from oncotrain.lake.filesystem import Lake


def spans(samples: int, genes: int, tasks: int, *, samples_as_rows: bool) -> list[tuple[int, int]]:
    matrix = SimpleNamespace(samples=range(samples), samples_as_rows=samples_as_rows)
    writer = PartWriter(matrix, np.arange(genes), None, Lake("file:///nowhere"), "", 16 << 20)
    return [(span.first, span.stop) for span in writer.spans({position: {} for position in range(samples)}, tasks)]


@given(st.integers(1, 30_000), st.integers(1, 40_000), st.integers(1, 64), st.booleans())
def test_spans_cover_every_sample_once(samples: int, genes: int, tasks: int, samples_as_rows: bool) -> None:
    found = spans(samples, genes, tasks, samples_as_rows=samples_as_rows)
    assert [0, *(stop for _, stop in found)] == [*(first for first, _ in found), samples]
    if samples_as_rows:  # streamed: each is read from the file's beginning, so there are no more than needed
        assert len(found) <= tasks
    else:
        assert max(stop - first for first, stop in found) * genes * 4 <= 256 << 20


def test_columns_are_read_in_full_rounds_of_tasks() -> None:
    """Three spans for two tasks would take as long as four."""
    assert len(spans(10_000, 20_000, 2, samples_as_rows=False)) == 4
    assert len(spans(10_000, 20_000, 2, samples_as_rows=True)) == 2
