"""Harder questions than new lines: tissues, drugs, pairs left out, and another screen, one table each.

    python tests/benchmarks/drug_response_holdouts.py --lake URI [--config jobs/configs/drug_response.yaml]

The lake is that of `drug_response_folds.py`, whose dataset has GDSC1 as auxiliary responses, or the pool of the
repositories. Models, the configuration's network and its ridge among them, are fitted to the responses that are judged;
each pair is tested once over 5 folds. In `screens`, models learn from GDSC1 and are tested on GDSC2, the drugs of both
screens, lines of a fold left out: their scales differ, so Pearson is what to read. With `--terms`, a table of drugs
(columns `drug`, `targets`, separated by commas, and `pathway`), there is also the network that knows them, without
a ridge.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from network_model import Network

from oncotrain.config import load_yaml
from oncotrain.config.split import KFoldRule, LeaveGroupOutRule
from oncotrain.config.training import RunConfig
from oncotrain.expression.response import auxiliary_name
from oncotrain.job import run_job
from oncotrain.lake.dataset import Dataset, open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.split import make_split
from oncotrain.tasks import Row, Sums, create_task
from oncotrain.tasks.drug_response.holdout import drug_folds, in_drug_fold, in_pair_fold, only
from oncotrain.tasks.drug_response.leaks import require_no_leak
from oncotrain.tasks.drug_response.models.model import Model, score
from oncotrain.tasks.drug_response.models.naive import Mean
from oncotrain.tasks.drug_response.models.ridge import Ridge
from oncotrain.tasks.drug_response.models.shared_ridge import SharedRidge

FIGURES = ("pearson_per_drug", "r2_per_drug", "pearson_all_pairs", "rmse", "pairs")
MODELS: dict[str, Model] = {
    "mean per drug": Mean(of="drug"),
    "drug and line effects": Mean(of="effects", group="sample"),
    "mean per drug and tissue": Mean(of="drug and group"),
    "ridge": Ridge(),
    "shared ridge": SharedRidge(),
}
NETWORK, ALONE, DESCRIBED = "network and ridge", "network", "network with terms"
FOLDS = 5
SCREEN = "gdsc1"
Sides = tuple[list[Row], list[Row], bool]
"""Training and test rows, and whether they share samples."""


def main(
    lake: Annotated[str, typer.Option(help="a lake with a dataset of samples")],
    config: Annotated[Path, typer.Option(help="whose task is used")] = Path("jobs/configs/drug_response.yaml"),
    chosen: Annotated[str, typer.Option("--kinds", help="separated by commas")] = "tissues,drugs,screens,pairs",
    models: Annotated[str, typer.Option(help="which, separated by commas")] = ",".join([*MODELS, NETWORK]),
    terms: Annotated[Path | None, typer.Option(help=f"table of drugs, for the model {DESCRIBED}")] = None,
) -> None:
    """Print the tables; the last line is the same as JSON."""

    def job() -> dict[str, Any]:
        run = load_yaml(config, RunConfig)
        alone = run.model_copy(update={"task": {**run.task, "ridge": None}})
        task, known = create_task(run.task, str(config)), {**MODELS, NETWORK: Network(run), ALONE: Network(alone)}
        if terms is not None:
            known[DESCRIBED] = Network(alone.model_copy(update={"task": {**alone.task, "terms": _terms(terms)}}))
        dataset = open_dataset(Lake(lake), "samples")
        contract = task.contract(dataset.manifest.features)
        columns = ("patient", "sample", *task.columns)
        rows = dataset.read(np.arange(dataset.rows), columns)
        judged = only(rows, task.judges(contract), inside=True)
        kinds = {
            "tissues": _groups(dataset, judged),
            "drugs": _drugs(judged, contract["drugs"]),
            "pairs": _pairs(judged, contract["drugs"]),
            "screens": _screens(dataset, rows, contract["drugs"]),
        }
        result: dict[str, Any] = {}
        for kind, folds in ((kind, kinds[kind]) for kind in chosen.split(",")):
            parts: dict[str, list[Sums]] = {}
            for train, test, shared in folds:
                plan = task.plan(contract, task.statistics(contract, train, 1))
                require_no_leak(plan, train, test, shared_samples=shared)
                for name, model in ((name, known[name]) for name in models.split(",")):
                    parts.setdefault(name, []).extend(score(model.fit(plan, train), plan, test).values())
            print(f"\n{kind} left out\n| model | " + " | ".join(FIGURES) + " |\n|" + "---|" * (len(FIGURES) + 1))
            result[kind] = {name: task.figures(task.merge(sums)) for name, sums in parts.items()}
            for name, figures in result[kind].items():
                print(f"| {name} | " + " | ".join(f"{figures[figure]:.4f}" for figure in FIGURES) + " |", flush=True)
        return {kind: {name: str(figures) for name, figures in table.items()} for kind, table in result.items()}

    run_job("drug_response_holdouts", job)


def _terms(table: Path) -> dict[str, tuple[str, ...]]:
    drugs = pd.read_csv(table, dtype=str, keep_default_na=False)
    targets = [[f"target {target.strip()}" for target in cell.split(",") if target] for cell in drugs["targets"]]
    pathways = [[f"pathway {cell}"] if cell else [] for cell in drugs["pathway"]]
    return {drug: (*one, *other) for drug, one, other in zip(drugs["drug"], targets, pathways, strict=True)}


def _groups(dataset: Dataset, rows: Sequence[Row]) -> Iterator[Sides]:
    """Tissues dealt out to the folds by size, largest first."""
    sizes = dataset.index(["clinical_tissue"])["clinical_tissue"].value_counts()
    for fold in range(FOLDS):
        groups = tuple(sizes.index[fold::FOLDS])
        rule = LeaveGroupOutRule(seed=0, column="clinical_tissue", groups=groups, validation=0.0)
        yield *_sides(dataset, rule, rows), False


def _drugs(rows: Sequence[Row], drugs: Sequence[str]) -> Iterator[Sides]:
    folds = drug_folds(drugs, FOLDS, seed=0)
    for fold in range(FOLDS):
        keep = in_drug_fold(folds, fold)
        yield only(rows, keep, inside=False), only(rows, keep, inside=True), True


def _pairs(rows: Sequence[Row], drugs: Sequence[str]) -> Iterator[Sides]:
    for fold in range(FOLDS):
        keep = in_pair_fold(drugs, FOLDS, 0, fold)
        yield only(rows, keep, inside=False), only(rows, keep, inside=True), True


def _screens(dataset: Dataset, rows: Sequence[Row], drugs: Sequence[str]) -> Iterator[Sides]:
    """GDSC1's responses under the drugs' own names to train on, GDSC2's to test on."""
    place = {drug: at for at, drug in enumerate(drugs)}
    own = np.array([place.get(auxiliary_name(drug, SCREEN), -1) for drug in drugs])
    target = np.full(len(drugs), -1)
    target[own[own >= 0]] = np.flatnonzero(own >= 0)
    earlier = [
        {**row, "drug": target[row["drug"]].astype(np.int32)}
        for row in only(rows, lambda row: target[row["drug"]] >= 0, inside=True)
    ]
    later = only(rows, lambda row: own[row["drug"]] >= 0, inside=True)
    for fold in range(FOLDS):
        rule = KFoldRule(seed=0, k=FOLDS, fold=fold, validation=0.0)
        yield _sides(dataset, rule, earlier)[0], _sides(dataset, rule, later)[1], False


def _sides(dataset: Dataset, rule: KFoldRule | LeaveGroupOutRule, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    split = make_split(dataset, rule, "holdout")
    train, test = frozenset(split.train), frozenset(split.test)
    return [row for row in rows if row["patient"] in train], [row for row in rows if row["patient"] in test]


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
    typer.run(main)
