"""Drug response over held-out samples: every model on the same folds in one run, one row a model.

    python tests/benchmarks/drug_response_folds.py --lake URI [--config jobs/configs/drug_response.yaml] [--seeds 1]

The lake holds the dataset that `jobs/ingest_expression.py` publishes (README has the command for GDSC2). Each sample is
tested once over the folds; the sums of the folds merge to figures of all samples. What is done is not repeated: sums of
each model and fold are kept in `--work`, runs of the network in the lake. Intervals resample lines, in pairs.
"""

import json
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from oncotrain.config import load_yaml, parse
from oncotrain.config.training import RunConfig
from oncotrain.job import run_job
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.split import Part
from oncotrain.study.statistics import PatientSums
from oncotrain.tasks import Plan, Row
from oncotrain.tasks.drug_response.bootstrap import draw_patients, resampled_figures
from oncotrain.tasks.drug_response.holdout import only
from oncotrain.tasks.drug_response.leaks import require_no_leak
from oncotrain.tasks.drug_response.models.boosting import Boosting
from oncotrain.tasks.drug_response.models.elastic_net import ElasticNet
from oncotrain.tasks.drug_response.models.model import Model, score
from oncotrain.tasks.drug_response.models.naive import Mean
from oncotrain.tasks.drug_response.models.ridge import Ridge
from oncotrain.tasks.drug_response.models.shared_ridge import SharedRidge
from oncotrain.training.central import train_centralized
from oncotrain.training.data import RunData, open_data, plan_alone
from oncotrain.training.evaluation import patient_figures
from oncotrain.training.run import RunDirectory, json_figures

FIGURES = (
    "pearson_per_drug",
    "spearman_per_drug",
    "r2_per_drug",
    "pearson_normalized",
    "r2_normalized",
    "pearson_all_pairs",
    "r2_all_pairs",
    "rmse",
)
MODELS: dict[str, Model] = {
    "mean": Mean(of="all"),
    "mean per drug": Mean(of="drug"),
    "mean per tissue": Mean(of="group"),
    "drug and tissue effects": Mean(of="effects"),
    "mean per drug and tissue": Mean(of="drug and group"),
    "ridge": Ridge(),
    "shared ridge": SharedRidge(),
    "elastic net": ElasticNet(),
    "boosting": Boosting(),
}
NETWORKS = {"network": False, "network and ridge": True}
"""Whether the ridge is beside it that the configuration asks for."""


def main(
    lake: Annotated[str, typer.Option(help="a lake with a dataset of samples")],
    config: Annotated[Path, typer.Option(help="the network's run")] = Path("jobs/configs/drug_response.yaml"),
    work: Annotated[Path, typer.Option(help="where what is done is kept")] = Path("build/drug_response_folds"),
    folds: Annotated[int, typer.Option(min=2)] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="trainings of the network on each fold")] = 1,
    models: Annotated[str, typer.Option(help="which, separated by commas")] = ",".join([*MODELS, *NETWORKS]),
    reference: Annotated[str, typer.Option(help="model that the others are compared with")] = "ridge",
    resamples: Annotated[int, typer.Option(help="of the lines, for intervals")] = 500,
) -> None:
    """Print the table; the last line is the same as JSON."""

    def job() -> dict[str, Any]:
        torch.set_num_threads(1)
        made, chosen = load_yaml(config, RunConfig), models.split(",")
        done: dict[str, dict[str, Any]] = {}
        for fold in range(folds):
            variant = _variant(made, folds, fold, 0)
            for name in [name for name in chosen if name not in NETWORKS]:
                done.setdefault(name, {}).update(_fitted(Lake(lake), variant, name, work / f"{fold}-of-{folds}"))
            for name, seed in product([name for name in NETWORKS if name in chosen], range(seeds)):
                sums = _network(Lake(lake), _variant(made, folds, fold, seed, NETWORKS[name]), str(config))
                done.setdefault(f"{name}, seed {seed}", {}).update(sums)
        task = open_data(Lake(lake), _variant(made, folds, 0, 0), str(config)).task
        table = {name: patient_figures(task, sums) for name, sums in done.items()}
        print("| model | " + " | ".join(FIGURES) + f" | against {reference} |\n|" + "---|" * (len(FIGURES) + 2))
        result: dict[str, Any] = {}
        for name, figures in table.items():
            result[name] = json_figures(figures)
            cells = [f"{figures[figure]:.4f}" for figure in FIGURES]
            if reference in done and name != reference and not np.isnan(figures["pearson_per_drug"]):
                gain = figures["pearson_per_drug"] - table[reference]["pearson_per_drug"]
                low, high = _interval(done[name], done[reference], resamples, task.config.minimum_samples)
                result[name]["against"] = {"value": gain, "low": low, "high": high}
                cells.append(f"{gain:+.4f} [{low:+.4f}, {high:+.4f}]")
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
        return result

    run_job("drug_response_folds", job)


