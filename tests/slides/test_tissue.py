from pathlib import Path

import numpy as np
import pytest

from oncotrain.demo.slides import STAINS
from oncotrain.slides.grid import Tile
from oncotrain.slides.reader import open_reader
from oncotrain.slides.tissue import SPACING, find_areas, share

GLASS, TISSUE, PALE = (245, 244, 246), (200, 120, 180), (225, 190, 215)


def picture(*colours: tuple[int, int, int]) -> np.ndarray:
    """Upright bands of 40 x 120 px, one a colour, with a little camera noise."""
    bands = np.concatenate([np.full((120, 40, 3), colour, float) for colour in colours], axis=1)
    return (bands + np.random.default_rng(0).normal(0, 2, bands.shape)).clip(0, 255).astype(np.uint8)


def test_tissue_is_told_from_glass() -> None:
    mask = find_areas(picture(GLASS, TISSUE, GLASS, PALE)).tissue
    assert mask[:, 41:79].mean() > 0.99
    assert mask[:, 121:159].mean() > 0.99
    assert mask[:, :39].mean() < 0.01
    assert mask[:, 82:118].mean() < 0.01


@pytest.mark.parametrize(("colours", "share"), [((TISSUE, PALE), 1.0), ((GLASS, GLASS), 0.0)])
def test_a_picture_without_glass_or_without_tissue_is_not_cut_in_two(
    colours: tuple[tuple[int, int, int], ...], share: float
) -> None:
    assert abs(find_areas(picture(*colours)).tissue.mean() - share) < 0.01


def test_dust_is_dropped_and_small_holes_are_filled() -> None:
    image = picture(GLASS, TISSUE)
    image[60:63, 10:13], image[60:63, 60:63] = TISSUE, GLASS
    mask = find_areas(image).tissue
    assert not mask[58:65, 8:15].any()
    assert mask[58:65, 58:65].all()


def test_fraction_is_of_the_area_inside_the_slide() -> None:
    mask = np.zeros((10, 10), bool)
    mask[:, :4] = True
    side = round(8 * SPACING / 0.25)
    assert share(mask, Tile(0, 0, side, side), 0.25) == 0.5
    assert share(mask, Tile(side, 0, side // 4, side), 0.25) == 0.0


@pytest.mark.parametrize(
    "ink", [(30, 150, 100), (30, 40, 150), (25, 25, 30), (210, 25, 35)], ids=["green", "blue", "black", "red"]
)
def test_ink_is_no_tissue_and_is_marked(ink: tuple[int, int, int]) -> None:
    areas = find_areas(picture(GLASS, TISSUE, ink, TISSUE, GLASS))
    assert areas.pen[:, 81:119].all()
    assert not areas.tissue[:, 81:119].any()
    assert areas.tissue[:, 45:75].all()
    assert not areas.pen[:, 45:75].any()


def test_a_fold_is_marked_and_stays_tissue() -> None:
    twice = tuple(round(255 * (value / 255) ** 2.4) for value in TISSUE)
    areas = find_areas(picture(GLASS, TISSUE, TISSUE, twice, TISSUE))  # type: ignore[arg-type]
    assert areas.fold[5:-5, 123:157].mean() > 0.95
    assert not areas.fold[:, :117].any()
    assert areas.tissue[:, 121:].all()


@pytest.mark.parametrize("site", ["chu-grenoble", "uz-leuven", "charite-berlin"])
def test_no_stain_of_any_hospital_is_taken_for_ink(site: str) -> None:
    """Tissue of nothing but nuclei, at the density that they have over 8 µm, in bluish haematoxylin as well."""
    haematoxylin, eosin, strength = map(np.asarray, STAINS[site])
    for amounts in ((0.6, 0.1), (0.3, 0.5), (0.05, 0.7)):
        density = strength[0] * amounts[0] * haematoxylin + strength[1] * amounts[1] * eosin
        colour = tuple((244 * 10**-density).round().astype(int).tolist())
        areas = find_areas(picture(GLASS, colour, colour))  # type: ignore[arg-type]
        assert not areas.pen.any()
        assert areas.tissue[:, 45:].all()


def test_ink_of_a_real_slide(shared_data: Path) -> None:
    """A prostate with green, blue and black marks; as scanned, its pixels are about 8 µm apart."""
    with open_reader(shared_data / "histology" / "wsi" / "pathml_small_dicom.dcm") as reader:
        areas = find_areas(np.asarray(reader.read(0, 0, 0, *reader.level_dimensions[0]))[..., :3])
    assert 0.04 < areas.pen.mean() < 0.10
    assert 0.38 < areas.tissue.mean() < 0.45
    assert areas.pen[1200:, :1800].mean() < 0.002  # unmarked tissue
    assert areas.pen[100:700, 400:800].mean() > 0.2  # the left end of the green ring
