"""A Hadoop that asks for Kerberos: in comes who has a ticket or a keytab, and the jobs that YARN runs for them."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from oncotrain.cluster.folder import Cluster
from oncotrain.cluster.kdc import add_account, keytab_of
from oncotrain.cluster.processes import processes_of
from oncotrain.cluster.submit import environment
from oncotrain.demo.expression import write_tables
from oncotrain.doctor.connections import asks_for_kerberos, kerberos
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake, exclusive
from oncotrain.training.run import RunDirectory
from support.hadoop import ROOT, TRAINER, oncotrain, own_hadoop, submit, upload

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """HDFS and YARN with a KDC; this process is HDFS's superuser, by its keytab, and there is an account TRAINER."""
    if not shutil.which("kinit"):
        pytest.skip("no Kerberos here: apt-get install krb5-kdc krb5-admin-server krb5-user")
    with own_hadoop(tmp_path_factory.mktemp("kerberos") / "secure", kerberos=True) as cluster:
        add_account(cluster, TRAINER)
        fs = Lake(f"{cluster.uri}/lakes").fs
        for home in ("/lakes/trained", f"/user/{TRAINER}"):
            fs.makedirs(home)
            fs.client.set_owner(home, TRAINER, TRAINER)
        yield cluster
    assert not processes_of(cluster.folder)


@pytest.fixture(scope="module")
def lake(secure: Cluster) -> Lake:
    """TRAINER's own lake."""
    lake = Lake(f"{secure.uri}/lakes/trained")
    done = oncotrain(secure, "layout", "apply", "--lake", lake.uri, user=TRAINER)
    assert done.returncode == 0, done.stderr
    return lake


