"""`oncotrain audit`: what left a site."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from oncotrain.cli.options import WIDE, LakeOption
from oncotrain.errors import DataError, UserError

SiteOption = Annotated[str, typer.Option(help="the site whose audit is meant")]

audit = typer.Typer(no_args_is_help=True, help="What left a site, and whether that record is whole.")


@audit.command("show")
def show(
    lake: LakeOption, site: SiteOption, run: Annotated[str | None, typer.Option(help="this run alone")] = None
) -> None:
    """Every message of a site as a table, oldest first; of the coordinator's, in its own lake, with --site coordinator.

    Down and in are to the site, up and out from it. The lines themselves, in audit/SITE.jsonl, have the full hashes.
    """
    from oncotrain.lake.audit import read
    from oncotrain.lake.audit_table import audit_table
    from oncotrain.lake.filesystem import Lake

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDE
    console.print(audit_table(read(Lake(lake), site), run))


@audit.command("verify")
def verify(
    lake: LakeOption,
    site: SiteOption,
    against: Annotated[str | None, typer.Option(help="the other side's lake, which keeps heads of this audit")] = None,
    public_key: Annotated[Path | None, typer.Option(help="SITE.key.pub: check the signatures of these heads")] = None,
) -> None:
    """Check the chain: an edited, removed or moved line is named (exit code 3).

    A cut tail, or lines written anew, show only --against what the other side keeps.
    """
    from oncotrain.federation.audit.counterpart import verify_against
    from oncotrain.federation.identity.keys import load_public_key
    from oncotrain.lake.audit import read, verify
    from oncotrain.lake.filesystem import Lake

    if public_key and not against:
        raise UserError("--public-key: the signed heads are in the other side's lake; name it with --against")
    head, lines = verify(Lake(lake), site), len(read(Lake(lake), site))
    if against:
        kept = verify_against(Lake(lake), site, Lake(against), load_public_key(public_key) if public_key else None)
        signed = ", whose signatures hold" if public_key else ""
        typer.echo(
            f"agrees with {len(kept)} heads in {against}{signed}; the last is of line {kept[-1].head.number + 1}"
        )
    elif not lines:
        raise DataError(f"{lake}: has no audit of {site}")
    typer.echo(f"whole; {lines} lines, the last one has SHA-256 {head}")
