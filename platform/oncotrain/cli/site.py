"""`oncotrain site`: what a hospital types."""

from pathlib import Path
from typing import Annotated

import typer

from oncotrain.cli.probes import say
from oncotrain.errors import UserError

FileOption = Annotated[Path, typer.Option("--file", help="this site's YAML, see deploy/site/")]

site = typer.Typer(no_args_is_help=True, help="A hospital's side of a federation: keys, check, start, stop, leave.")


@site.command()
def keys(
    site: Annotated[str, typer.Option(help="this site's name, as the coordinator will admit it")],
    folder: Annotated[Path, typer.Option(help="a folder that only this account may enter")] = Path("federation"),
    rotate: Annotated[bool, typer.Option("--rotate", help="make the next key; the one in use stays for now")] = False,
) -> None:
    """Make this site's key pair; the private half never leaves the folder. Nothing is overwritten."""
    from oncotrain.federation.identity.keys import fingerprint, load_public_key, public_half, spoken
    from oncotrain.federation.identity.rotation import make_first_key, make_next_key

    public = public_half(make_next_key(folder, site) if rotate else make_first_key(folder, site))
    typer.echo(f"public key: {public}")
    typer.echo(f"fingerprint: {spoken(fingerprint(load_public_key(public)))}")
    typer.echo(f"send {public.name} to the coordinator, and compare the fingerprint by phone")
    if rotate:
        typer.echo("admitting it shuts out the key in use: then type oncotrain site stop, site switch-key, site start")


@site.command("switch-key")
def switch_key(file: FileOption = Path("site.yaml")) -> None:
    """Use the next key, which the coordinator has admitted; a line of this site's audit hands over from the old one."""
    from oncotrain.config.site import SiteConfig
    from oncotrain.federation.identity.keys import fingerprint, spoken
    from oncotrain.federation.identity.rotation import hand_over
    from oncotrain.federation.submission import client_processes, require_none
    from oncotrain.lake.filesystem import Lake

    described = SiteConfig.load(file)
    require_none(client_processes(described), f"oncotrain site stop --file {file}")
    key = hand_over(Lake(described.lake), described.folder, described.site)
    typer.echo(f"in use now: {spoken(fingerprint(key))}; with secure aggregation, ask for a new roster")


@site.command()
def check(file: FileOption = Path("site.yaml")) -> None:
    """Could this site take part now? One line each, and what to do about those that fail (exit code 1)."""
    from oncotrain.config.site import SiteConfig
    from oncotrain.doctor.site import check_site

    say(check_site(SiteConfig.load(file)))


@site.command()
def start(file: FileOption = Path("site.yaml")) -> None:
    """Take part until the coordinator ends the run: becomes the spark-submit of the client, in client mode."""
    from oncotrain.config.site import SiteConfig
    from oncotrain.federation.site.departure import require_member
    from oncotrain.federation.submission import become, client_command, client_processes, require_none

    described = SiteConfig.load(file)
    require_member(described.folder)
    require_none(client_processes(described), f"oncotrain site stop --file {file}")
    become(client_command(described))


@site.command()
def stop(file: FileOption = Path("site.yaml")) -> None:
    """End the client, which takes leave of the coordinator first; started again, it goes on."""
    from oncotrain.config.site import SiteConfig
    from oncotrain.federation.submission import client_processes
    from oncotrain.federation.submission import stop as stop_all

    running = client_processes(SiteConfig.load(file))
    if not stop_all(running):
        raise UserError(f"it does not end; type: oncotrain site leave --file {file}")
    typer.echo("stopped" if running else "it was not running")


@site.command()
def leave(file: FileOption = Path("site.yaml")) -> None:
    """The kill switch: end the client within seconds, and refuse to start it until `oncotrain site rejoin`."""
    from oncotrain.config.site import SiteConfig
    from oncotrain.federation.site.departure import leave as leave_mark
    from oncotrain.federation.submission import client_processes, kill

    described = SiteConfig.load(file)
    leave_mark(described.folder)  # first: nothing may start it again meanwhile
    kill(client_processes(described))
    typer.echo(f"{described.site} has left; nothing starts its client until: oncotrain site rejoin --file {file}")


@site.command()
def rejoin(file: FileOption = Path("site.yaml")) -> None:
    """Lift what `leave` put down; nothing is started."""
    from oncotrain.config.site import SiteConfig
    from oncotrain.federation.site.departure import rejoin as lift

    lift(SiteConfig.load(file).folder)
    typer.echo(f"to take part again, type: oncotrain site start --file {file}")
