import pytest
import shapely

from oncotrain.errors import DataError
from oncotrain.slides.imagescope import read_imagescope

SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10)]


def region(corners: list[tuple[float, float]], **attributes: str) -> str:
    vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in corners)
    given = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    return f"<Region {given}><Vertices>{vertices}</Vertices></Region>"


def document(*regions: str, name: str = "", attribute: str = "") -> bytes:
    attributes = f'<Attributes><Attribute Name="{attribute}"/></Attributes>' if attribute else ""
    layer = f'<Annotation Id="1" Name="{name}">{attributes}<Regions>{"".join(regions)}</Regions></Annotation>'
    return f'<?xml version="1.0"?><Annotations>{layer}</Annotations>'.encode()


def test_polygons_rectangles_and_holes() -> None:
    hole = region([(2, 2), (4, 2), (4, 4), (2, 4)], Id="2", NegativeROA="1", InputRegionId="1")
    box = region([(20, 20), (30, 25)], Id="3", Type="1")
    found = list(read_imagescope(document(region(SQUARE, Id="1", Type="0"), hole, box)))
    assert [one.shape.area for one in found] == [100 - 4, 50]
    assert found[1].shape.equals(shapely.box(20, 20, 30, 25))


@pytest.mark.parametrize(
    ("names", "expected"),
    [({"name": "Tumor"}, "Tumor"), ({"attribute": "Epithelial"}, "Epithelial"), ({}, None)],
)
def test_a_layers_class(names: dict[str, str], expected: str | None) -> None:
    assert [one.name for one in read_imagescope(document(region(SQUARE), **names))] == [expected]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<Annotations><Annotation>", "not an XML file"),
        (b"<html/>", "XML of kind 'html'"),
        (document(region(SQUARE, Type="4")), "region 1 of layer 1 is of type 4"),
        (document(region(SQUARE[:2])), "vertices of region 1 of layer 1 cannot be read"),
        (document(region([])), "has no vertices"),
        (document(region(SQUARE, NegativeROA="1", InputRegionId="7")), "a hole in no region before it"),
        (document('<Region><Vertices><Vertex X="a" Y="1"/></Vertices></Region>'), "vertices of region 1"),
    ],
)
def test_what_cannot_be_read_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        list(read_imagescope(data))
