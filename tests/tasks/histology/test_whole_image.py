"""Whole images from tiles, and predictions in pieces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncotrain.tasks.histology.whole_image import assemble, predict_in_windows
from support.tiles import tile_row

NAMES = ("pixels", "instances", "classes", "valid", "labelled")


@settings(max_examples=30, deadline=None)
@given(st.integers(5, 60), st.integers(5, 60), st.sampled_from([8, 16, 32]), st.integers(0, 99))
def test_tiles_make_the_image_they_were_cut_from(height, width, side, seed):
    image = {name: tile_row(seed)[name][:height, :width] for name in NAMES}
    rows = []
    for y in range(0, height, side):
        for x in range(0, width, side):
            row = {"x": 1000 + x, "y": 500 + y}
            for name, raster in image.items():
                piece = raster[y : y + side, x : x + side]
                row[name] = np.full((side, side, *raster.shape[2:]), 255 if name == "pixels" else 0, raster.dtype)
                row[name][: piece.shape[0], : piece.shape[1]] = piece
            rows.append(row)
    order = np.random.default_rng(seed).permutation(len(rows))
    whole = assemble([rows[number] for number in order])
    for name, raster in image.items():
        np.testing.assert_array_equal(whole[name], raster, err_msg=name)
        assert whole[name].dtype == raster.dtype


def test_where_no_tile_was_stored_nothing_is_valid():
    first, second = tile_row(0, side=16) | {"x": 0}, tile_row(1, side=16) | {"x": 32, "y": 16}
    whole = assemble([first, second])
    assert whole["valid"].shape == (32, 48)
    assert whole["valid"].sum() == 2 * 256
    assert (whole["pixels"][:16, 16:] == 255).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([(16, 3), (32, 8), (64, 0)]))
def test_windows_cover_the_image_once_and_keep_context(height, width, window_halo):
    window, halo = window_halo
    pixels = np.random.default_rng(height * width).integers(0, 255, (height, width, 3))

    def box_sum(piece: np.ndarray) -> np.ndarray:
        """Sum over a neighbourhood of `halo` pixels: right only where the context is whole."""
        assert max(piece.shape[:2]) <= window
        padded = np.pad(piece[..., 0], halo)
        views = np.lib.stride_tricks.sliding_window_view(padded, (2 * halo + 1, 2 * halo + 1))
        return views.sum((-1, -2))[None]

    padded = np.pad(pixels[..., 0], halo)
    expected = np.lib.stride_tricks.sliding_window_view(padded, (2 * halo + 1, 2 * halo + 1)).sum((-1, -2))
    np.testing.assert_array_equal(predict_in_windows(box_sum, pixels, window, halo)[0], expected)


def test_an_image_that_fits_is_predicted_in_one_pass():
    sizes = []

    def predict(piece: np.ndarray) -> np.ndarray:
        sizes.append(piece.shape[:2])
        return piece[..., 0][None]

    predict_in_windows(predict, np.zeros((64, 50, 3)), 64, 16)
    assert sizes == [(64, 50)]


def test_only_valid_pixels_of_overlapping_tiles_are_taken():
    row = tile_row(0, side=16)
    empty = tile_row(1, side=16) | {"x": 8, "valid": np.zeros((16, 16), np.uint8)}
    whole = assemble([row, empty])
    np.testing.assert_array_equal(whole["pixels"], row["pixels"])


@pytest.mark.parametrize("valid", [(64, 64), (40, 64), (33, 21)])
def test_padding_is_cut_off(valid):
    assert assemble([tile_row(0, valid=valid)])["pixels"].shape == (*valid, 3)
