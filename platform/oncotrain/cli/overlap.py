"""`oncotrain overlap`: patients who are present at two sites."""

from pathlib import Path
from typing import Annotated

import typer

from oncotrain.cli.options import LakeOption, SiteOption
from oncotrain.errors import DataError

overlap = typer.Typer(no_args_is_help=True, help="Find patients who are present at two sites, before splits are made.")
KeyOption = Annotated[Path, typer.Option("--study-key", help="the key file that the study's sites share")]


@overlap.command("key")
def make_key(to: Annotated[Path, typer.Option(help="the new key file")]) -> None:
    """Draw the study's key, mode 0600. One site does, and hands it to the other sites, never to the centre."""
    from oncotrain.lake.overlap import make_study_key

    make_study_key(to)


@overlap.command("tokens")
def tokens(
    lake: LakeOption, site: SiteOption, key: KeyOption, to: Annotated[Path, typer.Option(help="the file to hand over")]
) -> None:
    """Write a token for each patient of the site."""
    from oncotrain.lake.filesystem import Lake
    from oncotrain.lake.overlap import read_study_key, site_tokens

    to.write_text(site_tokens(Lake(lake), site, read_study_key(key)).model_dump_json(), encoding="utf-8")


@overlap.command("find")
def find(
    tokens: Annotated[list[Path], typer.Argument(help="the token files of the sites")],
    lake: Annotated[str | None, typer.Option(help="a site's own lake: print its pseudonyms of shared patients")] = None,
    key: Annotated[Path | None, typer.Option("--study-key", help="needed with --lake")] = None,
) -> None:
    """Say how many patients two sites share (exit code 3 if any)."""
    from oncotrain.lake.filesystem import Lake
    from oncotrain.lake.overlap import pseudonyms_of, read_study_key, read_tokens, shared_tokens

    shared = shared_tokens([read_tokens(path) for path in tokens])
    if lake and key:
        everyone = sorted({token for of_pair in shared.values() for token in of_pair})
        typer.echo("\n".join(pseudonyms_of(Lake(lake), read_study_key(key), everyone)))
    if shared:
        raise DataError("\n".join(f"{one} and {other} share {len(of)} patients" for (one, other), of in shared.items()))
    typer.echo("no patient is at two of these sites")
