"""The `oncotrain` command."""

from typing import Annotated

import typer
from rich.console import Console

from oncotrain.doctor import render, run_probes

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


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
    console = Console(soft_wrap=True, highlight=False)
    well = True
    for probe in run_probes(superlink, root_certificates, lake):
        console.print(render(probe))
        well &= probe.ok or probe.optional
    raise typer.Exit(0 if well else 1)
