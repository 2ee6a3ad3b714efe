"""Three small tables of a hospital, to be changed by a test and written in any format."""

import gzip
from dataclasses import dataclass, field
from pathlib import Path

import h5py
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
    elif ".gct" in path.name:
        _write_gct(matrix, path)
    elif ".mtx" in path.name:
        _write_market(matrix, path)
    elif path.suffix == ".h5ad":
        _write_h5ad(matrix, path)
    else:
        matrix.to_csv(path, sep="," if ".csv" in path.name else "\t")


def _write_gct(matrix: pd.DataFrame, path: Path) -> None:
    """Version 1.3 where the name says so, with two columns and one row of descriptions; else 1.2."""
    late = "late" in path.name
    lead = ["a", "b"] if late else ["Description"]
    body = [["Name", *lead, *matrix.columns]]
    body += [["annotation", *["na" for _ in lead], *["x" for _ in matrix.columns]]] if late else []
    body += [[name, *["text" for _ in lead], *values] for name, values in zip(matrix.index, matrix.values, strict=True)]
    sizes = [*matrix.shape, 2, 1] if late else matrix.shape
    lines = ["#1.3" if late else "#1.2", "\t".join(map(str, sizes)), *("\t".join(map(str, row)) for row in body)]
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        file.write("\n".join(lines) + "\n")


def _write_market(matrix: pd.DataFrame, path: Path) -> None:
    """With names beside it, entries column by column, zeros left out."""
    opened = gzip.open if path.suffix == ".gz" else open
    suffix = ".gz" if path.suffix == ".gz" else ""
    values = matrix.to_numpy(np.float32)
    entries = [f"{row + 1} {column + 1} {values[row, column]}" for column, row in np.argwhere(values.T != 0)]
    head = [
        "%%MatrixMarket matrix coordinate real general",
        "% made up",
        f"{len(matrix)} {len(matrix.columns)} {len(entries)}",
    ]
    for name, lines in (
        (path.name, [*head, *entries]),
        (f"features.tsv{suffix}", [f"{name}\tdescribed" for name in matrix.index]),
        (f"barcodes.tsv{suffix}", list(matrix.columns)),
    ):
        with opened(path.parent / name, "wt") as file:
            file.write("\n".join(lines) + "\n")


def _write_h5ad(matrix: pd.DataFrame, path: Path) -> None:
    """Compressed sparse rows where the name says so, else dense."""
    values = matrix.to_numpy(np.float32)
    with h5py.File(path, "w") as file:
        for axis, names in (("obs", matrix.index), ("var", matrix.columns)):
            group = file.create_group(axis)
            group.attrs["_index"] = "_index"
            group["_index"] = list(names)
        if "sparse" not in path.name:
            file["X"] = values
            return
        rows, columns = np.nonzero(values)
        group = file.create_group("X")
        group.attrs["encoding-type"] = "csr_matrix"
        group["data"], group["indices"] = values[rows, columns], columns
        group["indptr"] = np.searchsorted(rows, np.arange(len(values) + 1))


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
