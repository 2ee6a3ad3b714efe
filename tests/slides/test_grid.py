import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from oncotrain.slides.grid import grid


@settings(deadline=None)
@given(width=st.integers(1, 200), height=st.integers(1, 200), side=st.integers(7, 80))
def test_every_pixel_lies_in_exactly_one_tile_in_row_order(width: int, height: int, side: int) -> None:
    cover = np.zeros((height, width), int)
    tiles = list(grid(width, height, side))
    for tile in tiles:
        assert 0 < tile.width <= side
        assert 0 < tile.height <= side
        cover[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] += 1
    assert (cover == 1).all()
    assert [(tile.y, tile.x) for tile in tiles] == sorted((tile.y, tile.x) for tile in tiles)
