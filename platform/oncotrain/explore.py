"""Curated datasets in a `pyspark` shell or a notebook, in two lines:

>>> from oncotrain.explore import lake
>>> tables = lake(spark, "file:///data/lake")

Every dataset is a DataFrame in `tables` and a view for `spark.sql`. Arrays stay encoded until asked for: `decode` gives
columns to compute with, `arrays` NumPy arrays, `picture` a look at tiles.

>>> spark.sql("select site, count(distinct slide) from tiles group by site").show()
>>> decode(tables["samples"], "drug", "response").select("sample", "drug", "response").show()
>>> picture(tables["tiles"].where("tissue > 0.8"))
"""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from skimage.segmentation import mark_boundaries

from oncotrain.errors import UserError
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.manifest import dataset_versions
from oncotrain.lake.schema import Column, decode_value

_KEY = "oncotrain"
_ELEMENTS = {
    "uint8": T.ShortType(),
    "uint16": T.IntegerType(),
    "int32": T.IntegerType(),
    "float32": T.FloatType(),
    "float64": T.DoubleType(),
}
_OUTLINE = (0, 1, 0)


def lake(spark: SparkSession, uri: str) -> dict[str, DataFrame]:
    """The newest version of every curated dataset of the lake at `uri`, by name.

    Each is registered as a view of that name too, with '_' for '-' and '.'. Raises UserError if there is no lake there,
    DataError if a dataset is not what its manifest says.
    """
    source = Lake(uri)
    names = [name for name in source.list("curated") if dataset_versions(source, name)]
    tables = {name: _table(spark, source, name) for name in names}
    for name, table in tables.items():
        table.createOrReplaceTempView(name.replace("-", "_").replace(".", "_"))
    return tables


def decode(table: DataFrame, *columns: str) -> DataFrame:
    """`table` with `columns` decoded to (nested) arrays of numbers; `drug` to an array of the drugs' names.

    Raises UserError for a column that is not an encoded one of a curated dataset.
    """
    for name in columns:
        column, labels = _description(table, name)
        element = T.StringType() if labels else _ELEMENTS[column.dtype]
        kind: T.DataType = element
        for _ in column.shape:
            kind = T.ArrayType(kind)
        table = table.withColumn(name, F.udf(_decoder(column, labels), kind)(name))
    return table


def arrays(table: DataFrame, column: str, limit: int = 16) -> list[np.ndarray]:
    """The first `limit` values of an encoded column, with the shape and dtype that the dataset's schema states."""
    field = _description(table, column)[0].unischema_field()
    return [decode_value(field, row[0]) for row in table.select(column).limit(limit).collect()]


def picture(table: DataFrame, limit: int = 9, *, outlines: bool = True) -> Image.Image:
    """The first `limit` tiles side by side, nuclei outlined where they are labelled; notebooks show it as it is."""
    fields = {name: _description(table, name)[0].unischema_field() for name in ("pixels", "instances")}
    rows = table.select(*fields).limit(limit).collect()
    if not rows:
        raise UserError("no tile is left to show")
    tiles = []
    for row in rows:
        pixels, instances = (decode_value(field, row[name]) for name, field in fields.items())
        outlined = mark_boundaries(pixels, instances, color=_OUTLINE, mode="inner") if outlines else pixels / 255
        tiles.append((outlined * 255).round().astype(np.uint8))
    side = math.ceil(math.sqrt(len(tiles)))
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % side)
    return Image.fromarray(np.vstack([np.hstack(tiles[start : start + side]) for start in range(0, len(tiles), side)]))


def _table(spark: SparkSession, source: Lake, name: str) -> DataFrame:
    """One dataset's files; each encoded column carries how to decode it, so that it survives any selection."""
    dataset = open_dataset(source, name)
    table = spark.read.parquet(*(f"{dataset.uri}/{file.path}" for file in dataset.manifest.files))
    for column in dataset.manifest.columns:
        if column.codec != "scalar":
            labels = dataset.manifest.features["drugs"] if column.name == "drug" else []
            description = json.dumps({"column": column.model_dump(), "labels": labels})
            table = table.withMetadata(column.name, {_KEY: description})
    return table


def _description(table: DataFrame, name: str) -> tuple[Column, list[str]]:
    encoded = {field.name: field.metadata[_KEY] for field in table.schema if _KEY in field.metadata}
    if name not in encoded:
        raise UserError(f"column {name!r} is not an encoded one; encoded here: {', '.join(encoded) or 'none'}")
    description = json.loads(encoded[name])
    return Column(**description["column"]), description["labels"]


def _decoder(column: Column, labels: list[str]) -> Callable[[Any], Any]:
    field = column.unischema_field()

    if labels:
        return lambda value: [labels[index] for index in decode_value(field, value)]
    return lambda value: decode_value(field, value).tolist()
