"""`oncotrain coordinator`: what the coordinator types."""

from pathlib import Path
from typing import Annotated

import typer

from oncotrain.cli.probes import say
from oncotrain.errors import UserError

FileOption = Annotated[Path, typer.Option("--file", help="the coordinator's YAML, see deploy/coordinator/")]
FolderOption = Annotated[Path, typer.Option(help="the coordinator's folder, which only this account may enter")]
NameArgument = Annotated[str, typer.Argument(help="the site's name")]

coordinator = typer.Typer(
    no_args_is_help=True, help="A coordinator's side of a federation: who may join, and the server."
)


@coordinator.command()
def init(
    host: Annotated[list[str], typer.Option(help="name or address by which sites reach it; may be repeated")],
    folder: FolderOption = Path("federation"),
) -> None:
    """Make authority, server certificate and audit key, unless they are there; say what sites are handed."""
    from oncotrain.federation.coordinator.server import Invitation, prepare
    from oncotrain.federation.identity.keys import fingerprint, load_public_key, spoken
    from oncotrain.federation.wire.connection import installed_app

    prepare(folder, host)
    handed_out = Invitation(folder, "")
    typer.echo(f"for every site: {handed_out.authority}, {handed_out.audit_key}")
    typer.echo(f"fingerprint of the audit key: {spoken(fingerprint(load_public_key(handed_out.audit_key)))}")
    typer.echo(f"SHA-256 of the app that sites will be asked by: {installed_app()}")


@coordinator.command()
def renew(
    host: Annotated[list[str] | None, typer.Option(help="names or addresses; default: those of the old one")] = None,
    folder: FolderOption = Path("federation"),
) -> None:
    """Make a new server certificate of the same authority; sites notice nothing. Start the server again after it."""
    from oncotrain.federation.identity.certificates import ServerCertificate, expiry, hosts_of, make_server_certificate

    files = ServerCertificate.in_folder(folder)
    for needed in (files.authority, files.authority_key, files.certificate):
        if not needed.exists():
            raise UserError(f"{needed}: no such file; type: oncotrain coordinator init --host NAME")
    make_server_certificate(files, host or hosts_of(files))
    typer.echo(f"for {', '.join(hosts_of(files))} until {expiry(files.certificate.read_bytes()):%Y-%m-%d}")


@coordinator.command()
def admit(
    name: NameArgument,
    public_key: Annotated[Path, typer.Argument(help="NAME.key.pub, from the site")],
    folder: FolderOption = Path("federation"),
) -> None:
    """Let a site join with this key; an earlier key of it is shut out. A server that runs follows within seconds."""
    from oncotrain.federation.identity.admission import admit as let_in
    from oncotrain.federation.identity.keys import fingerprint, spoken

    typer.echo(f"{name}: {spoken(fingerprint(let_in(folder, name, public_key)))}")
    typer.echo("compare this fingerprint with the site by phone")


@coordinator.command()
def remove(name: NameArgument, folder: FolderOption = Path("federation")) -> None:
    """Shut a site out, for good with this key. A server that runs follows within seconds."""
    from oncotrain.federation.identity.admission import remove as shut_out

    shut_out(folder, name)
    typer.echo(f"{name} is removed")


@coordinator.command("list")
def list_sites(folder: FolderOption = Path("federation")) -> None:
    """Who may join, with the fingerprints of their keys."""
    from oncotrain.federation.identity.admission import admitted
    from oncotrain.federation.identity.keys import fingerprint, spoken

    for name, key in admitted(folder).items():
        typer.echo(f"{name}: {spoken(fingerprint(key))}")


@coordinator.command()
def roster(
    consortium_key: Annotated[Path, typer.Option(help="the private key that signs; not the coordinator's to keep")],
    folder: FolderOption = Path("federation"),
    to: Annotated[Path | None, typer.Option(help="where both files go; default: the folder")] = None,
) -> None:
    """Sign the list of the admitted sites and their keys, for secure aggregation: roster.json and consortium.pub."""
    from oncotrain.federation.identity.admission import admitted
    from oncotrain.federation.identity.keys import load_private_key
    from oncotrain.federation.secure.credentials import CONSORTIUM, ROSTER, write_roster

    signer, target = load_private_key(consortium_key), to or folder
    keys = admitted(folder)
    write_roster(target, keys, signer)
    typer.echo(f"signed for {', '.join(keys)}: give {target / ROSTER} and {target / CONSORTIUM} to every site")


@coordinator.command()
def check(file: FileOption = Path("coordinator.yaml")) -> None:
    """Could this coordinator serve? One line each, and what to do about those that fail (exit code 1)."""
    from oncotrain.config.coordinator import CoordinatorConfig
    from oncotrain.doctor.coordinator import check_coordinator

    say(check_coordinator(CoordinatorConfig.load(file)))


@coordinator.command()
def start(file: FileOption = Path("coordinator.yaml")) -> None:
    """Serve and conduct the run until it is done: becomes the spark-submit of the server, in client mode."""
    from oncotrain.config.coordinator import CoordinatorConfig
    from oncotrain.federation.submission import become, require_none, server_command, server_processes

    described = CoordinatorConfig.load(file)
    require_none(server_processes(described), f"oncotrain coordinator stop --file {file}")
    become(server_command(described))


@coordinator.command()
def stop(file: FileOption = Path("coordinator.yaml")) -> None:
    """End the server; started again, it goes on after the last finished round."""
    from oncotrain.config.coordinator import CoordinatorConfig
    from oncotrain.federation.submission import kill, server_processes
    from oncotrain.federation.submission import stop as stop_all

    running = server_processes(CoordinatorConfig.load(file))
    if not stop_all(running):
        kill(running)
    typer.echo("stopped" if running else "it was not running")
