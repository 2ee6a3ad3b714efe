"""Train on the data of one lake and test on its frozen test patients: spark-submit jobs/centralized_train.py --help."""

from pathlib import Path
from typing import Annotated, Any

import typer

from oncotrain.config import load_yaml
from oncotrain.config.training import RunConfig, with_train
from oncotrain.job import run_job
from oncotrain.lake.filesystem import Lake
from oncotrain.spark import spark_session
from oncotrain.training.central import train_centralized


def main(
    lake: Annotated[str, typer.Option(help="the lake with the dataset: file:///path or hdfs://host:port/path")],
    config: Annotated[Path, typer.Option(help="such as jobs/configs/histology.yaml")],
    engine: Annotated[str | None, typer.Option(help="horovod, ddp or single; default: the configuration's")] = None,
    ranks: Annotated[int | None, typer.Option(help="processes; default: the configuration's, 1 with single")] = None,
    seed: Annotated[int | None, typer.Option(help="default: the configuration's")] = None,
    tracking: Annotated[
        str, typer.Option(envvar="MLFLOW_TRACKING_URI", help="an MLflow server or store; '' tracks nothing")
    ] = "sqlite:///mlflow.db",
) -> None:
    """Train centralized; the last line names the run and its figures."""

    def job() -> dict[str, Any]:
        alone = 1 if engine == "single" else None
        changes = {"engine": engine, "ranks": alone if ranks is None else ranks, "seed": seed}
        run = with_train(load_yaml(config, RunConfig), changes, "command line")
        spark = None if run.train.engine == "single" else spark_session("centralized_train")
        return train_centralized(spark, Lake(lake), run, source=str(config), tracking=tracking or None)

    run_job("centralized_train", job)


if __name__ == "__main__":
    typer.run(main)
