"""A BigTIFF whose last tile lies beyond 4 GiB, behind a hole that takes no disk where the file system has such."""

import shutil
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from oncotrain.slides.reader import open_reader

HOLE = 4400 << 20
SIDE = 1024


def makes_holes(path: Path) -> bool:
    with path.open("wb") as file:
        file.truncate(1 << 20)
    return path.stat().st_blocks == 0


@pytest.fixture
def slide(tmp_path: Path) -> tuple[Path, np.ndarray]:
    needed = 64 << 20 if makes_holes(tmp_path / "probe") else HOLE + (64 << 20)
    if shutil.disk_usage(tmp_path).free < needed:
        pytest.skip(f"less than {needed >> 20} MiB of disk are free")
    noise = np.random.default_rng(0).integers(40, 220, (9, 9, 3), dtype=np.uint8)
    pixels = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, pixels, bigtiff=True, tile=(256, 256), photometric="rgb", compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        offset, length = page.dataoffsets[-1], page.databytecounts[-1]
        entry = page.tags["TileOffsets"].valueoffset + 8 * (len(page.dataoffsets) - 1)
    with path.open("r+b") as file:
        file.seek(offset)
        last = file.read(length)
        file.seek(offset)
        file.write(bytes(length))
        file.seek(HOLE)
        file.write(last)
        file.seek(entry)
        file.write(struct.pack("<Q", HOLE))
    return path, pixels


@pytest.mark.parametrize("name", ["tiff", "openslide"])
def test_both_ends_are_read(slide: tuple[Path, np.ndarray], name: str) -> None:
    path, pixels = slide
    assert path.stat().st_size > 4 << 30
    with open_reader(path, name) as reader:
        for at in (0, SIDE - 300):
            found = np.asarray(reader.read(0, at, at, 300, 300))[..., :3]
            np.testing.assert_array_equal(found, pixels[at : at + 300, at : at + 300])
