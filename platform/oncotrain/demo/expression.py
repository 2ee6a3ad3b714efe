"""Demo tables: what a hospital's laboratory would deliver, with a known signal, from a seed.

The biology is one for all hospitals: pathways drive groups of genes and the sensitivity to drugs that target them. Each
hospital adds its patients, a batch effect on the expression, missing values and identifying columns.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

GENES = 300
PATHWAYS = 8
GENES_PER_PATHWAY = 15
DRUGS = tuple(f"OT-{number:03d}" for number in range(101, 121))
TISSUES = ("breast", "colon", "lung", "skin")

GENES_AS_ROWS = ("uz-leuven",)
"""Hospitals whose laboratory writes genes as rows; the others write samples as rows."""

_FAMILIES = (
    "ABCC",
    "ADAM",
    "CASP",
    "CCL",
    "CDK",
    "COL",
    "CXCL",
    "EPHA",
    "FGF",
    "IL",
    "ITGA",
    "KRT",
    "MAPK",
    "MMP",
    "WNT",
)
_SURNAMES = ("Lambert", "Peeters", "Schneider", "Rossi", "Dubois", "Maes", "Wagner", "Moreau", "Claes", "Becker")


class DemoTables(NamedTuple):
    """The three files of a hospital."""

    expression: Path
    samples: Path
    response: Path


class Biology(NamedTuple):
    """What is true of every patient, drawn once and for all."""

    baseline: np.ndarray
    """(genes,) mean log2 expression."""
    loading: np.ndarray
    """(pathways, genes): how strongly a pathway drives a gene; zero for most genes."""
    tissue: np.ndarray
    """(tissues, pathways): mean activity."""
    potency: np.ndarray
    """(drugs,): LN_IC50 at average activity."""
    sensitivity: np.ndarray
    """(pathways, drugs): change of LN_IC50 by a unit of activity; two pathways a drug."""


def write_tables(folder: Path, site: str, seed: int, samples: int = 75) -> DemoTables:
    """Write `expression.csv.gz`, `samples.csv` and `response.csv` of `samples` samples. Same arguments, same bytes.

    Every tenth sample is the second of its patient. About three in ten (sample, drug) pairs were not measured, one in
    ten twice; about one in ten clinical values is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = DemoTables(folder / "expression.csv.gz", folder / "samples.csv", folder / "response.csv")
    rng = np.random.default_rng([seed, *site.encode()])
    biology = draw_biology()
    table = _draw_samples(rng, site, samples)
    activity = biology.tissue[table["tissue"].map(TISSUES.index)] + rng.normal(size=(samples, PATHWAYS))

    signal = biology.baseline + activity @ biology.loading + rng.normal(0, 0.6, (samples, GENES))
    batch_shift, batch_scale = rng.normal(0, 0.5, GENES), rng.uniform(0.9, 1.1, GENES)
    values = (biology.baseline + batch_shift + batch_scale * (signal - biology.baseline)).round(4)
    expression = pd.DataFrame(values, index=table["sample_id"], columns=pd.Index(gene_symbols(), name="gene"))
    if site in GENES_AS_ROWS:
        expression = expression.T
    expression.to_csv(tables.expression, compression={"method": "gzip", "mtime": 0})

    _blank(rng, table, ("tissue", "sex", "age")).to_csv(tables.samples, index=False)
    _measure(rng, table["sample_id"], biology, activity).to_csv(tables.response, index=False)
    return tables


def gene_symbols() -> list[str]:
    """The genes of the demo, in the file's order."""
    return [f"{family}{number}" for number in range(1, GENES // len(_FAMILIES) + 1) for family in _FAMILIES]


def draw_biology() -> Biology:
    """The same for every hospital and every seed, so that hospitals can learn from each other."""
    rng = np.random.default_rng(20)
    loading = np.zeros((PATHWAYS, GENES))
    driven = rng.permutation(GENES)[: PATHWAYS * GENES_PER_PATHWAY].reshape(PATHWAYS, GENES_PER_PATHWAY)
    np.put_along_axis(loading, driven, rng.choice([-1, 1], driven.shape) * rng.uniform(0.5, 1.0, driven.shape), axis=1)
    sensitivity = np.zeros((PATHWAYS, len(DRUGS)))
    for drug in range(len(DRUGS)):
        targets = rng.choice(PATHWAYS, 2, replace=False)
        sensitivity[targets, drug] = rng.choice([-1, 1], 2) * rng.uniform(0.7, 1.3, 2)
    return Biology(
        baseline=rng.uniform(4, 10, GENES),
        loading=loading,
        tissue=rng.normal(0, 0.5, (len(TISSUES), PATHWAYS)),
        potency=rng.normal(1, 2, len(DRUGS)),
        sensitivity=sensitivity,
    )


def _draw_samples(rng: np.random.Generator, site: str, samples: int) -> pd.DataFrame:
    """The samples table without gaps; names, numbers and dates of birth are made up."""
    prefix = "".join(word[0] for word in site.upper().split("-"))
    patients = np.arange(samples) - np.arange(1, samples + 1) // 10
    surnames, born = rng.choice(_SURNAMES, samples), rng.integers(1935, 2000, samples)
    tissues, sexes = rng.choice(TISSUES, samples), rng.choice(["female", "male"], samples)
    return pd.DataFrame(
        {
            "sample_id": [f"{prefix}-B26-{number:05d}" for number in range(1, samples + 1)],
            "patient_id": [f"{prefix}-MRN{500000 + patient}" for patient in patients],
            "surname": surnames[patients],
            "birth_year": born[patients],
            "tissue": tissues[patients],
            "sex": sexes[patients],
            "age": 2026 - born[patients],
        }
    )


def _blank(rng: np.random.Generator, table: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The table with about one in ten values of `columns` missing."""
    gaps = {column: table[column].astype(object).mask(rng.random(len(table)) < 0.1) for column in columns}
    return table.assign(**gaps)


def _measure(rng: np.random.Generator, sample_ids: pd.Series, biology: Biology, activity: np.ndarray) -> pd.DataFrame:
    """The response table: sample_id, drug, replicate, LN_IC50."""
    truth = biology.potency + activity @ biology.sensitivity + rng.normal(0, 0.5, (len(activity), len(DRUGS)))
    replicates = rng.choice([0, 1, 2], truth.shape, p=[0.3, 0.6, 0.1])
    rows = [
        (sample, DRUGS[drug], replicate + 1, round(truth[row, drug] + rng.normal(0, 0.2), 4))
        for row, sample in enumerate(sample_ids)
        for drug in range(len(DRUGS))
        for replicate in range(replicates[row, drug])
    ]
    return pd.DataFrame(rows, columns=["sample_id", "drug", "replicate", "LN_IC50"])
