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


def encode(rows: Sequence[Row], schema: Schema, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Inputs (rows, width) float32; `mean` and `std` of the numeric columns as `numbers` lists them."""
    inputs = np.zeros((len(rows), width(schema)), np.float32)
    moments = dict(zip(numbers(schema), zip(mean, std, strict=True), strict=True))
    at = 0
    for name, field in schema.items():
        if field["type"] == "number":
            values, (centre, scale) = np.array([number(row, name) for row in rows]), moments[name]
            known = ~np.isnan(values)
            inputs[:, at] = np.where(known, (values - centre) / scale, 0)
            inputs[:, at + 1] = known
        else:
            places = {category: at + place for place, category in enumerate(field["categories"])}
            for each, row in zip(inputs, rows, strict=True):
                if (value := row[column(name)]) in places:
                    each[places[value]] = 1
        at += width({name: field})
    return inputs
