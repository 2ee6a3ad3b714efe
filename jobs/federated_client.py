"""A site's part in a federated training, one application from first to last: spark-submit jobs/federated_client.py."""

from pathlib import Path
from typing import Annotated, Any

import typer

from oncotrain.config import load_yaml
from oncotrain.config.training import RunConfig, with_train
from oncotrain.federation.site.site import take_part
from oncotrain.job import run_job
from oncotrain.lake.filesystem import Lake
from oncotrain.spark import spark_session


def main(
    lake: Annotated[str, typer.Option(help="this site's lake: file:///path or hdfs://host:port/path")],
    site: Annotated[str, typer.Option(help="this site's name, as the coordinator registered it")],
    superlink: Annotated[str, typer.Option(help="the coordinator's HOST:PORT")],
    config: Annotated[Path, typer.Option(help="such as jobs/configs/histology.yaml; the same at all participants")],
    root_certificates: Annotated[Path, typer.Option(help="authority.pem, from the coordinator")] = Path(
        "federation/authority.pem"
    ),
    key: Annotated[Path | None, typer.Option(help="this site's private key; default: federation/SITE.key")] = None,
    coordinator_key: Annotated[Path | None, typer.Option(help="coordinator.key.pub, from the coordinator")] = None,
    roster: Annotated[
        tuple[Path, Path] | None, typer.Option(help="for secure aggregation: roster.json and consortium.pub")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="horovod, ddp or single; default: the configuration's")] = None,
    ranks: Annotated[int | None, typer.Option(help="processes; default: the configuration's, 1 with single")] = None,
    app: Annotated[list[str] | None, typer.Option(help="SHA-256 of an app to answer; default: ours")] = None,
) -> None:
    """Train with the other sites until the coordinator ends the run; no row leaves the lake."""

    def job() -> dict[str, Any]:
        alone = 1 if engine == "single" else None
        changes = {"engine": engine, "ranks": alone if ranks is None else ranks}
        return take_part(
            lambda: spark_session("federated_client"),
            Lake(lake),
            with_train(load_yaml(config, RunConfig), changes, "command line"),
            source=str(config),
            site=site,
            address=superlink,
            authority=root_certificates,
            key=key or Path("federation") / f"{site}.key",
            coordinator_key=coordinator_key,
            roster=roster,
            apps=app or (),
        )

    run_job("federated_client", job)


if __name__ == "__main__":
    typer.run(main)
