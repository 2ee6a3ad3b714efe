"""Clinical values, typed by a declared schema; what does not fit becomes missing and is reported, never silently."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from oncotrain.config.expression import Category, ClinicalField, Number
from oncotrain.expression.refusal import Refusal

_EXAMPLES = 5


def type_clinical(
    table: pd.DataFrame, schema: Mapping[str, ClinicalField]
) -> tuple[dict[str, list[str | float | None]], list[Refusal]]:
    """Values of each declared field, in the order of `table` (text cells), None where missing or refused.

    A field whose column the table lacks is None throughout, and reported too.
    """
    values: dict[str, list[str | float | None]] = {}
    refused = []
    for name, field in schema.items():
        column = field.column or name
        if column not in table.columns:
            values[name] = [None] * len(table)
            refused.append(Refusal(f"clinical {name}", f"the table has no column {column!r}; all values are missing"))
            continue
        cells = table[column]
        typed, fits = _type_category(cells, field) if isinstance(field, Category) else _type_number(cells, field)
        values[name] = [value if fit else None for value, fit in zip(typed, fits, strict=True)]
        misfits = cells[~fits & cells.notna()]
        if len(misfits):
            examples = ", ".join(map(repr, sorted(misfits.unique())[:_EXAMPLES]))
            refused.append(
                Refusal(f"clinical {name}", f"{len(misfits)} values such as {examples} are not {_allowed(field)}")
            )
    return values, refused


def _type_category(cells: pd.Series, field: Category) -> tuple[list[Any], np.ndarray]:
    return cells.tolist(), cells.isin(field.categories).to_numpy()


def _type_number(cells: pd.Series, field: Number) -> tuple[list[Any], np.ndarray]:
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
    fits = np.isfinite(numbers)
    if field.min is not None:
        fits &= numbers >= field.min
    if field.max is not None:
        fits &= numbers <= field.max
    return numbers.tolist(), fits


def _allowed(field: ClinicalField) -> str:
    if isinstance(field, Category):
        return f"among {', '.join(field.categories)}"
    low = "-inf" if field.min is None else f"{field.min:g}"
    high = "inf" if field.max is None else f"{field.max:g}"
    return f"numbers from {low} to {high} {field.unit}"
