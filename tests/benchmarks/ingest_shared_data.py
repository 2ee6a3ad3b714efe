"""Ingest the development data, each source a site:

    python tests/benchmarks/ingest_shared_data.py --to realdata [--sets drug_response,icb]

Histology: every hospital of `fed_hospital` into realdata/histology/<hospital>. Drug response: every repository of
origin into realdata/drug_response/<repository>. Responders: every cohort into realdata/icb/<cohort>. Rows are counted
against the sources; a centre is laid out for each.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from icb_tables import write_icb_tables
from pyspark.sql import SparkSession

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


def main(
    to: Annotated[Path, typer.Option(help="folder of the lakes")] = Path("realdata"),
    sets: Annotated[str, typer.Option(help="of histology, drug_response and icb")] = "histology,drug_response,icb",
) -> None:
    """Ingest the sets, one Spark session for all."""
    ingests = {"histology": ingest_nuclei, "drug_response": ingest_lines, "icb": ingest_patients}
    spark = spark_session("ingest_shared_data")
    for name in sets.split(","):
        lake_of(to / name / "centre")
        ingests[name](spark, to / name)


def ingest_nuclei(spark: SparkSession, to: Path) -> None:
    manifest = DATA / "histology" / "manifest.csv"
    slides = load_yaml(CONFIGS / "ingest_histology.yaml", SlidesConfig)
    with manifest.open(encoding="utf-8") as file:
        images = list(csv.DictReader(file))
    hospitals = sorted({slug(image["fed_hospital"]) for image in images})
    rows = [ingest_slides(spark, lake_of(to / site), site, manifest, slides)["rows"] for site in hospitals]
    print(f"histology: {sum(rows)} rows of {len(images)} images at {len(hospitals)} hospitals")


def ingest_lines(spark: SparkSession, to: Path) -> None:
    lines = DATA / "drug_response" / "cell_lines"
    tables = [str(lines / name) for name in ("expression.parquet", "metadata.csv", "response_gdsc.parquet")]
    repositories = pd.read_csv(lines / "metadata.csv")["fed_site_repository"]
    rows = ingest_sites(spark, to, repositories, tables, "ingest_gdsc2_sites.yaml")
    print(f"drug response: {sum(rows)} rows of {len(repositories)} lines at {len(rows)} repositories")


def ingest_patients(spark: SparkSession, to: Path) -> None:
    tables = write_icb_tables(to / "tables")
    cohorts = pd.read_csv(tables[1])["cohort"]
    rows = ingest_sites(spark, to, cohorts, tables, "ingest_icb_sites.yaml")
    print(f"responders: {sum(rows)} rows of {len(cohorts)} patients at {len(rows)} cohorts")


def ingest_sites(spark: SparkSession, to: Path, names: Sequence[str], tables: Sequence[str], config: str) -> list[int]:
    """Ingest each site that `names` (one a sample) has; the rows of each."""
    expression, samples, response = tables
    settings = load_yaml(CONFIGS / config, ExpressionConfig)
    return [
        ingest_expression(spark, lake_of(to / site), site, expression, samples, response, settings)["rows"]
        for site in sorted(set(map(slug, names)))
    ]


def lake_of(folder: Path) -> Lake:
    """A laid-out lake in `folder`."""
    lake = Lake(folder.resolve().as_uri())
    apply_layout(lake)
    return lake


if __name__ == "__main__":
    typer.run(main)
