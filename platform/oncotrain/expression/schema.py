"""Columns of a `samples` dataset."""

from collections.abc import Mapping

import numpy as np
from petastorm.unischema import Unischema

from oncotrain.config.expression import Category, ClinicalField
from oncotrain.lake.schema import scalar, vector


def samples_schema(genes: int, clinical: Mapping[str, ClinicalField]) -> Unischema:
    """One row a sample: pseudonyms, `genes` expression values, clinical values (None where missing), responses.

    `drug` and `response` have one entry for each drug the sample was tested with; `drug` indexes `features.drugs`.
    """
    return Unischema(
        "samples",
        [
            *(scalar(name, str) for name in ("site", "patient", "cohort", "part", "sample")),
            vector("expression", np.float32, genes),
            *(
                scalar(clinical_column(name), str if isinstance(field, Category) else np.float64, nullable=True)
                for name, field in clinical.items()
            ),
            vector("drug", np.int32),
            vector("response", np.float32),
        ],
    )


def clinical_column(name: str) -> str:
    """The dataset's column of the clinical field `name`."""
    return f"clinical_{name}"