def _interval(one: PatientSums, other: PatientSums, resamples: int, minimum: int) -> tuple[float, float]:
    """95 % interval of the difference in per-drug Pearson over resampled lines, the same for both."""
    if sorted(one) != sorted(other):
        raise ValueError("models were tested on different lines")
    draws = draw_patients(len(one), resamples, seed=0)
    made = [
        resampled_figures({line: sums[line] for line in sorted(sums)}, draws, minimum, ["pearson_per_drug"])[:, 0]
        for sums in (one, other)
    ]
    low, high = np.nanpercentile(made[0] - made[1], [2.5, 97.5])
    return float(low), float(high)


def _variant(config: RunConfig, folds: int, fold: int, seed: int, ridge: bool = False) -> RunConfig:
    """The same run on one fold, alone in this process, with the ridge beside the network or without."""
    rule = {"rule": "kfold", "seed": 0, "k": folds, "fold": fold, "validation": config.split.rule.validation}
    data = config.model_dump(mode="json")
    data["split"] = {"name": f"lines-{fold}-of-{folds}", "rule": rule}
    data["task"] |= {} if ridge else {"ridge": None}
    data["train"] |= {"seed": seed, "engine": "single", "ranks": 1}
    return parse(RunConfig, data, "drug_response_folds")


def _fitted(lake: Lake, config: RunConfig, name: str, work: Path) -> PatientSums:
    """Sums of a model fitted on training and validation lines together: it chooses on these by itself."""
    kept = work / f"{name}.json"
    if not kept.exists():
        data = open_data(lake, config, "drug_response_folds")
        plan, began = plan_alone(data), time.process_time()
        train, test = _rows(data, plan, ("train", "validation")), _rows(data, plan, ("test",))
        keep = data.task.judges(plan)
        judged_train, judged_test = (only(rows, keep, inside=True) for rows in (train, test))
        require_no_leak(plan, judged_train, judged_test)
        predictor = MODELS[name].fit(plan, train if name == "shared ridge" else judged_train)
        made = score(predictor, plan, judged_test)
        lists = {patient: {key: value.tolist() for key, value in sums.items()} for patient, sums in made.items()}
        work.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(lists))
        print(f"{work.name}, {name}: {time.process_time() - began:.0f} CPU s", flush=True)
    read = json.loads(kept.read_text())
    return {patient: {key: np.array(value) for key, value in sums.items()} for patient, sums in read.items()}


def _rows(data: RunData, plan: Plan, parts: Sequence[Part]) -> list[Row]:
    """Adapted rows with patient and sample."""
    numbers = np.concatenate([data.rows(part) for part in parts])
    adapt = data.task.adapt(data.dataset.manifest.features, plan)
    return [adapt(row) for row in data.dataset.read(numbers, ("patient", "sample", *data.task.columns))]


def _network(lake: Lake, config: RunConfig, source: str) -> PatientSums:
    summary = train_centralized(None, lake, config, source=source)
    patients = RunDirectory(lake, summary["run"]).read_patients()
    return {patient: sums for patient, sums in patients.items() if sums["n"].any()}


if __name__ == "__main__":
    typer.run(main)
