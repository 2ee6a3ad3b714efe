"""Ingest the development data, each source a site: python tests/benchmarks/ingest_shared_data.py --to realdata

Histology: every hospital of `fed_hospital` into realdata/histology/<hospital>. Drug response: every repository of
origin into realdata/drug_response/<repository>. Rows are counted against the sources; a centre is laid out for each.
"""

import csv
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from oncotrain.config import load_yaml
from oncotrain.config.expression import ExpressionConfig
from oncotrain.config.slides import SlidesConfig
from oncotrain.expression.ingest import ingest_expression
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.lake.names import slug
from oncotrain.slides.ingest import ingest_slides
from oncotrain.spark import spark_session

DATA = Path(__file__).parents[3] / "shared" / "data"
CONFIGS = Path(__file__).parents[2] / "jobs" / "configs"


def main(to: Annotated[Path, typer.Option(help="folder of the lakes")] = Path("realdata")) -> None:
    """Ingest both sets, one Spark session for all."""
    spark = spark_session("ingest_shared_data")
    lake_of(to / "histology" / "centre")
    lake_of(to / "drug_response" / "centre")

    manifest = DATA / "histology" / "manifest.csv"
    slides = load_yaml(CONFIGS / "ingest_histology.yaml", SlidesConfig)
    with manifest.open(encoding="utf-8") as file:
        images = list(csv.DictReader(file))
    hospitals = sorted({slug(image["fed_hospital"]) for image in images})
    rows = [
        ingest_slides(spark, lake_of(to / "histology" / site), site, manifest, slides)["rows"] for site in hospitals
    ]
    print(f"histology: {sum(rows)} rows of {len(images)} images at {len(hospitals)} hospitals")

    lines = DATA / "drug_response" / "cell_lines"
    tables = [str(lines / name) for name in ("expression.parquet", "metadata.csv", "response_gdsc.parquet")]
    expression = load_yaml(CONFIGS / "ingest_gdsc2_sites.yaml", ExpressionConfig)
    samples = pd.read_csv(lines / "metadata.csv")
    repositories = sorted({slug(name) for name in samples["fed_site_repository"]})
    rows = [
        ingest_expression(spark, lake_of(to / "drug_response" / site), site, *tables, expression)["rows"]
        for site in repositories
    ]
    print(f"drug response: {sum(rows)} rows of {len(samples)} lines at {len(repositories)} repositories")


def lake_of(folder: Path) -> Lake:
    """A laid-out lake in `folder`."""
    lake = Lake(folder.resolve().as_uri())
    apply_layout(lake)
    return lake


if __name__ == "__main__":
    typer.run(main)
