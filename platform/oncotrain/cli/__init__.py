"""The `oncotrain` command: what surrounds the jobs. Training itself is submitted to Spark, see `jobs/`.

Commands import what they need when they run: the doctor must speak where a wheel is missing.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from oncotrain.cli.audit import audit
from oncotrain.cli.cluster import cluster
from oncotrain.cli.coordinator import coordinator
from oncotrain.cli.layout import layout
from oncotrain.cli.options import WIDE, LakeOption, SiteOption
from oncotrain.cli.overlap import overlap
from oncotrain.cli.predict import predict
from oncotrain.cli.probes import say
from oncotrain.cli.site import site
from oncotrain.doctor import run_probes
from oncotrain.errors import TOLD, DataError, UserError, exit_code

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(layout, name="layout")
app.add_typer(audit, name="audit")
app.add_typer(cluster, name="cluster")
app.add_typer(overlap, name="overlap")
app.add_typer(predict, name="predict")
app.add_typer(site, name="site")
app.add_typer(coordinator, name="coordinator")


def run() -> None:
    """Entry point: a user's mistake is a message and an exit code, not a traceback."""
    try:
        app()
    except TOLD as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"error: {error}", style="red", markup=False)
        sys.exit(exit_code(error))


@app.callback()
def main() -> None:
    """Train for precision oncology, centralized and federated, and compare the two fairly."""


@app.command()
def doctor(
    superlink: Annotated[str | None, typer.Option(help="also connect to this SuperLink, HOST:PORT")] = None,
    root_certificates: Annotated[str | None, typer.Option(help="the SuperLink's CA certificate, a PEM file")] = None,
    lake: Annotated[str | None, typer.Option(help="also look whether the lake at this URI is laid out")] = None,
) -> None:
    """Probe every component by using it: one line each, with what to do about those that fail (exit code 1)."""
    say(run_probes(superlink, root_certificates, lake))


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="where everything is made")] = Path("demo"),
    jobs: Annotated[Path, typer.Option(help="the repository's jobs/")] = Path("jobs"),
) -> None:
    """Three made-up hospitals, from raw files to the report; some minutes on two cores."""
    from oncotrain.demo.run import run_demo

    console = _console()
    report = run_demo(folder, jobs, console)
    console.print(f"\nThe report: [bold]{report}[/bold]")


@app.command()
def evaluate(lake: LakeOption, run: Annotated[str, typer.Option(help="a finished run of that lake")]) -> None:
    """Compute a run's figures again from its saved predictions and the truth in the dataset."""
    from oncotrain.lake.filesystem import Lake
    from oncotrain.training.recompute import recompute

    typer.echo(json.dumps(recompute(Lake(lake), run)))


@app.command()
def dist(to: Annotated[Path, typer.Option(help="the zip to write")] = Path("dist/oncotrain.zip")) -> None:
    """Write the package as a zip for `spark-submit --py-files`: the same sources, the same bytes."""
    from oncotrain.cluster.code import write_code

    typer.echo(write_code(to))


@app.command()
def status(
    lake: LakeOption,
    run: Annotated[str | None, typer.Option(help="this run alone")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a run, for programs")] = False,
) -> None:
    """How far federated runs are, at a site or the coordinator: rounds, sites, figures, time left."""
    from oncotrain.federation.progress import read_progress
    from oncotrain.federation.progress_table import progress_table
    from oncotrain.lake.filesystem import Lake

    found = [progress for progress in read_progress(Lake(lake)) if run in (None, progress.run)]
    if not found:
        raise UserError(f"{lake}: has no federated run{f' {run!r}' if run else ''} that was begun")
    if as_json:
        for progress in found:
            typer.echo(progress.model_dump_json())
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    console.print(progress_table(found))


@app.command("verify-deid")
def verify_deid(
    lake: LakeOption,
    needles: Annotated[Path, typer.Option(help="names and numbers of patients, one a line, in UTF-8")],
) -> None:
    """Look for names and numbers in every byte and decoded value of curated, runs and audit (exit code 3 if found).

    What is found is told by its line in the file, never by its text. Writing in a picture is not read.
    """
    from oncotrain.lake.filesystem import Lake
    from oncotrain.lake.identities import read_needles, search_lake

    searched = search_lake(Lake(lake), read_needles(needles))
    if searched.findings:
        raise DataError("\n".join(found.told(needles) for found in searched.findings))
    typer.echo(f"nothing found in {searched.files} files, {searched.bytes} bytes, {searched.rows} rows")


@app.command()
def withdraw(
    lake: LakeOption,
    site: SiteOption,
    patient: Annotated[str | None, typer.Option(help="the patient's identifier, as delivered to this site")] = None,
    pseudonym: Annotated[str | None, typer.Option(help="or the pseudonym, where a site has told it")] = None,
    pooled: Annotated[list[str] | None, typer.Option(help="a lake with pooled copies; may be given again")] = None,
) -> None:
    """A consent is withdrawn: publish datasets without the patient, purge the old versions, name runs that used them.

    The last line on stdout is the report as JSON; it goes into the audit as well.
    """
    from oncotrain.lake.filesystem import Lake
    from oncotrain.lake.pseudonym import pseudonymize, site_key
    from oncotrain.lake.withdrawal import withdraw
    from oncotrain.spark import spark_session

    if bool(patient) == bool(pseudonym):
        raise UserError("give either --patient or --pseudonym")
    at = Lake(lake)
    who = pseudonym or pseudonymize(site_key(at), "patient", patient or "")
    typer.echo(json.dumps(withdraw(spark_session("withdraw"), at, site, who, [Lake(uri) for uri in pooled or []])))


def _console() -> Console:
    return Console(soft_wrap=True, highlight=False)
