"""The exact ridge over the repositories of origin as sites, beside the pooled one.

    python tests/benchmarks/federated_ridge.py --work DIR [--components 128] [--floor 5]

It is of GDSC2 alone, each drug with Gram matrices of its own.

The sums are those that sites would send; they are computed here in one process, without messages. Test lines are those
of fold 0 at each site. Bytes are those of the arrays.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from oncotrain.config import load_yaml
from oncotrain.config.expression import ExpressionConfig
from oncotrain.config.split import KFoldRule
from oncotrain.expression.ingest import ingest_expression
from oncotrain.federation.disclosure import may_leave
from oncotrain.job import run_job
from oncotrain.lake.dataset import Dataset, open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.lake.names import slug
from oncotrain.lake.split import make_split
from oncotrain.spark import spark_session
from oncotrain.tasks import Row, create_task
from oncotrain.tasks.drug_response.holdout import only
from oncotrain.tasks.drug_response.inputs import input_matrix
from oncotrain.tasks.drug_response.models.model import score
from oncotrain.tasks.drug_response.models.ridge import FEWEST, Linear, Ridge, fit_ridge
from oncotrain.tasks.drug_response.response import judged, response_matrix
from oncotrain.tasks.drug_response.ridge.axes import agree_axes, axes_sums
from oncotrain.tasks.drug_response.ridge.solve import solve_ridge
from oncotrain.tasks.drug_response.ridge.sums import closest, gram_sums, size

LINES = Path(__file__).parents[3] / "shared" / "data" / "drug_response" / "cell_lines"
CONFIG = Path(__file__).parents[2] / "jobs" / "configs" / "ingest_gdsc2_sites.yaml"
SETTINGS = {
    "name": "drug_response",
    "clinical": ["tissue", "msi", "growth", "medium"],
    "clinical_weight": 8.0,
    "auxiliary": ["gdsc1"],
}
SEED = 0


def main(
    work: Annotated[Path, typer.Option(help="where the sites' lakes are made")],
    components: Annotated[int, typer.Option(min=1, max=128)] = 128,
    floor: Annotated[int, typer.Option(min=1, help="fewest training lines of a site, and rows of a pattern")] = 5,
) -> None:
    """Print what sites send and how good the ridge is; the last line is the same as JSON."""

    def job() -> dict[str, Any]:
        task, sites = create_task(SETTINGS, "federated_ridge"), _sites(work)
        parts = {site: _rows(dataset, task.columns) for site, dataset in sites.items()}
        refused = [site for site, (train, _) in parts.items() if not may_leave(len(train), floor)]
        contracts = {site: task.contract(dataset.manifest.features) for site, dataset in sites.items()}
        agreed = task.agree(list(contracts.values()))
        adapted = {}
        for site, dataset in sites.items():
            adapt = task.adapt(dataset.manifest.features, agreed)
            adapted[site] = tuple([adapt(row) for row in rows] for rows in parts[site])
        allowed = {site: train for site, (train, _) in adapted.items() if site not in refused}
        statistics = [task.statistics(agreed, train, floor) for train in allowed.values()]
        plan = task.plan(agreed, task.merge_statistics(statistics))

        inputs = {site: input_matrix(train, plan).astype(np.float64) for site, train in allowed.items()}
        chosen = judged(plan["drugs"], task.config.auxiliary)
        targets = {site: response_matrix(train, len(chosen))[:, chosen] for site, train in allowed.items()}
        first = {site: axes_sums(matrix, components, SEED) for site, matrix in inputs.items()}
        axes = agree_axes(list(first.values()), SEED)
        second = {
            site: gram_sums(axes.project(matrix), targets[site], [row["patient"] for row in allowed[site]], floor)
            for site, matrix in inputs.items()
        }
        mean = np.array(plan["drug_mean"])[chosen]
        solution = solve_ridge(list(second.values()), mean, FEWEST)

        # What was sent: patterns below the floor stay, so the pooled ridge is of the other pairs.
        kept = [np.where(second[site]["pattern"] >= 0, targets[site], np.nan) for site in inputs]
        pooled = fit_ridge(axes.project(np.vstack(list(inputs.values()))), np.vstack(kept), mean)
        apart = np.abs(solution.weights - pooled.weights).max() / np.abs(pooled.weights).max()

        everybody = [row for _, rows in adapted.values() for row in rows]
        test = only(everybody, task.judges(plan), inside=True)
        linear = Linear(axes.axes @ solution.weights, solution.intercept - axes.centre @ axes.axes @ solution.weights)
        everything = [row for train in allowed.values() for row in train]

        def predict(rows: Sequence[Row]) -> np.ndarray:
            predicted = np.tile(plan["drug_mean"], (len(rows), 1))
            predicted[:, chosen] = linear(input_matrix(rows, plan))
            return predicted

        figures = {
            "exact federated ridge": score(predict, plan, test),
            "ridge on all pooled inputs": score(Ridge().fit(plan, everything), plan, test),
        }
        table = {name: task.figures(task.merge(list(sums.values()))) for name, sums in figures.items()}
        print("| site | training lines | patterns | kept back | closest | round 1 | round 2 | raw rows |")
        print("|---|---|---|---|---|---|---|---|")
        for site, train in allowed.items():
            sums = second[site]
            raw = sum(4 * (len(plan["genes"]) + 2 * chosen[row["drug"]].sum()) for row in train)
            back, near = int((sums["pattern"] < 0).sum()), closest(targets[site])
            sizes = [f"{count / 1e6:.2f} MB" for count in (size(first[site]), size(sums), raw)]
            print(f"| {site} | {len(train)} | {len(sums['count'])} | {back} | {near} | " + " | ".join(sizes) + " |")
        print(f"refused: {', '.join(refused) or 'none'}; weights apart from the pooled ridge's: {apart:.1e}")
        for name, found in table.items():
            print(f"{name}: Pearson {found['pearson_per_drug']:.4f}, R2 {found['r2_per_drug']:.4f}")
        return {"refused": refused, "apart": float(apart), "figures": table}

    run_job("federated_ridge", job)


def _sites(work: Path) -> dict[str, Dataset]:
    """Each repository's dataset in its own lake, ingested once."""
    config = load_yaml(CONFIG, ExpressionConfig)
    names = sorted({slug(name) for name in pd.read_csv(LINES / "metadata.csv")["fed_site_repository"]})
    tables = [str(LINES / name) for name in ("expression.parquet", "metadata.csv", "response_gdsc.parquet")]
    made = {}
    for name in names:
        lake = Lake((work / name).resolve().as_uri())
        apply_layout(lake)
        if not lake.list("curated"):
            ingest_expression(spark_session("federated_ridge"), lake, name, *tables, config)
        made[name] = open_dataset(lake, "samples")
    return made


def _rows(dataset: Dataset, columns: tuple[str, ...]) -> tuple[list[Row], list[Row]]:
    """Training and test rows of fold 0, with their patients."""
    split = make_split(dataset, KFoldRule(seed=0, k=5, fold=0, validation=0.0), "lines")
    train, test = (dataset.read(split.rows(dataset, part), ("patient", *columns)) for part in ("train", "test"))
    return list(train), list(test)


if __name__ == "__main__":
    typer.run(main)
