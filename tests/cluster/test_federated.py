"""A hospital whose client is an application of its own YARN, in client mode, with two ranks in two containers."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession

from oncotrain.cluster.folder import Cluster
from oncotrain.federation.coordinator.conduct import conduct
from oncotrain.federation.coordinator.server import Coordinator, run_app
from oncotrain.federation.local import clients, key_of
from oncotrain.federation.wire.superlink import free_ports
from oncotrain.lake.audit import verify
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import apply_layout
from oncotrain.training.recompute import recompute
from support.coordinators import started
from support.datasets import write_samples
from support.faults import in_containers, wait
from support.fedavg import require_same_run
from support.federation import federated_config, loopback, open_workers
from support.hadoop import ROOT, driver_log, start, summary_in
from support.lakes import make_lake
from support.runs import copy_lake

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

ON_YARN, LOCAL = "uz-leuven", "chu-grenoble"


@pytest.fixture
def lakes(spark: SparkSession, tmp_path: Path) -> dict[str, Lake]:
    """Two hospitals' lakes on a disk, to be compared with."""
    lakes = {site: make_lake(tmp_path / site) for site in (ON_YARN, LOCAL)}
    for seed, (site, lake) in enumerate(lakes.items()):
        write_samples(spark, lake, site, patients=20, seed=seed)
    return lakes


@pytest.fixture
def hdfs_lake(cluster: Cluster, lakes: dict[str, Lake]) -> Lake:
    lake = Lake(f"{cluster.uri}/lakes/{ON_YARN}-federated")
    apply_layout(lake)
    root = Path(lakes[ON_YARN].root)
    for file in (file for file in (root / "curated").rglob("*") if file.is_file()):
        lake.write_atomic(file.read_bytes(), *file.relative_to(root).parts)
    return lake


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Coordinator]:
    with started(tmp_path / "work", free_ports(1)[0], [ON_YARN, LOCAL]) as server:
        yield server


def test_a_hospital_takes_part_from_its_own_yarn(
    cluster: Cluster, code: Path, lakes: dict[str, Lake], hdfs_lake: Lake, server: Coordinator, tmp_path: Path
) -> None:
    config, file = federated_config("drug_response"), tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    alike = {site: copy_lake(lake, tmp_path / "alike" / site) for site, lake in lakes.items()}
    centre, elsewhere = make_lake(tmp_path / "centre"), make_lake(tmp_path / "elsewhere")
    invitation = server.invitation
    key = key_of(invitation.folder, ON_YARN)
    options = [
        *("--lake", hdfs_lake.uri, "--site", ON_YARN, "--config", str(file), "--engine", "horovod", "--ranks", "2"),
        *("--superlink", invitation.address, "--root-certificates", str(invitation.authority)),
        *("--key", str(key), "--coordinator-key", str(invitation.audit_key)),
    ]
    client = start(cluster, "federated_client", options, mode="client", code=code)
    assert client.stdout is not None
    lines: list[str] = []
    reader = threading.Thread(target=lines.extend, args=(client.stdout,), daemon=True)
    reader.start()
    try:
        wait(lambda: any("ready: horovod, 2 ranks" in line for line in lines) or client.poll() is not None, 200)
        assert client.poll() is None, f"{''.join(lines[-40:])}\n{driver_log(cluster)}"
        containers = {process.environ()["CONTAINER_ID"] for process in in_containers(cluster, "HOROVOD_RANK")}
        assert len(containers) == 2, "each rank in a container of its own"
        staged = [Path(path).name for path in hdfs_lake.fs.find("/user")]
        assert any(name.endswith(".zip") for name in staged), "this is where a submission puts its files"
        assert key.name not in staged
        with clients(invitation, {LOCAL: lakes[LOCAL]}, file, ROOT / "jobs" / "federated_client.py") as local:
            summary = run_app(server, centre, config, "test.yaml", local.check)
        client.wait(60)
    finally:
        client.kill()
    reader.join(10)
    last = summary_in("".join(lines))
    assert (last["status"], last["engine"], last["ranks"]) == ("done", "horovod", 2)
    with loopback(open_workers(alike, config)) as group:
        expected = conduct(group, elsewhere, config, "test.yaml")
    require_same_run((centre, summary), (elsewhere, expected), config)
    verify(hdfs_lake, ON_YARN)
    assert recompute(hdfs_lake, summary["run"])["same"], "the site's predictions are in its own lake"
