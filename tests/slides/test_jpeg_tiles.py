"""JPEG tiles that are decoded without OpenSlide are the pixels that OpenSlide gives."""

from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from oncotrain.slides.jpeg_tiles import JpegTiles
from oncotrain.slides.openslide_reader import OpenSlideReader
from support.large_slide import write_large_slide

REAL = ["CMU-1-Small-Region.svs", "A9K0_1.svs"]


def require_same(path: Path, data: st.DataObject) -> None:
    with OpenSlideReader(path) as reader, openslide.OpenSlide(path) as slide:
        level = data.draw(st.sampled_from(range(len(reader.level_dimensions))))
        width, height = reader.level_dimensions[level]
        x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        size = (data.draw(st.integers(1, min(width - x, 700))), data.draw(st.integers(1, min(height - y, 700))))
        found = reader.read(level, x, y, *size)
        downsample = reader.level_downsamples[level]
        expected = np.asarray(slide.read_region((round(x * downsample), round(y * downsample)), level, size))
        np.testing.assert_array_equal(found[..., :3], expected[..., :3])


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_large_slide(tmp_path_factory.mktemp("slides") / "generated.svs", 4096)


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_any_rectangle_of_a_generated_slide(generated: Path, data: st.DataObject) -> None:
    require_same(generated, data)


@pytest.mark.parametrize("name", REAL)
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_any_rectangle_of_a_real_slide(shared_data: Path, name: str, data: st.DataObject) -> None:
    require_same(next((shared_data / "histology" / "wsi").rglob(name)), data)


def test_tiles_are_used_where_they_can_be(generated: Path) -> None:
    with OpenSlideReader(generated) as reader:
        assert all(reader._tiles.read(level, 0, 0, 9, 9) is not None for level in range(len(reader.level_dimensions)))


def test_a_damaged_tile_is_left_to_openslide(generated: Path, tmp_path: Path) -> None:
    content = bytearray(generated.read_bytes())
    with tifffile.TiffFile(generated) as tiff:
        page = tiff.pages[0]
        offset, length = page.dataoffsets[1], page.databytecounts[1]
        size, across = (page.imagewidth, page.imagelength), page.tilewidth
    content[offset : offset + length] = bytes(length)
    damaged = tmp_path / "damaged.svs"
    damaged.write_bytes(content)
    tiles = JpegTiles(damaged, [size])
    assert tiles.read(0, 0, 0, 10, 10) is not None
    assert tiles.read(0, across - 5, 0, 10, 10) is None
    tiles.close()


def test_what_is_no_tiff_has_no_tiles(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    path.write_bytes(b"II*\0nothing")
    tiles = JpegTiles(path, [(100, 100)])
    assert tiles.read(0, 0, 0, 10, 10) is None
    tiles.close()
