"""Copy a curated dataset of several sites into the centre's lake: spark-submit jobs/pool.py --help."""

from typing import Annotated

import typer

from oncotrain.job import run_job
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.pool import pool
from oncotrain.spark import spark_session


def main(
    source: Annotated[list[str], typer.Option("--from", help="a site's lake; more may follow, or repeat the option")],
    to: Annotated[str, typer.Option(help="the centre's lake")],
    dataset: Annotated[str, typer.Option(help="name of the curated dataset, such as tiles")],
    more: Annotated[list[str] | None, typer.Argument(metavar="[LAKE]...", help="more lakes to pool from")] = None,
) -> None:
    """Publish the union of the sites' newest versions, every file checked, the bytes of each site in the audit."""
    uris = [*source, *(more or [])]
    run_job("pool", lambda: pool(spark_session("pool"), [Lake(uri) for uri in uris], Lake(to), dataset))


if __name__ == "__main__":
    typer.run(main)
