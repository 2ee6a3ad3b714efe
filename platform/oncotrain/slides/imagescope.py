"""Outlines as Aperio ImageScope saves them: XML, layers (`Annotation`) of `Region`s, in pixels of level 0.

A layer's class is its name or, where it has none, its first attribute's, as MoNuSAC's files have it. A region with
`NegativeROA` is a hole in the region of its layer whose Id it names as `InputRegionId`.
"""

from collections.abc import Iterator
from xml.etree import ElementTree

from shapely import box
from shapely.errors import ShapelyError
from shapely.geometry import Polygon

from oncotrain.errors import DataError
from oncotrain.slides.outline import Outline

POLYGON, RECTANGLE = "0", "1"


def read_imagescope(data: bytes) -> Iterator[Outline]:
    """Outlines of a file's bytes. Raises DataError if it is not ImageScope's XML, or a region is no polygon."""
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 - expat limits what entities may grow to
    except ElementTree.ParseError:
        raise DataError("annotations are not an XML file") from None
    if root.tag != "Annotations":
        raise DataError(f"annotations are XML of kind '{root.tag}'; allowed: Annotations, as ImageScope writes it")
    for layer in root.iterfind("Annotation"):
        name = _name(layer)
        shapes: dict[str, Polygon] = {}
        for number, region in enumerate(layer.iterfind("Regions/Region"), start=1):
            where = f"region {number} of layer {layer.get('Id', '?')}"
            shape = _shape(region, where)
            if region.get("NegativeROA", "0") == "0":
                shapes[region.get("Id", f"#{number}")] = shape
                continue
            whole = shapes.get(region.get("InputRegionId", ""))
            if whole is None:
                raise DataError(f"annotations: {where} is a hole in no region before it")
            shapes[region.get("InputRegionId", "")] = Polygon(whole.exterior, [*whole.interiors, shape.exterior])
        for shape in shapes.values():
            yield Outline(name, shape)


def _name(layer: ElementTree.Element) -> str | None:
    attribute = layer.find("Attributes/Attribute")
    return layer.get("Name") or (attribute.get("Name") if attribute is not None else None) or None


def _shape(region: ElementTree.Element, where: str) -> Polygon:
    kind = region.get("Type", POLYGON)
    if kind not in (POLYGON, RECTANGLE):
        raise DataError(f"annotations: {where} is of type {kind}; allowed: 0 (polygon), 1 (rectangle)")
    try:
        corners = [(float(one.attrib["X"]), float(one.attrib["Y"])) for one in region.iterfind("Vertices/Vertex")]
        if kind == RECTANGLE and corners:
            xs, ys = zip(*corners, strict=True)
            return box(min(xs), min(ys), max(xs), max(ys))
        outline = Polygon(corners)
    except (KeyError, ValueError, TypeError, ShapelyError):
        raise DataError(f"annotations: the vertices of {where} cannot be read") from None
    if outline.is_empty:
        raise DataError(f"annotations: {where} has no vertices")
    return outline
