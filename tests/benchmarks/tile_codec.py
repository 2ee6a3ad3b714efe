"""The codec of tiles beside others without loss: milliseconds to encode and decode a tile, and bytes over PNG's.

    python tests/benchmarks/tile_codec.py [--side 256] [--tiles 30]

Tiles of tissue from two slides, whose pixels come from JPEG, and from MoNuSeg's images. One thread, processor time, the
best of 5 passes over all tiles of a source. PNG is Petastorm's codec.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import cv2
import imagecodecs
import numpy as np
import openslide
import typer
import zstandard
from petastorm.codecs import CompressedImageCodec, DeltaZstdCodec
from petastorm.unischema import UnischemaField

from oncotrain.job import run_job

DATA = Path(__file__).parents[3] / "shared" / "data" / "histology"
SLIDES = ("A9K0_1.svs", "CMU-1-Small-Region.svs")
GLASS = 225
"""Mean grey value over which a tile is left out."""
PASSES = 5

Way = tuple[Callable[[np.ndarray], Any], Callable[[Any], np.ndarray]]
"""Encode and decode."""


def main(
    side: Annotated[int, typer.Option(min=8, help="pixels")] = 256,
    tiles: Annotated[int, typer.Option(min=1, help="of each source")] = 30,
) -> None:
    """Print the table; the last line is the same as JSON."""
    run_job("tile_codec", lambda: measure(side, tiles))


def measure(side: int, tiles: int) -> dict[str, Any]:
    """Each way's milliseconds and bytes, by source."""
    cv2.setNumThreads(1)
    rng, found = np.random.default_rng(0), {}
    print("| source | codec | encode, ms | decode, ms | bytes over PNG's |\n|---|---|---|---|---|")
    for source, images in (*((name, [DATA / "wsi" / name]) for name in SLIDES), ("MoNuSeg", _monuseg(tiles))):
        cut = [_cut(images[number % len(images)], side, rng) for number in range(tiles)]
        found[source] = {name: _measure(way, cut) for name, way in _ways(side).items()}
        for name, (encode, decode, size) in found[source].items():
            over = size / found[source]["PNG"][2]
            print(f"| {source} | {name} | {encode:.2f} | {decode:.2f} | {over:.2f} |", flush=True)
    return found


def _monuseg(number: int) -> Sequence[Path]:
    return sorted((DATA / "monuseg" / "images").iterdir())[:number]


def _cut(path: Path, side: int, rng: np.random.Generator) -> np.ndarray:
    """A tile of tissue, anywhere in the picture."""
    with openslide.open_slide(path) as slide:
        while True:
            corner = tuple(int(rng.integers(0, size - side)) for size in slide.dimensions)
            tile = np.asarray(slide.read_region(corner, 0, (side, side)).convert("RGB"))
            if tile.mean() < GLASS:
                return tile


def _ways(side: int) -> dict[str, Way]:
    field = UnischemaField("pixels", np.uint8, (side, side, 3), DeltaZstdCodec(), False)
    return {
        "PNG": _of_petastorm(CompressedImageCodec("png"), field),
        "the reader's": _of_petastorm(DeltaZstdCodec(), field),
        "zstd 3 of the pixels": (
            lambda tile: zstandard.ZstdCompressor(level=3).compress(tile),
            lambda data: np.frombuffer(zstandard.ZstdDecompressor().decompress(data), np.uint8).reshape(side, side, 3),
        ),
        "QOI": (imagecodecs.qoi_encode, imagecodecs.qoi_decode),
        "WebP": (lambda tile: imagecodecs.webp_encode(tile, lossless=True, level=0), imagecodecs.webp_decode),
        "JPEG-LS": (imagecodecs.jpegls_encode, imagecodecs.jpegls_decode),
        "JPEG XL": (lambda tile: imagecodecs.jpegxl_encode(tile, lossless=True, effort=1), imagecodecs.jpegxl_decode),
    }


def _of_petastorm(codec: Any, field: UnischemaField) -> Way:
    return lambda tile: codec.encode(field, tile), lambda data: codec.decode(field, data)


def _measure(way: Way, tiles: Sequence[np.ndarray]) -> tuple[float, float, float]:
    encode, decode = way
    encoded = [encode(tile) for tile in tiles]
    for tile, data in zip(tiles, encoded, strict=True):
        np.testing.assert_array_equal(decode(data), tile)
    size = sum(map(len, encoded)) / len(tiles)
    return _best(encode, tiles), _best(decode, encoded), size


def _best(work: Callable[[Any], object], items: Iterable[Any]) -> float:
    """Milliseconds of processor time an item."""
    items, passes = list(items), []
    for _ in range(PASSES):
        began = time.process_time()
        for item in items:
            work(item)
        passes.append(time.process_time() - began)
    return 1000 * min(passes) / len(items)


if __name__ == "__main__":
    typer.run(main)
