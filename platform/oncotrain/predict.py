"""Drugs ranked for samples that are in no dataset, by a finished run: what `oncotrain predict drug-response` does."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from oncotrain.errors import UserError
from oncotrain.lake.filesystem import Lake
from oncotrain.tasks.drug_response.intervals import residual_quantiles
from oncotrain.tasks.drug_response.new_samples import read_new_samples
from oncotrain.tasks.drug_response.ranking import ranking
from oncotrain.tasks.drug_response.response import judged
from oncotrain.tasks.drug_response.task import DrugResponse
from oncotrain.training.trained import load_trained


def predict_samples(
    lake: Lake,
    run: str,
    samples: str,
    clinical: str | None,
    to: Path,
    most_missing: float,
    level: float,
    batch: str | None = None,
) -> dict[str, Any]:
    """Rank drugs for the samples of a matrix and write them to the CSV `to`; see `ranking` for its columns.

    Returns:
        The summary: `samples`, `drugs`, `response` (what it is), `level` of the intervals, `filled` genes by name,
        `remarks` (`NewSamples`).

    Raises:
        UserError: There is no such run, or it is of another task or outcome.
        DataError: The run is not finished, or the samples cannot be predicted (`read_new_samples`).
    """
    trained = load_trained(lake, run)
    task, plan = trained.task, trained.plan
    if not isinstance(task, DrugResponse):
        raise UserError(f"{trained.run.uri}: is a run of {task.name}; drug responses need one of drug_response")
    if task.config.outcome == "binary":
        raise UserError(f"{trained.run.uri}: tells responders; ranks and intervals are of a continuous outcome")
    new = read_new_samples(samples, clinical, plan, most_missing, batch)
    with torch.inference_mode():
        raw = [task.infer(trained.model, new.plan, row) for row in new.rows]
    predicted = np.stack([task.decide(one, plan, trained.decision)["response"] for one in raw]).astype(np.float64)
    half_width = residual_quantiles(trained.run.read_patients().values(), level)
    table = ranking(new.names, predicted, half_width, plan, judged(plan["drugs"], task.config.auxiliary))
    to.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(to, index=False, float_format="%.4f")
    return {
        "run": run,
        "to": str(to),
        "samples": len(new.names),
        "drugs": int(table["drug"].nunique()),
        "response": plan["response"],
        "level": level,
        "filled": new.filled,
        "remarks": new.remarks,
    }
