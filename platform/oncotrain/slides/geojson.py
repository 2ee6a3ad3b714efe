"""Outlines as QuPath exports them: GeoJSON features with a classification, in pixels of level 0.

Format: RFC 7946 geometry; `properties.classification.name` as in QuPath's documentation ("Exporting annotations").
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from typing import Any

from shapely.errors import ShapelyError
from shapely.geometry import shape

from oncotrain.errors import DataError
from oncotrain.slides.outline import Outline, Shape


def read_geojson(data: bytes) -> Iterator[Outline]:
    """Outlines of a file's bytes, which gzip may have compressed; names are None where a feature has none.

    Raises DataError if it is not GeoJSON, or a feature is no polygon.
    """
    for number, feature in enumerate(_features(data), start=1):
        yield Outline(_class_name(feature, number), _shape(feature, number))


def _features(data: bytes) -> list[Mapping[str, Any]]:
    try:
        document = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except (ValueError, EOFError, OSError):
        raise DataError("annotations are not a GeoJSON file") from None
    features = document.get("features") if isinstance(document, dict) else document
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise DataError("annotations are not a GeoJSON FeatureCollection")
    return features


def _class_name(feature: Mapping[str, Any], number: int) -> str | None:
    classification = (feature.get("properties") or {}).get("classification")
    if classification is None:
        return None
    name = classification.get("name") if isinstance(classification, dict) else None
    if not isinstance(name, str):
        raise DataError(f"annotations: the classification of feature {number} has no name")
    return name


def _shape(feature: Mapping[str, Any], number: int) -> Shape:
    try:
        outline = shape(feature.get("geometry"))
    except (ShapelyError, ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise DataError(f"annotations: the geometry of feature {number} cannot be read") from None
    if not isinstance(outline, Shape) or outline.is_empty:
        kind = f"an empty {outline.geom_type}" if outline.is_empty else f"a {outline.geom_type}"
        raise DataError(f"annotations: feature {number} is {kind}; allowed: Polygon, MultiPolygon")
    return outline
