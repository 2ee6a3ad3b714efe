import csv
import json
from pathlib import Path

import numpy as np
import openslide
import pytest
import shapely

from oncotrain.demo.slides import draw_slide, write_slides

SITES = ("chu-grenoble", "uz-leuven", "charite-berlin")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slides(tmp_path_factory.mktemp("demo"), SITES[0], seed=1, patients=3, size=512)


def test_slides_look_as_a_scanner_writes_them(manifest: Path) -> None:
    with openslide.OpenSlide(next(manifest.parent.glob("*.svs"))) as slide:
        assert slide.properties[openslide.PROPERTY_NAME_VENDOR] == "aperio"
        assert float(slide.properties[openslide.PROPERTY_NAME_MPP_X]) == 0.25
        assert slide.level_dimensions == ((512, 512), (128, 128))
        assert set(slide.associated_images) == {"thumbnail", "label", "macro"}
        assert "MRN" in slide.properties["aperio.Patient"]


def test_truth_is_exact_and_nuclei_do_not_overlap(manifest: Path) -> None:
    rows = list(csv.DictReader(manifest.open(encoding="utf-8")))
    assert [row["part"] for row in rows] == ["train", "train", "test"]
    assert len({row["patient"] for row in rows}) == 3
    for row in rows:
        features = json.loads((manifest.parent / row["annotations"]).read_text())["features"]
        outlines = [shapely.geometry.shape(feature["geometry"]) for feature in features]
        assert all(outline.is_valid for outline in outlines)
        assert shapely.union_all(outlines).area == pytest.approx(sum(outline.area for outline in outlines))
        with openslide.OpenSlide(manifest.parent / row["slide"]) as slide:
            grey = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("L")).astype(float)
        y, x = np.mgrid[:512, :512] + 0.5
        inside = shapely.contains_xy(shapely.union_all(outlines), x, y)
        around = shapely.contains_xy(shapely.union_all([outline.buffer(6) for outline in outlines]), x, y) & ~inside
        assert grey[inside].mean() < grey[around].mean() - 30


def test_the_same_seed_gives_the_same_bytes(manifest: Path, tmp_path: Path) -> None:
    again = write_slides(tmp_path, SITES[0], seed=1, patients=1, size=512)
    for path in again.parent.glob("*.*"):
        if path != again:
            assert path.read_bytes() == (manifest.parent / path.name).read_bytes()


def test_the_stain_differs_by_hospital() -> None:
    colours = []
    for site in SITES:
        pixels, _ = draw_slide(np.random.default_rng(0), site, 512)
        colours.append(np.median(pixels[150:350, 150:350], axis=(0, 1)))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(colours[one] - colours[other]) > 20
