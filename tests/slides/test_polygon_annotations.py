import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from oncotrain.config.slides import SlidesConfig
from oncotrain.errors import DataError
from oncotrain.slides.grid import Tile, grid
from oncotrain.slides.image_reader import ImageReader
from oncotrain.slides.labels import CLASSES, INSTANCES, Labels
from oncotrain.slides.polygon_annotations import PolygonAnnotations
from oncotrain.slides.slide import Slide

SIZE = 96
CONFIG = SlidesConfig(
    spacing=0.25, tile=64, classes=("epithelial", "lymphocyte"), class_names={"Tumor": "epithelial", "Stroma": None}
)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    path = tmp_path_factory.mktemp("slide") / "slide.png"
    Image.new("RGB", (SIZE, SIZE), "pink").save(path)
    return Slide(ImageReader(path), (0.25, 0.25))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("annotations") / "slide.geojson"


def feature(outline: shapely.Geometry, name: str | None) -> dict[str, Any]:
    properties = {"classification": {"name": name}} if name else {}
    return {"type": "Feature", "geometry": shapely.geometry.mapping(outline), "properties": properties}


def write(path: Path, *features: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def whole(annotations: PolygonAnnotations, size: int = SIZE) -> Labels:
    return annotations.labels(Tile(0, 0, size, size))


def centres_inside(outline: shapely.Geometry, size: int = SIZE) -> np.ndarray:
    """The same by another rasterizer: GEOS asked about every pixel's centre."""
    y, x = np.mgrid[:size, :size] + 0.5
    return shapely.contains_xy(outline, x, y)


@st.composite
def blobs(draw: st.DrawFn) -> shapely.Polygon:
    """Star-shaped outlines, some reaching over the slide's edge."""
    centre = draw(st.tuples(st.floats(0, SIZE), st.floats(0, SIZE)))
    radii = draw(st.lists(st.floats(2, 25), min_size=5, max_size=12))
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False) + draw(st.floats(0.01, 1))
    return shapely.Polygon(
        [(centre[0] + r * np.cos(a), centre[1] + r * np.sin(a)) for r, a in zip(radii, angles, strict=True)]
    )


reuse_fixtures = settings(deadline=None, max_examples=40)


@reuse_fixtures
@given(outline=blobs())
def test_pixels_agree_with_a_second_rasterizer(slide: Slide, path: Path, outline: shapely.Polygon) -> None:
    labels = whole(PolygonAnnotations(write(path, feature(outline, "lymphocyte")), slide, CONFIG))
    expected = centres_inside(outline)
    np.testing.assert_array_equal(labels.instances > 0, expected)
    np.testing.assert_array_equal(labels.classes, 2 * expected)


@reuse_fixtures
@given(outlines=st.lists(blobs(), min_size=1, max_size=6), side=st.integers(9, SIZE))
def test_ids_are_the_same_in_every_tile(slide: Slide, path: Path, outlines: list[shapely.Polygon], side: int) -> None:
    annotations = PolygonAnnotations(write(path, *(feature(one, None) for one in outlines)), slide, CONFIG)
    reassembled = np.zeros((SIZE, SIZE), np.int32)
    for tile in grid(SIZE, SIZE, side):
        part = annotations.labels(tile).instances
        reassembled[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] = part
        assert annotations.touches(tile) or not part.any()
    expected = np.zeros((SIZE, SIZE), np.int32)
    for number, outline in enumerate(outlines, start=1):
        expected[centres_inside(outline)] = number
    np.testing.assert_array_equal(reassembled, expected)


def test_holes_and_parts_of_one_object(slide: Slide, path: Path) -> None:
    ring = shapely.Point(40, 40).buffer(20) - shapely.Point(40, 40).buffer(8)
    outline = shapely.union(ring, shapely.Point(80, 80).buffer(9))
    labels = whole(PolygonAnnotations(write(path, feature(outline, "Tumor")), slide, CONFIG))
    np.testing.assert_array_equal(labels.instances, centres_inside(outline))
    assert labels.instances.sum() == pytest.approx(outline.area, rel=0.02)


