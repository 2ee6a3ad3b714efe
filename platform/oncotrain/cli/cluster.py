"""`oncotrain cluster`: a Hadoop on this machine."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

NameOption = Annotated[str, typer.Option("--site", help="the cluster's name, such as centre or chu-grenoble")]

cluster = typer.Typer(no_args_is_help=True, help="A real Hadoop on this machine: HDFS and YARN, each daemon a JVM.")


@cluster.command("up")
def up(
    site: NameOption = "centre",
    kerberos: Annotated[
        bool, typer.Option("--kerberos", help="with a KDC; decided when it is first brought up")
    ] = False,
) -> None:
    """Start NameNode, 2 DataNodes, ResourceManager and 2 NodeManagers in clusters/SITE; no harm if they run."""
    from oncotrain.cluster.folder import named_cluster
    from oncotrain.cluster.local import status, up

    up(named_cluster(site), kerberos=kerberos)
    typer.echo("\n".join(status(named_cluster(site))))
    typer.echo(f'to submit to it: eval "$(oncotrain cluster env --site {site})"')


@cluster.command("down")
def down(site: NameOption = "centre") -> None:
    """End the cluster's daemons and containers, and remove its folder with all data."""
    from oncotrain.cluster.folder import named_cluster
    from oncotrain.cluster.local import down

    down(named_cluster(site))


@cluster.command("status")
def status(site: NameOption = "centre") -> None:
    """Say which daemons run, and what HDFS and YARN say of their nodes."""
    from oncotrain.cluster.folder import named_cluster
    from oncotrain.cluster.local import status

    typer.echo("\n".join(status(named_cluster(site))))


@cluster.command("env")
def env(site: NameOption = "centre") -> None:
    """Print the variables with which spark-submit and oncotrain find the cluster, for `eval`."""
    from oncotrain.cluster.folder import named_cluster
    from oncotrain.cluster.submit import environment

    for name, value in environment(named_cluster(site)).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@cluster.command("spark-archive")
def spark_archive(to: Annotated[str, typer.Option(help="an HDFS folder, a URI")]) -> None:
    """Upload Spark's jars once, and print the URI for `spark.yarn.archive`."""
    from oncotrain.cluster.archive import upload_spark

    typer.echo(upload_spark(to))


@cluster.command("python-archive")
def python_archive(
    to: Annotated[Path, typer.Option(help="the .tar.gz to write")] = Path("dist/environment.tar.gz"),
    without: Annotated[list[str] | None, typer.Option(help="leave out of site-packages; may be given again")] = None,
) -> None:
    """Write this Python environment to an archive for `spark.archives`, and print what nodes need beside it."""
    from oncotrain.cluster.python_archive import write_python

    typer.echo(f"{to}: every node needs {write_python(to, without or ())}")


@cluster.command("jars")
def jars() -> None:
    """Fetch Hadoop's jars through Maven into the cache, and print their directory."""
    from oncotrain.cluster.jars import fetch_jars

    typer.echo(fetch_jars())
