import numpy as np
import pytest

from oncotrain.slides.grid import Tile
from oncotrain.slides.tissue import SPACING, tissue_fraction, tissue_mask

GLASS, TISSUE, PALE = (245, 244, 246), (200, 120, 180), (225, 190, 215)


def picture(*colours: tuple[int, int, int]) -> np.ndarray:
    """Upright bands of 40 x 120 px, one a colour, with a little camera noise."""
    bands = np.concatenate([np.full((120, 40, 3), colour, float) for colour in colours], axis=1)
    return (bands + np.random.default_rng(0).normal(0, 2, bands.shape)).clip(0, 255).astype(np.uint8)


def test_tissue_is_told_from_glass() -> None:
    mask = tissue_mask(picture(GLASS, TISSUE, GLASS, PALE))
    assert mask[:, 41:79].mean() > 0.99
    assert mask[:, 121:159].mean() > 0.99
    assert mask[:, :39].mean() < 0.01
    assert mask[:, 82:118].mean() < 0.01


@pytest.mark.parametrize(("colours", "share"), [((TISSUE, PALE), 1.0), ((GLASS, GLASS), 0.0)])
def test_a_picture_without_glass_or_without_tissue_is_not_cut_in_two(
    colours: tuple[tuple[int, int, int], ...], share: float
) -> None:
    assert abs(tissue_mask(picture(*colours)).mean() - share) < 0.01


def test_dust_is_dropped_and_small_holes_are_filled() -> None:
    image = picture(GLASS, TISSUE)
    image[60:63, 10:13], image[60:63, 60:63] = TISSUE, GLASS
    mask = tissue_mask(image)
    assert not mask[58:65, 8:15].any()
    assert mask[58:65, 58:65].all()


def test_fraction_is_of_the_area_inside_the_slide() -> None:
    mask = np.zeros((10, 10), bool)
    mask[:, :4] = True
    side = round(8 * SPACING / 0.25)
    assert tissue_fraction(mask, Tile(0, 0, side, side), 0.25) == 0.5
    assert tissue_fraction(mask, Tile(side, 0, side // 4, side), 0.25) == 0.0
