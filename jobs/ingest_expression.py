"""Turn a hospital's expression, clinical and response tables into a curated dataset of samples.

spark-submit jobs/ingest_expression.py --help
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from oncotrain.config import load_yaml
from oncotrain.config.expression import ExpressionConfig
from oncotrain.expression.ingest import ingest_expression
from oncotrain.job import run_job
from oncotrain.lake.filesystem import Lake
from oncotrain.spark import spark_session


def main(
    lake: Annotated[str, typer.Option(help="the site's lake: file:///path or hdfs://host:port/path")],
    site: Annotated[str, typer.Option(help="the site's slug, such as chu-grenoble")],
    expression: Annotated[str, typer.Option(help="a matrix: .csv, .tsv, .gct, .mtx (also .gz), .h5ad or .parquet")],
    samples: Annotated[str, typer.Option(help="table with one row a sample: ids and clinical columns")],
    response: Annotated[str, typer.Option(help="long table with one row a measurement: sample, drug, value")],
    config: Annotated[Path, typer.Option(help="such as jobs/configs/ingest_expression.yaml")],
    dataset: Annotated[str, typer.Option(help="name of the dataset to publish")] = "samples",
) -> None:
    """Publish the samples that have an expression profile."""

    def ingest() -> dict[str, Any]:
        settings = load_yaml(config, ExpressionConfig)
        spark = spark_session("ingest_expression")
        return ingest_expression(spark, Lake(lake), site, expression, samples, response, settings, dataset)

    run_job("ingest_expression", ingest)


if __name__ == "__main__":
    typer.run(main)
