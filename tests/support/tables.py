"""Three small tables of a hospital, to be changed by a test and written in any format."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

GENES = ["TP53", "EGFR", "KRAS", "C1orf112", "HLA-A", "BRCA1"]
SAMPLES = [f"SAMPLE-{number}" for number in range(7)]


@dataclass
class Tables:
    """`expression` has samples as rows; the others are as they are written."""

    folder: Path
    expression: pd.DataFrame = field(default_factory=lambda: _expression())
    samples: pd.DataFrame = field(default_factory=lambda: _samples())
    response: pd.DataFrame = field(default_factory=lambda: _response())

    def write(self, expression: str = "expression.csv", transposed: bool = False) -> tuple[str, str, str]:
        """Write all three; `expression` is the matrix's file name, whose ending says the format."""
        paths = (self.folder / expression, self.folder / "samples.csv", self.folder / "response.csv")
        write_matrix(self.expression.T if transposed else self.expression, paths[0])
        self.samples.to_csv(paths[1], index=False)
        self.response.to_csv(paths[2], index=False)
        return str(paths[0]), str(paths[1]), str(paths[2])


def write_matrix(matrix: pd.DataFrame, path: Path) -> None:
    """Write rows and columns with their names, in the format that the name says."""
    if path.suffix == ".parquet":
        matrix.rename_axis("name").reset_index().to_parquet(path, index=False)
    else:
        matrix.to_csv(path, sep="," if ".csv" in path.name else "\t")


def _expression() -> pd.DataFrame:
    values = np.random.default_rng(0).normal(6, 2, (len(SAMPLES), len(GENES))).round(3)
    return pd.DataFrame(values.astype(np.float32), index=SAMPLES, columns=GENES).astype(object)


def _samples() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample": SAMPLES,
            "patient": [f"PATIENT-{number // 2}" for number in range(len(SAMPLES))],
            "surname": "Identifying",
            "tissue": ["lung", "skin", None, "lung", "skin", "lung", "skin"],
            "age": [41, 52, 63, None, 35, 28, 77],
        }
    )


def _response() -> pd.DataFrame:
    rows = [(sample, drug, 1, float(i + j)) for i, sample in enumerate(SAMPLES) for j, drug in enumerate("BA")]
    return pd.DataFrame([*rows, (SAMPLES[0], "A", 2, 4.0)], columns=["sample", "drug", "replicate", "LN_IC50"])
