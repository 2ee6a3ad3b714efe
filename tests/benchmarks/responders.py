"""Responders to checkpoint inhibitors: every model on the same patients, 5 folds and each cohort left out.

    python tests/benchmarks/responders.py --work DIR

The development data becomes a lake in DIR by `jobs/configs/ingest_icb.yaml`, with both kinds of scores.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from icb_tables import write_icb_tables

from oncotrain.config import load_yaml
from oncotrain.config.expression import ExpressionConfig
from oncotrain.config.split import KFoldRule, LeaveGroupOutRule, SplitRule
from oncotrain.expression.ingest import ingest_expression
from oncotrain.job import run_job
from oncotrain.lake.dataset import Dataset, open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.lake.split import make_split
from oncotrain.spark import spark_session
from oncotrain.tasks import create_task
from oncotrain.tasks.drug_response.binary_metrics import METRICS, binary_figures, binary_sums, merge_sums
from oncotrain.tasks.drug_response.models.boosting import Boosting
from oncotrain.tasks.drug_response.models.model import Model
from oncotrain.tasks.drug_response.models.naive import Mean
from oncotrain.tasks.drug_response.models.responder import Responder
from oncotrain.tasks.drug_response.models.ridge import Ridge
from oncotrain.tasks.drug_response.response import response_matrix

CONFIG = Path(__file__).parents[2] / "jobs" / "configs" / "ingest_icb.yaml"
MODELS: dict[str, Model] = {
    "share of responders": Mean(of="drug"),
    "share by cancer": Mean(of="drug and group", group="cancer"),
    "logistic, clinical only": Responder(scores=False),
    "logistic, scores as they are": Responder(batch=None),
    "logistic, scores by cohort": Responder(),
    "ridge": Ridge(),
    "boosting": Boosting(trees=60),
}


def main(work: Annotated[Path, typer.Option(help="where lake and tables are made")]) -> None:
    """Print both tables; the last line is the same as JSON."""

    def job() -> dict[str, Any]:
        dataset = _ingested(work)
        cohorts = sorted(dataset.index(["cohort"])["cohort"].unique())
        folds: dict[str, SplitRule] = {
            str(fold): KFoldRule(seed=0, k=5, fold=fold, validation=0.0) for fold in range(5)
        }
        left_out: dict[str, SplitRule] = {
            cohort: LeaveGroupOutRule(seed=0, column="cohort", groups=(cohort,), validation=0.0) for cohort in cohorts
        }
        return {"5 folds": _table(dataset, folds), "left-out cohorts": _table(dataset, left_out)}

    run_job("responders", job)


def _ingested(work: Path) -> Dataset:
    lake = Lake((work / "lake").resolve().as_uri())
    apply_layout(lake)
    tables = write_icb_tables(work)
    ingest_expression(spark_session("responders"), lake, "icb", *tables, load_yaml(CONFIG, ExpressionConfig))
    return open_dataset(lake, "samples")


def _table(dataset: Dataset, rules: dict[str, SplitRule]) -> dict[str, Any]:
    """Figures of each model: AUROC as the mean over the parts and weighted by size, the others over all patients."""
    task = create_task(
        {"name": "drug_response", "clinical": ["cancer", "target", "sex", "age", "log_tmb"], "clinical_weight": 3.0},
        "responders",
    )
    contract = task.contract(dataset.manifest.features)
    columns = ("patient", "cohort", "site", *task.columns)
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for name, rule in rules.items():
        split = make_split(dataset, rule, f"part-{name.lower()}")
        train, test = (dataset.read(split.rows(dataset, part), columns) for part in ("train", "test"))
        plan = task.plan(contract, task.statistics(contract, train, 1))
        true = response_matrix(test, 1)[:, 0]
        for model, config in MODELS.items():
            predicted = np.clip(config.fit(plan, train)(test)[:, 0], 0, 1)
            parts.setdefault(model, []).append((true, predicted))
    print("| model | AUROC, mean | weighted | " + " | ".join(METRICS) + " |\n|" + "---|" * (len(METRICS) + 3))
    table = {}
    for model, made in parts.items():
        each = np.array([binary_figures(binary_sums(*part))["auroc"] for part in made])
        sizes = np.array([len(true) for true, _ in made])
        sums = [binary_sums(*part) for part in made]
        all_patients = binary_figures(merge_sums(sums))
        table[model] = {"auroc_mean": each.mean(), "auroc_weighted": each @ sizes / sizes.sum(), **all_patients}
        print(f"| {model} | " + " | ".join(f"{value:.3f}" for value in table[model].values()) + " |", flush=True)
    return table


if __name__ == "__main__":
    typer.run(main)
