"""`oncotrain predict`: a finished run, used."""

import json
from pathlib import Path
from typing import Annotated

import typer

from oncotrain.cli.options import LakeOption

predict = typer.Typer(no_args_is_help=True, help="Predict with a finished run.")


@predict.command("drug-response")
def drug_response(
    lake: LakeOption,
    run: Annotated[str, typer.Option(help="a finished run of that lake")],
    samples: Annotated[str, typer.Option(help="expression matrix of the samples, in any format of the ingest")],
    clinical: Annotated[str | None, typer.Option(help="table with a column sample and clinical columns")] = None,
    to: Annotated[Path, typer.Option(help="the CSV to write")] = Path("predictions.csv"),
    missing: Annotated[float, typer.Option(min=0, max=1, help="largest share of genes that may be filled")] = 0.1,
    batch: Annotated[
        str | None, typer.Option(help="which site or cohort of a run with task.batch; without: a batch of their own")
    ] = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="share of responses that an interval holds")] = 0.9,
) -> None:
    """Rank drugs for each sample, with intervals from the run's test patients; says which genes were missing."""
    from oncotrain.lake.filesystem import Lake
    from oncotrain.predict import predict_samples

    summary = predict_samples(Lake(lake), run, samples, clinical, to, missing, level, batch)
    typer.echo(json.dumps(summary))
