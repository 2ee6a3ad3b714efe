"""The development data's patients as the three tables that `ingest_expression` takes."""

from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(__file__).parents[3] / "shared" / "data" / "drug_response" / "patients_icb"


def write_icb_tables(folder: Path) -> list[str]:
    """Write both kinds of scores as one matrix, and the patients, to `folder`; paths of matrix, samples, responses."""
    folder.mkdir(parents=True, exist_ok=True)
    scores = [
        pd.read_csv(DATA / f"signatures_{kind}.csv.gz", index_col=0).add_prefix(f"{kind}:")
        for kind in ("ssgsea", "mean")
    ]
    pd.concat(scores, axis=1).rename_axis("sample").reset_index().to_parquet(folder / "scores.parquet", index=False)
    patients = pd.read_csv(DATA / "clinical_response.csv", dtype=str)
    patients["log_tmb"] = np.log1p(pd.to_numeric(patients["TMB"], errors="coerce"))
    patients["ICI"] = "checkpoint inhibitor"
    patients.to_csv(folder / "patients.csv", index=False)
    return [str(folder / name) for name in ("scores.parquet", "patients.csv", "patients.csv")]