def test_coordinates_are_those_of_level_0(slide: Slide, path: Path) -> None:
    coarse = CONFIG.model_copy(update={"spacing": 0.5})
    outline = shapely.Point(40.3, 50.7).buffer(18)
    labels = whole(PolygonAnnotations(write(path, feature(outline, None)), slide, coarse), SIZE // 2)
    half = shapely.affinity.scale(outline, 0.5, 0.5, origin=(0, 0))
    np.testing.assert_array_equal(labels.instances > 0, centres_inside(half, SIZE // 2))


def test_what_is_known_about_a_pixel(slide: Slide, path: Path) -> None:
    area, unclear, clear = shapely.box(10, 10, 80, 90), shapely.box(20, 20, 30, 30), shapely.box(50, 50, 60, 60)
    features = [feature(area, "Region*"), feature(unclear, None), feature(clear, "Tumor"), feature(area, "Stroma")]
    labels = whole(PolygonAnnotations(write(path, *features), slide, CONFIG))
    inside, unknown = centres_inside(area), centres_inside(unclear)
    assert set(np.unique(labels.instances)) == {0, 1, 2}
    assert (labels.labelled[~inside] == 0).all()
    assert (labels.labelled[unknown] == INSTANCES).all()
    assert (labels.labelled[inside & ~unknown] == INSTANCES | CLASSES).all()
    assert set(np.unique(labels.classes)) == {0, 1}


def test_a_compressed_list_of_features_reads_as_well(slide: Slide, path: Path) -> None:
    path.write_bytes(gzip.compress(json.dumps([feature(shapely.box(5, 5, 9, 9), "lymphocyte")]).encode()))
    assert (whole(PolygonAnnotations(path, slide, CONFIG)).instances == 1).sum() == 16


def test_outlines_much_larger_than_the_slide_take_no_memory(slide: Slide, path: Path) -> None:
    features = [feature(shapely.box(-1e9, -1e9, 1e9, 1e9), "Region*"), feature(shapely.box(-1e9, 10, 1e9, 20), None)]
    labels = whole(PolygonAnnotations(write(path, *features), slide, CONFIG))
    assert (labels.labelled > 0).all()
    assert labels.instances.sum() == 10 * SIZE


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("not json", "not a GeoJSON file"),
        ('{"type": "FeatureCollection"}', "not a GeoJSON FeatureCollection"),
        (
            [feature(shapely.box(1, 1, 2, 2), "Mitosis")],
            "feature 1 is of class 'Mitosis'; the configuration knows: epith",
        ),
        ([feature(shapely.LineString([(1, 1), (2, 2)]), None)], "feature 1 is a LineString"),
        ([{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[1, 2]]}}], "geometry of feature 1"),
        ([feature(shapely.box(1, 1, float("inf"), 2), None)], "feature 1 has a coordinate that is not a finite number"),
        ([{"type": "Feature", "properties": {"classification": {}}}], "classification of feature 1"),
    ],
)
def test_what_cannot_be_read_is_refused(slide: Slide, path: Path, content: Any, reason: str) -> None:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DataError, match=reason):
        PolygonAnnotations(path, slide, CONFIG)


@reuse_fixtures
@given(outlines=st.lists(blobs(), min_size=1, max_size=8), side=st.integers(9, SIZE))
def test_every_object_counts_in_one_tile_and_those_that_an_edge_cuts_are_marked(
    slide: Slide, path: Path, outlines: list[shapely.Polygon], side: int
) -> None:
    annotations = PolygonAnnotations(write(path, *(feature(one, None) for one in outlines)), slide, CONFIG)
    seen: dict[int, int] = {}
    marked = set[int]()
    counted = 0
    for tile in grid(SIZE, SIZE, side):
        objects = annotations.objects(tile)
        counted += objects.counted
        marked |= set(objects.cut.tolist())
        assert annotations.touches(tile) or not objects.counted
        for number in set(np.unique(annotations.labels(tile).instances).tolist()) - {0}:
            seen[number] = seen.get(number, 0) + 1
    assert counted == len(outlines)
    assert {number for number, tiles in seen.items() if tiles > 1} <= marked
