"""Run a study: every arm and seed that is missing, tested on the same patients, then the report."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import plotly.graph_objects as go
from pyspark.sql import SparkSession

from oncotrain import __version__
from oncotrain.config import load_yaml
from oncotrain.config.study import Case, StudyConfig
from oncotrain.config.training import RunConfig
from oncotrain.lake.filesystem import Lake
from oncotrain.log import get_logger
from oncotrain.study.arms import TrainedRun, train_arms
from oncotrain.study.report import render
from oncotrain.study.result import ArmResult, CaseResult, Comparison, ExchangedFigure, StudyResult
from oncotrain.study.statistics import PatientSums, bootstrap, difference, figure, verdict
from oncotrain.study.trial import measure_on_pool, predict_on_pool, sample_units
from oncotrain.training.data import RunData, open_data
from oncotrain.training.run import RunDirectory

PICTURED = 40
"""Test units handed to a task to draw from; a task takes as many as it can show."""


def compare(spark: SparkSession, study: StudyConfig, source: Path, *, work: Path, client: Path) -> dict[str, Any]:
    """Train what is missing, measure every arm from its saved predictions, write `runs/study-<name>/report.html`.

    Args:
        source: The study's file; run configurations are found relative to it.
        work: Folder for keys and logs of the federations.
        client: Path of `jobs/federated_client.py`, submitted once for each site and federation.

    Returns:
        The summary: where the report lies, and each case's primary figures.

    Raises:
        UserError: A configuration, a lake or a site that is not as the study says.
        DataError: Rows are missing, or an arm did not finish.
    """
    centre = Lake(lake_uri(study.centre))
    sites = {site: Lake(lake_uri(lake)) for site, lake in study.sites.items()}
    cases, pictures = [], {}
    for name, case in study.cases.items():
        result, pictures[name] = _compare_case(spark, study, name, case, source, centre, sites, work, client)
        cases.append(result)
    found = StudyResult(
        study=study.name,
        created=datetime.now(UTC).date().isoformat(),
        code_version=__version__,
        sites=tuple(sites),
        watts_per_core=study.energy.watts_per_core,
        joules_per_byte=study.energy.joules_per_byte,
        cases=tuple(cases),
    )
    directory = RunDirectory(centre, f"study-{study.name}")
    directory.write(found.model_dump_json(indent=1).encode(), "report.json")
    directory.write(render(found, pictures).encode(), "report.html")
    figures = {case.name: {arm.arm: round(arm.primary.value, 4) for arm in case.arms} for case in cases}
    summary = {"report": centre.path("runs", directory.name, "report.html"), "figures": figures}
    directory.write_json({"status": "done", **summary}, "summary.json")
    return summary


def lake_uri(lake: str) -> str:
    """A URI as it is; a path, relative to the working directory, as a file URI."""
    return lake if "://" in lake else Path(lake).resolve().as_uri()


def _compare_case(
    spark: SparkSession,
    study: StudyConfig,
    name: str,
    case: Case,
    source: Path,
    centre: Lake,
    sites: Mapping[str, Lake],
    work: Path,
    client: Path,
) -> tuple[CaseResult, list[go.Figure]]:
    file = source.parent / case.config
    config = load_yaml(file, RunConfig)
    log = get_logger(stage=f"study {study.name}")
    runs = train_arms(spark, study, config, str(file), centre, sites, work=work, client=client)
    pooled = open_data(centre, config, str(file))
    log.info("%s: testing %d runs on the pooled test patients", name, len(runs))
    predicted = {
        (run.arm, run.seed): predict_on_pool(pooled, run.config, run.directory, centre, _name(study, name, run))
        for run in runs
    }
    measured = {key: measure_on_pool(pooled, directory) for key, directory in predicted.items()}
    by_arm = {
        arm: [measured[run.arm, run.seed] for run in runs if run.arm == arm]
        for arm in dict.fromkeys(run.arm for run in runs)
    }
    primary = pooled.task.primary
    comparisons = []
    for arm, against in _pairs(by_arm):
        interval = difference(pooled.task, by_arm[arm], by_arm[against], primary, study.bootstrap, seed=0)
        verdict_ = verdict(interval, case.margin)
        comparisons.append(Comparison(arm=arm, against=against, difference=interval, verdict=verdict_))
    result = CaseResult(
        name=name,
        task=pooled.task.name,
        primary=primary,
        margin=case.margin,
        test_patients=len(next(iter(measured.values()))),
        arms=tuple(_arm(study, pooled, [run for run in runs if run.arm == arm], sums) for arm, sums in by_arm.items()),
        not_alone=tuple(site for site in sites if "local" in study.arms and f"local:{site}" not in by_arm),
        comparisons=tuple(comparisons),
        departures=tuple(departure for run in runs if run.seed == study.seeds[0] for departure in run.departures),
        exchanged_figures=tuple(
            ExchangedFigure(arm=run.arm, seed=run.seed, value=run.exchanged)
            for run in runs
            if run.exchanged is not None
        ),
    )
    shown = {arm: predicted[arm, study.seeds[0]] for arm in by_arm}
    plan = next(iter(shown.values())).read_json("plan.json")
    return result, [pooled.task.picture(sample_units(pooled, shown, PICTURED), plan)]


def _pairs(arms: Collection[str]) -> list[tuple[str, str]]:
    """Which arm is held against which: all against centralized, what is private by patient against its control too."""
    found = [(arm, "centralized") for arm in arms if arm != "centralized" and "centralized" in arms]
    controls = [(arm, arm.replace("+dp:", "+control:")) for arm in arms if "+dp:" in arm]
    return found + [(arm, control) for arm, control in controls if control in arms]


def _arm(study: StudyConfig, pooled: RunData, runs: Sequence[TrainedRun], sums: Sequence[PatientSums]) -> ArmResult:
    task, patients = pooled.task, sorted(sums[0])
    names = task.figures(task.merge(list(sums[0].values())))
    by_seed = [task.rank_figures(list(one.values())) for one in sums]
    ranked = {name: fmean(figures[name] for figures in by_seed) for name in by_seed[0]}
    return ArmResult(
        arm=runs[0].arm,
        seeds=study.seeds,
        primary=bootstrap(task, sums, task.primary, study.bootstrap, seed=0),
        figures={name: figure(task, sums, name, patients) for name in names} | ranked,
        primary_by_seed={
            run.seed: figure(task, [one], task.primary, patients) for run, one in zip(runs, sums, strict=True)
        },
        steps=runs[0].steps,
        samples_seen=runs[0].samples_seen,
        cost=runs[0].cost.model_copy(
            update={key: fmean(getattr(run.cost, key) for run in runs) for key in ("cpu_seconds", "energy_joules")}
        ),
        curve=runs[0].curve,
        privacy=runs[0].privacy,
    )


def _name(study: StudyConfig, case: str, run: TrainedRun) -> str:
    """Of the predictions on the pool; the trained run's own name ends in the hash of configuration and data."""
    return f"study-{study.name}-{case}-{run.directory.name}"
