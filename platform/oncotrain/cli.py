"""The `oncotrain` command: what surrounds the jobs. Training itself is submitted to Spark, see `jobs/`.

Commands import what they need when they run: the doctor must speak where a wheel is missing.
"""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from oncotrain.doctor import render, run_probes
from oncotrain.errors import DataError, UserError

LakeOption = Annotated[str, typer.Option(help="the lake's root: file:///path or hdfs://host:port/path")]
LayoutOption = Annotated[Path | None, typer.Option(help="a layout.yaml of your own; default: the installed one")]
NameOption = Annotated[str, typer.Option("--site", help="the cluster's name, such as centre or chu-grenoble")]
SiteOption = Annotated[str, typer.Option(help="the site whose audit is meant")]
WIDE = 180
"""Columns of a table that goes into a file or a pipe."""

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
layout = typer.Typer(no_args_is_help=True, help="Lay out a lake's zones, or say what differs.")
cluster = typer.Typer(no_args_is_help=True, help="A real Hadoop on this machine: HDFS and YARN, each daemon a JVM.")
audit = typer.Typer(no_args_is_help=True, help="What left a site, and whether that record is whole.")
app.add_typer(layout, name="layout")
app.add_typer(audit, name="audit")
app.add_typer(cluster, name="cluster")


def run() -> None:
    """Entry point: a user's mistake is a message and an exit code, not a traceback."""
    try:
        app()
    except UserError as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"error: {error}", style="red", markup=False)
        sys.exit(error.exit_code)


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
    console = _console()
    well = True
    for probe in run_probes(superlink, root_certificates, lake):
        console.print(render(probe))
        well &= probe.ok or probe.optional
    raise typer.Exit(0 if well else 1)


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


@layout.command("apply")
def layout_apply(lake: LakeOption, layout: LayoutOption = None) -> None:
    """Create the zones that are missing, correct modes, owners, ACLs and quotas; nothing is deleted."""
    from oncotrain.lake.filesystem import Lake
    from oncotrain.lake.layout import apply_layout, load_layout

    for line in apply_layout(Lake(lake), load_layout(layout)) or ["nothing to do"]:
        typer.echo(line)


@layout.command("check")
def layout_check(lake: LakeOption, layout: LayoutOption = None) -> None:
    """Say how the lake differs from its layout (exit code 3 if it does)."""
    from oncotrain.lake.filesystem import Lake
    from oncotrain.lake.layout import check_layout, load_layout

    differences = check_layout(Lake(lake), load_layout(layout))
    if differences:
        raise DataError("\n".join(differences))
    typer.echo("as laid out")


@app.command()
def dist(to: Annotated[Path, typer.Option(help="the zip to write")] = Path("dist/oncotrain.zip")) -> None:
    """Write the package as a zip for `spark-submit --py-files`: the same sources, the same bytes."""
    from oncotrain.cluster.code import write_code

    typer.echo(write_code(to))


@cluster.command("up")
def cluster_up(site: NameOption = "centre") -> None:
    """Start NameNode, 2 DataNodes, ResourceManager and 2 NodeManagers in clusters/SITE; no harm if they run."""
    from oncotrain.cluster.folder import named_cluster
    from oncotrain.cluster.local import status, up

    up(named_cluster(site))
    typer.echo("\n".join(status(named_cluster(site))))
    typer.echo(f'to submit to it: eval "$(oncotrain cluster env --site {site})"')


@cluster.command("down")
def cluster_down(site: NameOption = "centre") -> None:
    """End the cluster's daemons and containers, and remove its folder with all data."""
    from oncotrain.cluster.folder import named_cluster
    from oncotrain.cluster.local import down

    down(named_cluster(site))


@cluster.command("status")
def cluster_status(site: NameOption = "centre") -> None:
    """Say which daemons run, and what HDFS and YARN say of their nodes."""
    from oncotrain.cluster.folder import named_cluster
    from oncotrain.cluster.local import status

    typer.echo("\n".join(status(named_cluster(site))))


@cluster.command("env")
def cluster_env(site: NameOption = "centre") -> None:
    """Print the variables with which spark-submit and oncotrain find the cluster, for `eval`."""
    from oncotrain.cluster.folder import named_cluster
    from oncotrain.cluster.submit import environment

    for name, value in environment(named_cluster(site)).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@cluster.command("spark-archive")
def cluster_spark_archive(to: Annotated[str, typer.Option(help="an HDFS folder, a URI")]) -> None:
    """Upload Spark's jars once, and print the URI for `spark.yarn.archive`."""
    from oncotrain.cluster.archive import upload_spark

    typer.echo(upload_spark(to))


@cluster.command("jars")
def cluster_jars() -> None:
    """Fetch Hadoop's jars through Maven into the cache, and print their directory."""
    from oncotrain.cluster.jars import fetch_jars

    typer.echo(fetch_jars())


@audit.command("show")
def audit_show(
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
def audit_verify(
    lake: LakeOption,
    site: SiteOption,
    against: Annotated[str | None, typer.Option(help="the other side's lake, which keeps heads of this audit")] = None,
    public_key: Annotated[Path | None, typer.Option(help="SITE.key.pub: check the signatures of these heads")] = None,
) -> None:
    """Check the chain: an edited, removed or moved line is named (exit code 3).

    A cut tail, or lines written anew, show only --against what the other side keeps.
    """
    from oncotrain.federation.counterpart import verify_against
    from oncotrain.federation.heads import load_public_key
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


def _console() -> Console:
    return Console(soft_wrap=True, highlight=False)


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


overlap = typer.Typer(no_args_is_help=True, help="Find patients who are present at two sites, before splits are made.")
app.add_typer(overlap, name="overlap")
KeyOption = Annotated[Path, typer.Option("--study-key", help="the key file that the study's sites share")]


@overlap.command("key")
def overlap_key(to: Annotated[Path, typer.Option(help="the new key file")]) -> None:
    """Draw the study's key, mode 0600. One site does, and hands it to the other sites, never to the centre."""
    from oncotrain.lake.overlap import make_study_key

    make_study_key(to)


@overlap.command("tokens")
def overlap_tokens(
    lake: LakeOption, site: SiteOption, key: KeyOption, to: Annotated[Path, typer.Option(help="the file to hand over")]
) -> None:
    """Write a token for each patient of the site."""
    from oncotrain.lake.filesystem import Lake
    from oncotrain.lake.overlap import read_study_key, site_tokens

    to.write_text(site_tokens(Lake(lake), site, read_study_key(key)).model_dump_json(), encoding="utf-8")


@overlap.command("find")
def overlap_find(
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
