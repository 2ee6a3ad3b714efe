"""What must not leave a hospital, and a search for any piece of it in bytes of any length."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from oncotrain.lake.dataset import Dataset, open_dataset
from oncotrain.lake.filesystem import Lake

RUN = 16
"""Bytes of the shortest piece of an array that is searched for: four float32, sixteen subpixels."""
ROWS = 200
_PREFIX = 8
_DULL = 4
"""Fewer distinct bytes than this in a piece, as on an empty ground, say nothing of whose it is."""


@dataclass(frozen=True)
class Needles:
    """Pieces to look for, by what they are, such as ``chu-grenoble pixels``."""

    pieces: dict[bytes, str]

    def found_in(self, content: bytes) -> dict[str, int]:
        """How often each kind occurs, at any offset of `content`."""
        by_prefix: dict[int, list[bytes]] = {}
        for piece in self.pieces:
            by_prefix.setdefault(int.from_bytes(piece[:_PREFIX], "little"), []).append(piece)
        prefixes = np.array(sorted(by_prefix), np.uint64)
        found: dict[str, int] = {}
        for offset in _matches(np.frombuffer(content, np.uint8), prefixes):
            start = int.from_bytes(content[offset : offset + _PREFIX], "little")
            for piece in by_prefix[start]:
                if content.startswith(piece, offset):
                    kind = self.pieces[piece]
                    found[kind] = found.get(kind, 0) + 1
        return found


def needles_of(site: str, lake: Lake, datasets: Iterable[str]) -> Needles:
    """Of up to ROWS rows of each dataset: identifiers as text; every run of four values of an array, as float32 and
    as float64; pixels, raw and as they are encoded in the lake, in runs that no longer run can avoid."""
    pieces: dict[bytes, str] = {}
    for name in datasets:
        dataset = open_dataset(lake, name)
        for row in dataset.read(range(min(ROWS, dataset.rows)), list(dataset.schema.fields)):
            for kind, piece in _pieces(dataset, row):
                if len(set(piece)) >= _DULL:
                    pieces[piece] = f"{site} {kind}"
    return Needles(pieces)


def _pieces(dataset: Dataset, row: dict) -> Iterator[tuple[str, bytes]]:
    for column in ("patient", "sample", "slide"):
        if column in row:
            yield column, str(row[column]).encode()
    for column in ("expression", "response"):
        for dtype in (np.float32, np.float64):
            yield from ((column, piece) for piece in _windows(row.get(column, np.empty(0)).astype(dtype)))
    if "pixels" in row:
        pixels = row["pixels"]
        field = dataset.schema.fields["pixels"]
        encoded = bytes(field.codec.encode(field, pixels))
        for content in (pixels.tobytes(), encoded):
            yield from (("pixels", content[at : at + RUN]) for at in range(0, len(content) - RUN, RUN))


def _windows(values: np.ndarray) -> Iterator[bytes]:
    """Every run of four values."""
    return (values[at : at + 4].tobytes() for at in range(len(values) - 3))


def _matches(content: np.ndarray, prefixes: np.ndarray, block: int = 1 << 22) -> Iterator[int]:
    """Offsets whose eight bytes are one of the sorted `prefixes`."""
    for start in range(0, max(0, len(content) - _PREFIX + 1), block):
        part = content[start : start + block + _PREFIX - 1]
        windows = np.lib.stride_tricks.sliding_window_view(part, _PREFIX)
        heads = np.ascontiguousarray(windows).view(np.uint64).ravel()
        places = np.searchsorted(prefixes, heads)
        hits = prefixes[np.minimum(places, len(prefixes) - 1)] == heads
        yield from (start + int(offset) for offset in np.flatnonzero(hits))
