"""Coordinate a federated training of sites whose clients are started there: spark-submit jobs/federated_server.py."""

from pathlib import Path
from typing import Annotated

import typer

from oncotrain.config import load_yaml
from oncotrain.config.training import RunConfig
from oncotrain.federation.coordinator.server import federate
from oncotrain.job import run_job
from oncotrain.lake.filesystem import Lake


def main(
    lake: Annotated[str, typer.Option(help="the coordinator's lake, which gets the run: file:///path or hdfs://...")],
    config: Annotated[Path, typer.Option(help="such as jobs/configs/histology.yaml; the same at all participants")],
    superlink_host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    superlink_port: Annotated[int, typer.Option(help="port to listen on")] = 8443,
    work: Annotated[Path, typer.Option(help="the folder of oncotrain coordinator init and admit")] = Path("federation"),
) -> None:
    """Train with the sites admitted in the folder; the run is in the lake, and the last line has its figures."""
    run_job(
        "federated_server",
        lambda: federate(
            Lake(lake),
            load_yaml(config, RunConfig),
            source=str(config),
            work=work.resolve(),
            host=superlink_host,
            port=superlink_port,
        ),
    )


if __name__ == "__main__":
    typer.run(main)
