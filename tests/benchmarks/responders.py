"""Responders to checkpoint inhibitors: every model on the same patients, 5 folds and each cohort left out.

    python tests/benchmarks/responders.py --work DIR

The development data becomes a lake in DIR by `jobs/configs/ingest_icb.yaml`, with both kinds of scores. A cohort that
training did not see is a batch of its own, by its patients' scores alone, for every model that looks at batches.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from icb_tables import write_icb_tables
from network_model import Network

from oncotrain.config import load_yaml
from oncotrain.config.expression import ExpressionConfig
from oncotrain.config.split import KFoldRule, LeaveGroupOutRule, SplitRule
from oncotrain.config.training import RunConfig
from oncotrain.expression.ingest import ingest_expression
from oncotrain.job import run_job
from oncotrain.lake.dataset import Dataset, open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.lake.split import make_split
from oncotrain.spark import spark_session
from oncotrain.tasks import Row, create_task
from oncotrain.tasks.drug_response.binary_metrics import METRICS, binary_figures, binary_sums, merge_sums
from oncotrain.tasks.drug_response.models.boosting import Boosting
from oncotrain.tasks.drug_response.models.model import Model
from oncotrain.tasks.drug_response.models.naive import Mean
from oncotrain.tasks.drug_response.models.responder import Responder
from oncotrain.tasks.drug_response.models.ridge import Ridge
from oncotrain.tasks.drug_response.moments import with_batch
from oncotrain.tasks.drug_response.response import response_matrix

CONFIGS = Path(__file__).parents[2] / "jobs" / "configs"
MODELS: dict[str, Model] = {
    "share of responders": Mean(of="drug"),
    "share by cancer": Mean(of="drug and group", group="cancer"),
    "logistic, clinical only": Responder(scores=False),
    "logistic, scores as they are": Responder(batch=None),
    "logistic, scores by cohort": Responder(),
    "ridge": Ridge(),
    "boosting": Boosting(trees=60),
}
NETWORKS: dict[str, dict[str, Any]] = {
    "network and ridge, scores as they are": {"batch": None},
    "network and ridge, normal scores": {"batch": None, "normalization": "quantiles"},
    "network and ridge, by cohort": {"batch": {"by": "cohort", "method": "standardize"}},
    "network and ridge, by cohort with ComBat (the preset)": {},
}
"""Of `responders.yaml`, with these settings of its task."""


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
    ingest_expression(
        spark_session("responders"), lake, "icb", *tables, load_yaml(CONFIGS / "ingest_icb.yaml", ExpressionConfig)
    )
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
        for model, settings in NETWORKS.items():
            parts.setdefault(model, []).append((true, _network(dataset, settings, train, test)))
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


def _network(dataset: Dataset, settings: dict[str, Any], train: Sequence[Row], test: Sequence[Row]) -> np.ndarray:
    """Predictions (rows,) for the test rows."""
    run = load_yaml(CONFIGS / "responders.yaml", RunConfig)
    config = run.model_copy(update={"task": {**run.task, **settings}})
    task = create_task(config.task, "responders")
    contract = task.contract(dataset.manifest.features)
    plan = task.plan(contract, task.statistics(contract, train, 1))
    if "batches" in plan:
        for cohort in {row["cohort"] for row in test} - set(plan["batches"]["scales"]):
            plan = with_batch(plan, cohort, [row for row in test if row["cohort"] == cohort])
    return np.clip(Network(config).fit(plan, train)(test)[:, 0], 0, 1)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
    typer.run(main)
