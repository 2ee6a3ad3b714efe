import pandas as pd

from oncotrain.config.expression import Category, Number
from oncotrain.expression.clinical import type_clinical

SCHEMA = {
    "tissue": Category(type="category", categories=("lung", "skin"), column="Primary site"),
    "age": Number(type="number", unit="year", min=0, max=120),
}


def test_values_are_typed_by_the_schema() -> None:
    table = pd.DataFrame({"Primary site": ["skin", None, "lung"], "age": ["0", "61.5", None]}, dtype=object)
    values, refused = type_clinical(table, SCHEMA)
    assert values == {"tissue": ["skin", None, "lung"], "age": [0.0, 61.5, None]}
    assert refused == []


def test_what_does_not_fit_is_missing_and_said() -> None:
    table = pd.DataFrame({"Primary site": ["Skin", "lung", "Skin"], "age": ["-1", "121", "60 y"]}, dtype=object)
    values, refused = type_clinical(table, SCHEMA)
    assert values == {"tissue": [None, "lung", None], "age": [None, None, None]}
    assert [tuple(refusal) for refusal in refused] == [
        ("clinical tissue", "2 values such as 'Skin' are not among lung, skin"),
        ("clinical age", "3 values such as '-1', '121', '60 y' are not numbers from 0 to 120 year"),
    ]


def test_a_site_without_a_clinical_column_goes_on() -> None:
    values, refused = type_clinical(pd.DataFrame({"age": ["50", "60"]}), SCHEMA)
    assert values == {"tissue": [None, None], "age": [50.0, 60.0]}
    assert refused[0].reason == "the table has no column 'Primary site'; all values are missing"
