"""Clinical columns as numbers: a category as one indicator a value, a number standardized with an indicator.

A missing value is zero everywhere, indicators included; the network tells it from the average by them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oncotrain.tasks.task import Row

Schema = Mapping[str, Mapping[str, Any]]
"""The manifest's `clinical`: column -> type and, for a category, its closed list."""


def column(name: str) -> str:
    """Name of the dataset's column that holds clinical column `name`."""
    return f"clinical_{name}"


def numbers(schema: Schema) -> list[str]:
    """The columns that hold numbers, in the schema's order."""
    return [name for name, field in schema.items() if field["type"] == "number"]


def number_places(schema: Schema) -> dict[str, int]:
    """Where among the inputs that `encode` makes the value of each numeric column is."""
    places, at = {}, 0
    for name, field in schema.items():
        if field["type"] == "number":
            places[name] = at
        at += width({name: field})
    return places


def width(schema: Schema) -> int:
    """How many inputs `encode` makes."""
    return sum(2 if field["type"] == "number" else len(field["categories"]) for field in schema.values())


def number(row: Row, name: str) -> float:
    """The value of a numeric column, NaN where missing."""
    value = row[column(name)]
    return float("nan") if value is None else float(value)


def encode(row: Row, schema: Schema, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Inputs (width,) float32 of one row; `mean` and `std` of the numeric columns as `numbers` lists them."""
    moments = dict(zip(numbers(schema), zip(mean, std, strict=True), strict=True))
    inputs: list[float] = []
    for name, field in schema.items():
        if field["type"] == "number":
            value, (centre, scale) = number(row, name), moments[name]
            inputs += [0.0, 0.0] if np.isnan(value) else [(value - centre) / scale, 1.0]
        else:
            inputs += [float(row[column(name)] == category) for category in field["categories"]]
    return np.array(inputs, np.float32)
