"""The layout on a real HDFS: quotas, ACLs, and who may enter what."""

import subprocess
import sys
from pathlib import Path

import pytest

from oncotrain.cluster.folder import Cluster
from oncotrain.cluster.submit import environment
from oncotrain.lake.filesystem import Lake
from support.hadoop import TRAINER, oncotrain

pytestmark = pytest.mark.cluster

ENTER = """
import sys
from oncotrain.lake.filesystem import Lake
lake = Lake(sys.argv[1])
for zone in ("landing", "quarantine", "curated", "runs"):
    for what, attempt in (("read", lambda: lake.list(zone)), ("write", lambda: lake.write_atomic(b"x", zone, "file"))):
        try:
            attempt()
            print(zone, what)
        except PermissionError:
            pass
"""


@pytest.fixture(scope="module")
def lake(cluster: Cluster, layout_file: Path) -> Lake:
    """Laid out by the superuser, with entries for TRAINER."""
    lake = Lake(f"{cluster.uri}/lakes/laid-out")
    done = oncotrain(cluster, "layout", "apply", "--lake", lake.uri, "--layout", str(layout_file))
    assert done.returncode == 0, done.stderr
    return lake


def run(code: str, uri: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Python `code` with the argument `uri` in a process of its own, as another account or with another HDFS."""
    return subprocess.run([sys.executable, "-c", code, uri], env=variables, capture_output=True, text=True, check=False)


def check(cluster: Cluster, lake: Lake, layout: Path) -> tuple[int, str]:
    done = oncotrain(cluster, "layout", "check", "--lake", lake.uri, "--layout", str(layout))
    return done.returncode, done.stdout + done.stderr


def test_what_differs_is_said_and_corrected(cluster: Cluster, lake: Lake, layout_file: Path) -> None:
    assert check(cluster, lake, layout_file) == (0, "as laid out\n")
    lake.fs.client.remove_acl(lake.path("runs"))
    lake.fs.client.set_permission(lake.path("landing"), 0o755)
    code, output = check(cluster, lake, layout_file)
    assert code == 3
    assert f"{lake.path('runs')}: ACL is empty, should be user:{TRAINER}:rwx" in output
    assert f"{lake.path('landing')}: mode is 0755, should be 0700" in output
    oncotrain(cluster, "layout", "apply", "--lake", lake.uri, "--layout", str(layout_file))
    assert check(cluster, lake, layout_file) == (0, "as laid out\n")


def test_the_account_that_trains_enters_what_it_needs_and_no_more(cluster: Cluster, lake: Lake) -> None:
    done = run(ENTER, lake.uri, environment(cluster, TRAINER))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["curated read", "runs read", "runs write"]


def test_an_account_that_is_not_the_superuser_is_told_whom_to_ask(cluster: Cluster) -> None:
    home = Lake(f"{cluster.uri}/lakes/steward")
    home.fs.makedirs(home.root)
    home.fs.client.set_owner(home.root, "steward", "steward")
    home.fs.client.set_permission("/lakes", 0o755)
    done = oncotrain(cluster, "layout", "apply", "--lake", home.uri, user="steward")
    assert done.returncode == 0, done.stderr
    assert f"hdfs dfsadmin -setSpaceQuota 20480g {home.path('landing')}" in done.stdout
    for command in ("apply", "check"):
        done = oncotrain(cluster, "layout", command, "--lake", home.uri, user="stranger")
        assert done.returncode == 2
        assert "Permission denied: user=stranger" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_nameservice_finds_the_namenode_that_answers(cluster: Cluster, lake: Lake, tmp_path: Path) -> None:
    properties = {
        "dfs.nameservices": "oncology",
        "dfs.ha.namenodes.oncology": "nn1,nn2",
        "dfs.namenode.rpc-address.oncology.nn1": "127.0.0.1:1",
        "dfs.namenode.rpc-address.oncology.nn2": cluster.address("namenode"),
    }
    lines = [f"<property><name>{name}</name><value>{value}</value></property>" for name, value in properties.items()]
    (tmp_path / "hdfs-site.xml").write_text(f"<configuration>{''.join(lines)}</configuration>")
    (tmp_path / "core-site.xml").write_text("<configuration/>")
    code = "import sys; from oncotrain.lake.filesystem import Lake; print(*Lake(sys.argv[1]).list())"
    done = run(code, "hdfs://oncology/lakes/laid-out", {**environment(cluster), "HADOOP_CONF_DIR": str(tmp_path)})
    assert done.stdout.split() == lake.list(), done.stderr
