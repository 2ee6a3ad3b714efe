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


def width(schema: Schema) -> int:
    """How many inputs `encode` makes."""
    return sum(2 if field["type"] == "number" else len(field["categories"]) for field in schema.values())


def number_matrix(rows: Sequence[Row], schema: Schema) -> np.ndarray:
    """Values (rows, numbers) float64 of the numeric columns, NaN where missing."""
    names = [column(name) for name in numbers(schema)]
    values = [[np.nan if row[name] is None else float(row[name]) for name in names] for row in rows]
    return np.array(values, np.float64).reshape(len(rows), len(names))


def encode(rows: Sequence[Row], schema: Schema, standardized: np.ndarray) -> np.ndarray:
    """Inputs (rows, width) float32; numeric columns as `number_matrix` has them, `standardized`."""
    inputs = np.zeros((len(rows), width(schema)), np.float32)
    values = iter(standardized.T)
    at = 0
    for name, field in schema.items():
        if field["type"] == "number":
            number = next(values)
            inputs[:, at], inputs[:, at + 1] = np.nan_to_num(number), ~np.isnan(number)
        else:
            places = {category: at + place for place, category in enumerate(field["categories"])}
            for each, row in zip(inputs, rows, strict=True):
                if (value := row[column(name)]) in places:
                    each[places[value]] = 1
        at += width({name: field})
    return inputs
