"""Training in one place: the pooled data of all sites (arm `centralized`), or one site's alone (arm `local:<site>`)."""

from functools import partial
from typing import Any

from pyspark.sql import SparkSession

from oncotrain import __version__
from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError, UserError
from oncotrain.lake.filesystem import Lake
from oncotrain.log import get_logger
from oncotrain.training.checkpoint import newest_step
from oncotrain.training.data import RunData, open_data, plan_alone
from oncotrain.training.engines import Engine, RankLost, create_engine
from oncotrain.training.evaluation import patient_figures
from oncotrain.training.rank import Outcome, RankWork, best_point, work_on_rank
from oncotrain.training.run import RunDirectory, json_figures, run_name
from oncotrain.training.sampling import rows_seen
from oncotrain.training.tracking import tracked


def train_centralized(
    spark: SparkSession | None,
    lake: Lake,
    config: RunConfig,
    *,
    source: str,
    arm: str = "centralized",
    tracking: str | None = None,
) -> dict[str, Any]:
    """Train, validate and test on one lake's dataset; the directory is `runs/<run>/` of that lake.

    The run's name follows from arm, configuration and data: the same call resumes an interrupted run from its last
    checkpoint and returns a finished one as it is, with `unchanged` true.

    Args:
        spark: Where the ranks run; engine single needs none.
        source: The configuration's file, for messages.
        tracking: URI of an MLflow store or server that shows the run; None: none does.

    Returns:
        The summary, as in summary.json.

    Raises:
        UserError: Configuration, `train.privacy` among it, split or engine; a loss that is not finite.
        DataError: Rows are missing, a part of the split has none, or ranks were lost `train.attempts` times.
    """
    if config.train.privacy:
        raise UserError(
            f"{source}: key 'train.privacy' is for federated training: only a site accounts for what is spent"
        )
    data = open_data(lake, config, source)
    manifest, train = data.dataset.manifest, config.train
    run = RunDirectory(lake, run_name(data.task.name, arm, config, manifest.sha256))
    if run.exists("summary.json"):
        return {**run.read_json("summary.json"), "unchanged": True}
    log = get_logger(run=run.name, stage="train")
    log.info(
        "%d training rows of %s; %d steps on %d ranks",
        len(data.rows("train")),
        data.dataset.uri,
        train.steps,
        train.ranks,
    )
    if not run.exists("plan.json"):
        run.write_config(config)
        run.write_json(plan_alone(data), "plan.json")
    work = RankWork(run, lake, manifest.version, config, run.read_json("plan.json"), source)
    tags = {
        "arm": arm,
        "dataset": f"{manifest.name}/{manifest.version}",
        "dataset_sha256": manifest.sha256,
        "code_version": __version__,
        "run_uri": run.uri,
    }
    with tracked(run, config, tags, tracking):
        return _finish(data, run, config, arm, _run_on_ranks(create_engine(train.engine, spark), work))


def _finish(data: RunData, run: RunDirectory, config: RunConfig, arm: str, outcome: Outcome) -> dict[str, Any]:
    """Write figures and summary; the summary."""
    (points, patients, cpu_seconds), manifest, train = outcome, data.dataset.manifest, config.train
    best, steps = best_point(points, data.task.primary), points[-1]["step"]
    figures = json_figures(patient_figures(data.task, patients))
    run.write_patients(patients)
    run.write_json(figures, "figures.json")
    summary = {
        "run": run.name,
        "uri": run.uri,
        "task": data.task.name,
        "arm": arm,
        "seed": train.seed,
        "dataset": {"name": manifest.name, "version": manifest.version, "sha256": manifest.sha256},
        "split": data.split.name,
        "engine": train.engine,
        "ranks": train.ranks,
        "steps": steps,
        "samples_seen": rows_seen(steps, len(data.rows("train")), train.batch_size),
        "cpu_seconds": round(cpu_seconds, 3),
        "best_step": best["step"],
        "decision": best["decision"],
        "validation": best["figures"],
        "figures": figures,
    }
    run.write_json({"status": "done", **summary}, "summary.json")
    return summary


def _run_on_ranks(engine: Engine, work: RankWork) -> Outcome:
    """What rank 0 returns. Ranks that are lost are started again, all of them, from the newest checkpoint."""
    train = work.config.train
    for attempt in range(1, train.attempts + 1):
        try:
            return engine.run(partial(work_on_rank, work), train.ranks)[0]
        except RankLost as lost:
            at = newest_step(work.run) or "the start"
            get_logger(run=work.run.name, stage="train").error(
                "start %d of %d: a rank was lost, the newest checkpoint is %s (%s)", attempt, train.attempts, at, lost
            )
    raise DataError(
        f"ranks of {work.run.uri} were lost {train.attempts} times; their log lines above say why (often memory). The "
        "same command goes on from the newest checkpoint"
    )
