"""How one site's expression matrix, clinical table and responses become samples: the YAML of `ingest_expression`."""

from typing import Annotated, Literal

from pydantic import Field

from oncotrain.config.load import Frozen

Namespace = Literal["symbol", "ensembl", "entrez", "as_written"]
Orientation = Literal["auto", "samples_as_rows", "samples_as_columns"]
ReplicateRule = Literal["mean", "median", "first"]
FieldName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class GeneConfig(Frozen):
    """The genes of the dataset. Sites that train together list them, in `list` or in a file with one a line."""

    namespace: Namespace = "symbol"
    """`as_written` takes every identifier as it is: gene-set scores, proteins."""
    list: tuple[str, ...] | None = None
    file: str | None = None
    table: str | None = None
    """CSV with columns `symbol`, `ensembl`, `entrez`, for a matrix in another namespace."""


class Columns(Frozen):
    """How the hospital names the columns of its two tables."""

    sample: str = "sample"
    """In both tables."""
    patient: str = "patient"
    cohort: str | None = None
    part: str | None = None
    """Declared use of a row: train or test."""
    site: str | None = None
    """In a samples table that several sites share: rows whose value, written as a slug, is `--site`."""
    drug: str = "drug"
    value: str = "LN_IC50"
    replicate: str | None = None


class ResponseConfig(Frozen):
    """What a response is, which rows of the table hold it, and how replicates of a (sample, drug) become one value."""

    measure: str = "LN_IC50"
    rows: dict[str, str] = Field(default={})
    """Keep rows where each column has this value, such as `{study: GDSC2}`."""
    auxiliary: dict[FieldName, dict[str, str]] = Field(default={})
    """Further responses to learn from and not to be judged by: label -> rows, such as `{gdsc1: {study: GDSC1}}`. Their
    drugs are drugs of their own, named `drug [label]`."""
    replicates: ReplicateRule = "mean"
    """`first` takes the lowest `columns.replicate`, or the first row where that column is not named."""
    classes: dict[str, Literal[0, 1]] | None = None
    """Of a binary response, what the values mean, such as `{NR: 0, R: 1}`; None: values are numbers."""
    drugs: tuple[str, ...] | None = None
    """The drugs of the dataset, but the auxiliary ones; by default every drug that the table names."""


class Category(Frozen):
    """A clinical column with a closed list of values."""

    type: Literal["category"]
    categories: Annotated[tuple[str, ...], Field(min_length=1)]
    column: str | None = None
    """Its name in the samples table, where it differs."""


class Number(Frozen):
    """A clinical column with a unit and an allowed range, ends included."""

    type: Literal["number"]
    unit: str
    min: float | None = None
    max: float | None = None
    column: str | None = None
    """Its name in the samples table, where it differs."""


ClinicalField = Annotated[Category | Number, Field(discriminator="type")]


class ExpressionConfig(Frozen):
    """The whole file."""

    orientation: Orientation = "auto"
    genes: GeneConfig = GeneConfig()
    columns: Columns = Columns()
    response: ResponseConfig = ResponseConfig()
    clinical: dict[FieldName, ClinicalField] = Field(default={})
