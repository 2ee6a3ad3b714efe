"""`oncotrain layout`: the zones of a lake."""

from pathlib import Path
from typing import Annotated

import typer

from oncotrain.cli.options import LakeOption
from oncotrain.errors import DataError

LayoutOption = Annotated[
    Path | None, typer.Option("--layout", help="a layout.yaml of your own; default: the installed one")
]

layout = typer.Typer(no_args_is_help=True, help="Lay out a lake's zones, or say what differs.")


@layout.command()
def apply(lake: LakeOption, file: LayoutOption = None) -> None:
    """Create the zones that are missing, correct modes, owners, ACLs and quotas; nothing is deleted."""
    from oncotrain.lake.filesystem import Lake
    from oncotrain.lake.layout import apply_layout, load_layout

    for line in apply_layout(Lake(lake), load_layout(file)) or ["nothing to do"]:
        typer.echo(line)


@layout.command()
def check(lake: LakeOption, file: LayoutOption = None) -> None:
    """Say how the lake differs from its layout (exit code 3 if it does)."""
    from oncotrain.lake.filesystem import Lake
    from oncotrain.lake.layout import check_layout, load_layout

    differences = check_layout(Lake(lake), load_layout(file))
    if differences:
        raise DataError("\n".join(differences))
    typer.echo("as laid out")
