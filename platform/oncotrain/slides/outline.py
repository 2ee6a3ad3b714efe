"""An annotated object as every annotation file describes it."""

from typing import NamedTuple, TypeAlias

from shapely.geometry import MultiPolygon, Polygon

Shape: TypeAlias = Polygon | MultiPolygon


class Outline(NamedTuple):
    """One object: the class as the file calls it, None where it does not, and the shape in pixels of level 0."""

    name: str | None
    shape: Shape
