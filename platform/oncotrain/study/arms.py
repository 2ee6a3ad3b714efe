"""The arms of a study: each trains the same configuration on the same sites' rows, one way or another."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import SparkSession

from oncotrain.config.study import ARMS, EnergyModel, StudyConfig
from oncotrain.config.training import RunConfig, with_train
from oncotrain.errors import DataError
from oncotrain.federation.local import federate_on_this_machine
from oncotrain.lake.audit import read
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.pool import pool
from oncotrain.log import get_logger
from oncotrain.study.accounting import Cost, cost_of
from oncotrain.study.derive import arm_config
from oncotrain.study.result import CurvePoint, Departure, Guarantee
from oncotrain.tasks import create_task
from oncotrain.training.central import train_centralized
from oncotrain.training.data import open_data
from oncotrain.training.run import RunDirectory


@dataclass(frozen=True)
class TrainedRun:
    """One arm with one seed, finished."""

    arm: str
    seed: int
    config: RunConfig
    directory: RunDirectory
    steps: int
    samples_seen: int
    cost: Cost
    curve: tuple[CurvePoint, ...]
    departures: tuple[Departure, ...]
    exchanged: float | None = None
    """Federated: the primary test figure as merged from the sites' sums; None where a floor withheld them."""
    privacy: Guarantee | None = None
    """What a private run guarantees."""


def train_arms(
    spark: SparkSession,
    study: StudyConfig,
    config: RunConfig,
    source: str,
    centre: Lake,
    sites: Mapping[str, Lake],
    *,
    work: Path,
    client: Path,
) -> list[TrainedRun]:
    """Pool the sites' datasets, then train every arm with every seed; finished runs are taken as they are.

    Args:
        source: The run configuration's file, for messages.
        work: Folder for keys and logs of the federations, one folder each.
        client: Path of `jobs/federated_client.py`.
    """
    task = create_task(config.task, source)
    pooled = pool(spark, list(sites.values()), centre, config.dataset or task.dataset)
    runs: list[TrainedRun] = []
    for seed in study.seeds:
        seeded = with_train(config, {"seed": seed}, source)
        for arm in (arm for arm in ARMS if arm in study.arms):
            own = arm_config(seeded, arm, source)
            if arm == "centralized":
                runs.append(_centralized(spark, study.energy, own, source, centre, pooled["bytes"], task.primary))
            elif arm == "local":
                runs.extend(_local(study.energy, own, source, sites, task.primary))
            else:
                folder = work / f"{study.name}-{task.name}-{arm.replace('+', '-')}-s{seed}"
                runs.append(_federated(study.energy, own, source, centre, sites, task.primary, folder, client))
    return runs


def _centralized(
    spark: SparkSession,
    energy: EnergyModel,
    config: RunConfig,
    source: str,
    centre: Lake,
    pooled: Mapping[str, int],
    primary: str,
) -> TrainedRun:
    summary = train_centralized(spark, centre, config, source=source)
    directory = RunDirectory(centre, summary["run"])
    return TrainedRun(
        arm="centralized",
        seed=config.train.seed,
        config=config,
        directory=directory,
        steps=summary["steps"],
        samples_seen=summary["samples_seen"],
        cost=cost_of(pooled, {}, summary["cpu_seconds"], energy),
        curve=_curve(directory, primary),
        departures=tuple(
            Departure(arm="centralized", site=site, what="curated rows", messages=1, bytes=count)
            for site, count in pooled.items()
        ),
    )


def _local(
    energy: EnergyModel, config: RunConfig, source: str, sites: Mapping[str, Lake], primary: str
) -> Iterator[TrainedRun]:
    """One run a site, but for sites whose split leaves a part empty: with few patients it does."""
    alone = with_train(config, {"engine": "single", "ranks": 1}, source)
    for site, lake in sites.items():
        if empty := open_data(lake, alone, source).split.empty_parts():
            log = get_logger(site=site, stage="study")
            log.warning("local:%s is left out: the split has no patient for %s", site, ", ".join(empty))
            continue
        summary = train_centralized(None, lake, alone, source=source, arm=f"local:{site}")
        directory = RunDirectory(lake, summary["run"])
        yield TrainedRun(
            arm=f"local:{site}",
            seed=config.train.seed,
            config=alone,
            directory=directory,
            steps=summary["steps"],
            samples_seen=summary["samples_seen"],
            cost=cost_of({}, {}, summary["cpu_seconds"], energy),
            curve=_curve(directory, primary),
            departures=(),
        )


def _federated(
    energy: EnergyModel,
    config: RunConfig,
    source: str,
    centre: Lake,
    sites: Mapping[str, Lake],
    primary: str,
    work: Path,
    client: Path,
) -> TrainedRun:
    summary = federate_on_this_machine(centre, config, sites, source=source, work=work, client=client)
    directory = RunDirectory(centre, summary["run"])
    if summary["untested"]:
        raise DataError(
            f"{directory.uri}: no test figures from {', '.join(summary['untested'])}, so it cannot be compared; "
            "delete the run and start again"
        )
    return TrainedRun(
        arm=summary["arm"],
        seed=config.train.seed,
        config=config,
        directory=directory,
        steps=summary["steps"],
        samples_seen=summary["samples_seen"],
        cost=cost_of(summary["bytes_up"], summary["bytes_down"], summary["cpu_seconds"], energy),
        curve=_curve(directory, primary),
        departures=tuple(_sent(summary["run"], summary["arm"], sites)),
        exchanged=summary["figures"].get(primary),
        privacy=Guarantee(**summary["privacy"]) if summary["privacy"] else None,
    )


def _sent(run: str, arm: str, sites: Mapping[str, Lake]) -> Iterator[Departure]:
    """What each site's own audit says it sent in this run, by kind of message."""
    for site, lake in sites.items():
        sent: dict[str, list[int]] = {}
        for line in read(lake, site):
            if line["event"]["action"] == "federate" and line["event"]["run"] == run:
                sent.setdefault(line["event"]["kind"], []).append(line["event"]["bytes_up"])
        for kind, sizes in sent.items():
            yield Departure(arm=arm, site=site, what=kind, messages=len(sizes), bytes=sum(sizes))


def _curve(directory: RunDirectory, primary: str) -> tuple[CurvePoint, ...]:
    return tuple(
        CurvePoint(step=point["step"], value=point["figures"][primary])
        for point in directory.read_metrics()
        if point["figures"].get(primary) is not None
    )