def without_keytab(*call: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command of somebody without a keytab, whose tickets, if there are any, are where `variables` say."""
    without = {name: value for name, value in os.environ.items() if name != "KRB5_CLIENT_KTNAME"}
    return subprocess.run(call, env={**without, **variables}, capture_output=True, text=True, timeout=120)


def layout(command: str, uri: str, tickets: str) -> subprocess.CompletedProcess[str]:
    """`oncotrain layout` with what the ticket cache holds."""
    program = Path(sys.executable).with_name("oncotrain")
    return without_keytab(program, "layout", command, "--lake", uri, KRB5CCNAME=tickets)


def kinit(cluster: Cluster, account: str, cache: Path, *options: str) -> str:
    """Fetch a ticket into `cache`, and return the cache's name."""
    call = ["kinit", "-c", f"FILE:{cache}", "-kt", str(keytab_of(cluster, account)), *options, account]
    subprocess.run(call, check=True, env={**os.environ, **environment(cluster)})
    return f"FILE:{cache}"


@pytest.mark.parametrize("command", ["apply", "check"])
def test_who_has_no_ticket_is_told_what_to_type(secure: Cluster, tmp_path: Path, command: str) -> None:
    done = layout(command, f"{secure.uri}/lakes/refused", f"FILE:{tmp_path / 'none'}")
    assert done.returncode == 2
    assert "No Kerberos credentials available" in done.stderr
    assert "type: kinit, or let KRB5_CLIENT_KTNAME name a keytab" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("secure")
def test_the_doctor_says_so_too(tmp_path: Path) -> None:
    assert asks_for_kerberos()
    assert kerberos().ok
    code = "from oncotrain.doctor.connections import kerberos; print(kerberos())"
    done = without_keytab(sys.executable, "-c", code, KRB5CCNAME=f"FILE:{tmp_path / 'none'}")
    assert "ok=False" in done.stdout
    assert "type: kinit" in done.stdout


def test_a_ticket_is_enough_until_it_expires(secure: Cluster, tmp_path: Path) -> None:
    uri = f"{secure.uri}/lakes/by-ticket"
    owner = os.environ["HADOOP_USER_NAME"]
    tickets = kinit(secure, owner, tmp_path / "tickets")
    done = layout("apply", uri, tickets)
    assert done.returncode == 0, done.stderr
    assert f"/lakes/by-ticket: mode 0700, owner {owner}" in done.stdout
    assert "/lakes/by-ticket/landing: space quota 20480 GiB" in done.stdout, "Java has taken the ticket too"
    done = layout("check", uri, tickets)
    assert (done.returncode, done.stdout) == (0, "as laid out\n"), done.stderr
    tickets = kinit(secure, owner, tmp_path / "short", "-l", "1s")
    time.sleep(2)
    done = layout("check", uri, tickets)
    assert done.returncode == 2
    assert "Ticket expired; type: kinit" in done.stderr


def test_an_account_is_the_one_of_its_keytab_and_not_whom_it_says(secure: Cluster, lake: Lake) -> None:
    trainer = {**environment(secure, TRAINER), "HADOOP_USER_NAME": os.environ["HADOOP_USER_NAME"]}
    code = (
        "import sys; from oncotrain.lake.filesystem import Lake; Lake(sys.argv[1]).write_atomic(b'x', 'runs', 'file')"
    )
    own, other = (
        subprocess.run([sys.executable, "-c", code, uri], env=os.environ | trainer, capture_output=True, text=True)
        for uri in (lake.uri, f"{secure.uri}/lakes/by-ticket")
    )
    assert own.returncode == 0, own.stderr
    assert lake.fs.info(lake.path("runs", "file"))["owner"] == TRAINER
    assert f"Permission denied: user={TRAINER}" in other.stderr


def test_files_and_locks(secure: Cluster) -> None:
    lake = Lake(f"{secure.uri}/lakes/files")
    for content in (b"old", os.urandom(3_000_000)):
        lake.write_atomic(content, "audit", "file")
        assert lake.read_bytes("audit", "file") == content
    with exclusive(lake.fs, lake.path("audit", "lock")):
        assert lake.list("audit") == ["file", "lock"]


def test_yarn_runs_jobs_for_who_hands_over_a_keytab(secure: Cluster, lake: Lake, code: Path, tmp_path: Path) -> None:
    keytab = [f"spark.kerberos.principal={TRAINER}", f"spark.kerberos.keytab={keytab_of(secure, TRAINER)}"]
    how = {"code": code, "user": TRAINER, "settings": keytab}
    tables = write_tables(tmp_path, "uz-leuven", 1, samples=40)
    inbox = upload(lake, tables, "landing", "inbox")
    config = ROOT / "jobs" / "configs" / "ingest_expression.yaml"
    options = [word for name, file in tables._asdict().items() for word in (f"--{name}", f"{inbox}/{file.name}")]
    options += ["--lake", lake.uri, "--site", "uz-leuven", "--config", str(config)]
    submit(secure, "ingest_expression", options, mode="client", **how)
    dataset = open_dataset(lake, "samples")
    assert len(list(dataset.iterate(["expression", "response"]))) == dataset.rows == 40

    config = tmp_path / "run.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "task": {"name": "drug_response", "network": {"members": 1, "width": 16}},
                "split": {"name": "patients", "rule": {"rule": "random", "seed": 0, "validation": 0.2, "test": 0.3}},
                "train": {"steps": 4, "batch_size": 4, "validate_every": 4, "engine": "horovod", "ranks": 2},
            }
        )
    )
    # Tokens know the NameNode by its address; this lake names it.
    named = lake.uri.replace("127.0.0.1", "localhost")
    options = ["--lake", named, "--config", config.name]
    submit(secure, "centralized_train", options, mode="cluster", files=[config], **how)
    [run] = [name for name in lake.list("runs") if name.startswith("drug-response")]
    summary = RunDirectory(lake, run).read_json("summary.json")
    assert (summary["status"], summary["ranks"]) == ("done", 2)
    assert lake.fs.info(lake.path("runs", run))["owner"] == TRAINER
