"""Drugs ranked for each sample, as a table for a person."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from oncotrain.tasks.task import Plan


def ranking(
    names: Sequence[str], predicted: np.ndarray, half_width: np.ndarray, plan: Plan, shown: np.ndarray
) -> pd.DataFrame:
    """One row a (sample, drug), for each sample the drugs to which it is most sensitive beyond what is usual first.

    Columns: `sample`, `rank` from 1, `drug`, `response` with its interval `low` to `high`, and `relative`: deviations
    from the drug's mean over training rows, by which drugs are ranked, lowest first. Ranked by the response itself,
    every sample would get the same potent drugs.

    Args:
        predicted: (samples, drugs).
        half_width: (drugs,).
        shown: Bool (drugs,): the drugs of the table.
    """
    relative = (predicted - np.array(plan["drug_mean"])) / np.array(plan["drug_std"])
    drugs = np.flatnonzero(shown)
    tables = []
    for name, response, deviation in zip(names, predicted, relative, strict=True):
        order = drugs[np.argsort(deviation[drugs], kind="stable")]
        tables.append(
            pd.DataFrame(
                {
                    "sample": name,
                    "rank": np.arange(1, len(order) + 1),
                    "drug": [plan["drugs"][drug] for drug in order],
                    "response": response[order],
                    "low": response[order] - half_width[order],
                    "high": response[order] + half_width[order],
                    "relative": deviation[order],
                }
            )
        )
    return pd.concat(tables, ignore_index=True)
