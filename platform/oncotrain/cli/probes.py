"""How commands tell what probes found."""

from collections.abc import Iterable
from typing import NoReturn

import typer
from rich.console import Console

from oncotrain.doctor import Probe, render


def say(probes: Iterable[Probe]) -> NoReturn:
    """Print a line a probe, as it comes, and end the command: exit code 1 if one failed that is not optional."""
    console = Console(soft_wrap=True, highlight=False)
    well = True
    for probe in probes:
        console.print(render(probe))
        well &= probe.ok or probe.optional
    raise typer.Exit(0 if well else 1)
