"""A slide at a physical spacing: coordinates are exact whatever the level and the spacing of the scan."""

from types import TracebackType
from typing import Self

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncotrain.errors import DataError
from oncotrain.slides.slide import Slide

SIZE = 512


class RampPyramid:
    """A `SlideReader` whose red channel rises with x and green with y in physical space, on three levels."""

    vendor = "test"
    mpp = None
    level_dimensions = ((SIZE, SIZE), (SIZE // 2, SIZE // 2), (SIZE // 8, SIZE // 8))
    level_downsamples = (1.0, 2.0, 8.0)

    def __init__(self) -> None:
        self.reads: list[int] = []

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        limit = self.level_dimensions[level]
        assert 0 <= x < x + width <= limit[0]
        assert 0 <= y < y + height <= limit[1]
        self.reads.append(level)
        downsample = self.level_downsamples[level]
        red = ramp((np.arange(x, x + width) + 0.5) * downsample)
        green = ramp((np.arange(y, y + height) + 0.5) * downsample)
        pixels = np.zeros((height, width, 4), np.uint8)
        pixels[..., 0], pixels[..., 1], pixels[..., 3] = red[None, :], green[:, None], 255
        return pixels

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def ramp(position: np.ndarray) -> np.ndarray:
    """Grey value at a position in pixels of level 0."""
    return np.round(position * 250 / SIZE).astype(np.uint8)


spacings = st.floats(0.1, 3.0)


@settings(deadline=None, max_examples=60)
@given(mpp=spacings, spacing=spacings, data=st.data())
def test_a_pixel_shows_what_lies_at_its_centre(mpp: float, spacing: float, data: st.DataObject) -> None:
    slide = Slide(RampPyramid(), (mpp, mpp))
    width, height = slide.dimensions_at(spacing)
    if width < 12:
        return
    x, y = data.draw(st.integers(0, width - 12)), data.draw(st.integers(0, height - 12))
    region = slide.region(x, y, 12, 12, spacing)
    centres = (np.arange(12) + 0.5) * spacing / mpp
    edge = 8 + spacing / mpp
    for start, channel in ((x, region.pixels[..., 0].mean(axis=0)), (y, region.pixels[..., 1].mean(axis=1))):
        position = start * spacing / mpp + centres
        inner = (position > edge) & (position < SIZE - edge)
        assert np.abs(channel - position * 250 / SIZE)[inner].max(initial=0) <= 1.5


@settings(deadline=None, max_examples=30)
@given(mpp=st.floats(0.2, 1.0), spacing=st.floats(0.2, 2.0), side=st.integers(7, 60))
def test_neighbouring_regions_join_without_a_seam(mpp: float, spacing: float, side: int) -> None:
    slide = Slide(RampPyramid(), (mpp, mpp))
    width, height = (min(size, 150) for size in slide.dimensions_at(spacing))
    whole = slide.region(0, 0, width, height, spacing).pixels.astype(int)
    for x in range(0, width, side):
        part = slide.region(x, 0, min(side, width - x), height, spacing).pixels
        assert np.abs(whole[:, x : x + side] - part).max() <= 1


@pytest.mark.parametrize(("spacing", "level"), [(0.2, 0), (0.25, 0), (0.4, 0), (0.5, 1), (1.9, 1), (2.0, 2), (4.0, 2)])
def test_the_coarsest_level_that_is_fine_enough_is_read(spacing: float, level: int) -> None:
    reader = RampPyramid()
    Slide(reader, (0.25, 0.25)).region(0, 0, 5, 5, spacing)
    assert reader.reads == [level]


def test_pixels_are_untouched_where_a_level_has_the_spacing() -> None:
    slide = Slide(RampPyramid(), (0.25, 0.25))
    for spacing, downsample in ((0.25, 1), (0.5, 2)):
        row = slide.region(3, 0, 50, 4, spacing).pixels[0, :, 0]
        np.testing.assert_array_equal(row, ramp((np.arange(3, 53) + 0.5) * downsample))


def test_axes_of_different_spacing_come_out_square() -> None:
    slide = Slide(RampPyramid(), (0.25, 0.5))
    assert slide.dimensions_at(0.5) == (SIZE // 2, SIZE)


def test_thumbnail_has_no_pyramid_to_rely_on() -> None:
    slide = Slide(RampPyramid(), (0.25, 0.25))
    thumbnail = slide.thumbnail(0.7)
    assert thumbnail.shape == (*reversed(slide.dimensions_at(0.7)), 3)
    expected = slide.region(0, 0, thumbnail.shape[1], thumbnail.shape[0], 0.7).pixels
    assert np.abs(thumbnail.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("mpp", [0.0, -0.25, 0.001, 250.0, float("nan"), float("inf")])
def test_an_absurd_spacing_is_refused(mpp: float) -> None:
    with pytest.raises(DataError, match="spacing"):
        Slide(RampPyramid(), (mpp, 0.25))
