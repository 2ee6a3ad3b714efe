"""Drug response over held-out samples: naive means and the network on the same folds, one row a model and seed.

    python tests/benchmarks/drug_response_folds.py --lake URI [--config jobs/configs/drug_response.yaml] [--seeds 3]

The lake holds the dataset that `jobs/ingest_expression.py` publishes (README has the command for GDSC2). Each sample is
tested once over the folds; the sums of the folds merge to figures of all samples. A run that is done is not repeated.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from oncotrain.config import load_yaml, parse
from oncotrain.config.training import RunConfig
from oncotrain.job import run_job
from oncotrain.lake.filesystem import Lake
from oncotrain.tasks import Sums
from oncotrain.tasks.drug_response.naive import baselines
from oncotrain.training.central import train_centralized
from oncotrain.training.data import open_data, plan_alone
from oncotrain.training.loader import read_rows
from oncotrain.training.run import RunDirectory, json_figures

FIGURES = ("pearson_per_drug", "r2_per_drug", "pearson_all_pairs", "r2_all_pairs", "rmse")


def main(
    lake: Annotated[str, typer.Option(help="a lake with a dataset of samples")],
    config: Annotated[Path, typer.Option(help="the network's run")] = Path("jobs/configs/drug_response.yaml"),
    folds: Annotated[int, typer.Option(min=2)] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="trainings of each fold")] = 3,
    group: Annotated[str, typer.Option(help="clinical category of the grouped mean")] = "tissue",
) -> None:
    """Print the table; the last line is the same as JSON."""

    def job() -> dict[str, Any]:
        made = load_yaml(config, RunConfig)
        sums: dict[str, list[Sums]] = {}
        for fold in range(folds):
            for name, part in _naive(Lake(lake), _variant(made, folds, fold, 0), group).items():
                sums.setdefault(name, []).append(part)
            for seed in range(seeds):
                part = _network(Lake(lake), _variant(made, folds, fold, seed), str(config))
                sums.setdefault(f"network, seed {seed}", []).append(part)
        task = open_data(Lake(lake), _variant(made, folds, 0, 0), str(config)).task
        table = {name: task.figures(task.merge(parts)) for name, parts in sums.items()}
        print("| model | " + " | ".join(FIGURES) + " |\n|" + "---|" * (len(FIGURES) + 1))
        for name, figures in table.items():
            print(f"| {name} | " + " | ".join(f"{figures[figure]:.4f}" for figure in FIGURES) + " |")
        return {name: json_figures(figures) for name, figures in table.items()}

    run_job("drug_response_folds", job)


def _variant(config: RunConfig, folds: int, fold: int, seed: int) -> RunConfig:
    """The same run on one fold, alone in this process."""
    rule = {"rule": "kfold", "seed": 0, "k": folds, "fold": fold, "validation": 0.1}
    data = config.model_dump(mode="json")
    data["split"] = {"name": f"lines-{fold}-of-{folds}", "rule": rule}
    data["train"] |= {"seed": seed, "engine": "single", "ranks": 1}
    return parse(RunConfig, data, "drug_response_folds")


def _naive(lake: Lake, config: RunConfig, group: str) -> dict[str, Sums]:
    data = open_data(lake, config, "drug_response_folds")
    plan = plan_alone(data)
    train, test = (read_rows(data.dataset, data.rows(part).tolist(), data.task, plan) for part in ("train", "test"))
    return baselines(plan, train, test, group)


def _network(lake: Lake, config: RunConfig, source: str) -> Sums:
    task = open_data(lake, config, source).task
    summary = train_centralized(None, lake, config, source=source)
    return task.merge(list(RunDirectory(lake, summary["run"]).read_patients().values()))


if __name__ == "__main__":
    typer.run(main)
