"""Turn a hospital's slides into a curated dataset of tiles: spark-submit jobs/ingest_slides.py --help."""

from pathlib import Path
from typing import Annotated, Any

import typer

from oncotrain.config import load_yaml
from oncotrain.config.slides import SlidesConfig
from oncotrain.job import run_job
from oncotrain.lake.filesystem import Lake
from oncotrain.slides.ingest import ingest_slides
from oncotrain.spark import spark_session


def main(
    lake: Annotated[str, typer.Option(help="the site's lake: file:///path or hdfs://host:port/path")],
    site: Annotated[str, typer.Option(help="the site's slug, such as chu-grenoble")],
    manifest: Annotated[str, typer.Option(help="CSV with one row a slide, a path or URI; slides lie in its folder")],
    config: Annotated[Path, typer.Option(help="such as jobs/configs/ingest_slides.yaml")],
    dataset: Annotated[str, typer.Option(help="name of the dataset to publish")] = "tiles",
) -> None:
    """Publish the slides that the manifest lists."""

    def ingest() -> dict[str, Any]:
        settings, target = load_yaml(config, SlidesConfig), Lake(lake)
        return ingest_slides(spark_session("ingest_slides"), target, site, manifest, settings, dataset)

    run_job("ingest_slides", ingest)


if __name__ == "__main__":
    typer.run(main)
