"""From raw files to the report on HDFS and YARN, every path hdfs://, with the driver in a container (cluster mode).

The tests build on each other and run in the order of this file; each job is submitted once.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from oncotrain.cluster.folder import Cluster
from oncotrain.demo.expression import write_tables
from oncotrain.demo.slides import write_slides
from oncotrain.lake.audit import read, verify
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.training.run import RunDirectory
from support.hadoop import ROOT, TRAINER, newest_logs, oncotrain, start, submit, summary_in, upload

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SITES = ("chu-grenoble", "uz-leuven")
CONFIGS = ROOT / "jobs" / "configs"

RUNS: dict[str, dict[str, Any]] = {
    "histology": {
        "task": {"name": "histology", "widths": [8, 16], "crop": 96, "decisions": {"foreground": [0.5]}},
        "split": {"name": "tiles", "rule": {"rule": "declared", "seed": 0, "validation": 0.4}},
        "train": {"steps": 8, "batch_size": 4, "validate_every": 4, "engine": "horovod", "ranks": 2},
        "federated": {"rounds": 2, "local_steps": 4, "min_patients": 1},  # a site has six
    },
    "drug_response": {
        "task": {"name": "drug_response", "network": {"members": 1, "width": 16}},
        "split": {"name": "patients", "rule": {"rule": "random", "seed": 0, "validation": 0.2, "test": 0.3}},
        "train": {"steps": 20, "batch_size": 8, "validate_every": 10, "engine": "horovod", "ranks": 2},
        "federated": {"rounds": 2, "local_steps": 10},
    },
}


@pytest.fixture(scope="module")
def lakes(cluster: Cluster, layout_file: Path) -> dict[str, Lake]:
    """Two hospitals' lakes and the centre's, which TRAINER may train in."""
    lakes = {name: Lake(f"{cluster.uri}/lakes/{name}") for name in (*SITES, "centre")}
    for name, lake in lakes.items():
        layout = ["--layout", str(layout_file)] if name == "centre" else []
        done = oncotrain(cluster, "layout", "apply", "--lake", lake.uri, *layout)
        assert done.returncode == 0, done.stderr
    home = lakes["centre"].fs
    home.makedirs(f"/user/{TRAINER}", exist_ok=True)
    home.client.set_owner(f"/user/{TRAINER}", TRAINER, TRAINER)
    return lakes


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory, lakes: dict[str, Lake]) -> dict[str, Path]:
    """Files that go with the submissions, each found by its name in the containers' working directory."""
    folder = tmp_path_factory.mktemp("configs")
    study = {
        "name": "cluster",
        "centre": lakes["centre"].uri,
        "sites": {site: lakes[site].uri for site in SITES},
        "arms": ["centralized", "local", "federated"],
        "bootstrap": 100,
        "cases": {name.replace("_", "-"): {"config": f"{name}.yaml", "margin": 0.05} for name in RUNS},
    }
    slides = yaml.safe_load((CONFIGS / "ingest_slides.yaml").read_text()) | {"tile": 256}
    contents = {**RUNS, "study": study, "ingest_slides": slides}
    for name, content in contents.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return {name: folder / f"{name}.yaml" for name in contents} | {
        "ingest_expression": CONFIGS / "ingest_expression.yaml"
    }


def summary_of(lake: Lake, dataset: str) -> dict[str, Any]:
    return json.loads(lake.read_text("curated", dataset, "summary.json"))


@pytest.mark.parametrize(("site", "mode"), list(zip(SITES, ("cluster", "client"), strict=True)))
def test_slides_are_ingested(
    cluster: Cluster, lakes: dict[str, Lake], configs: dict[str, Path], code: Path, tmp_path: Path, site: str, mode: Any
) -> None:
    manifest = write_slides(tmp_path, site, SITES.index(site), patients=6, size=512)
    inbox = upload(lakes[site], sorted(tmp_path.iterdir()), "landing", "inbox")
    config = configs["ingest_slides"]
    options = ["--lake", lakes[site].uri, "--site", site, "--manifest", f"{inbox}/{manifest.name}"]
    options += ["--config", config.name if mode == "cluster" else str(config)]
    output = submit(cluster, "ingest_slides", options, mode=mode, code=code, files=[config])
    summary = summary_of(lakes[site], "tiles")
    assert (summary["accepted"], summary["quarantined"]) == (6, 0)
    assert open_dataset(lakes[site], "tiles").rows == summary["rows"] > 0
    if mode == "client":
        assert summary_in(output).items() >= summary.items()


@pytest.mark.parametrize(("site", "mode"), list(zip(SITES, ("client", "cluster"), strict=True)))
def test_matrices_are_ingested(
    cluster: Cluster, lakes: dict[str, Lake], configs: dict[str, Path], code: Path, tmp_path: Path, site: str, mode: Any
) -> None:
    tables = write_tables(tmp_path, site, SITES.index(site), samples=40)
    inbox = upload(lakes[site], tables, "landing", "inbox")
    config = configs["ingest_expression"]
    options = [word for name, file in tables._asdict().items() for word in (f"--{name}", f"{inbox}/{file.name}")]
    options += ["--lake", lakes[site].uri, "--site", site]
    options += ["--config", config.name if mode == "cluster" else str(config)]
    submit(cluster, "ingest_expression", options, mode=mode, code=code, files=[config])
    assert summary_of(lakes[site], "samples")["rows"] == open_dataset(lakes[site], "samples").rows == 40


@pytest.mark.parametrize("mode", ["client", "cluster"])
def test_the_submitter_can_find_out_what_went_wrong(
    cluster: Cluster, lakes: dict[str, Lake], code: Path, mode: Any
) -> None:
    options = ["--from", lakes[SITES[0]].uri, "--to", lakes["centre"].uri, "--dataset", "nothing"]
    process = start(cluster, "pool", options, mode=mode, code=code, settings=["spark.yarn.maxAppAttempts=1"])
    output, _ = process.communicate(timeout=200)
    if mode == "cluster":  # as deploy/cluster.md says
        assert process.returncode == 1
        [output] = [log.read_text() for log in newest_logs(cluster) if log.match("container_*_000001/stdout")]
    last = summary_in(output)
    assert (last["status"], last["exit_code"]) == ("failed", 2)
    assert "nothing" in last["error"]
    assert mode == "cluster" or process.returncode == 2


@pytest.mark.parametrize("dataset", ["tiles", "samples"])
def test_datasets_are_pooled(cluster: Cluster, lakes: dict[str, Lake], code: Path, dataset: str) -> None:
    sources = [word for site in SITES for word in ("--from", lakes[site].uri)]
    options = [*sources, "--to", lakes["centre"].uri, "--dataset", dataset]
    submit(cluster, "pool", options, mode="cluster", code=code)
    pooled = open_dataset(lakes["centre"], dataset)
    assert pooled.rows == sum(open_dataset(lakes[site], dataset).rows for site in SITES)
    moved = summary_of(lakes["centre"], dataset)["bytes"]
    for site in SITES:
        verify(lakes[site], site)
        assert [line["event"]["bytes"] for line in read(lakes[site], site)][-1] == moved[site]


@pytest.mark.parametrize("task", RUNS)
def test_an_account_trains_that_may_not_read_landing(
    cluster: Cluster, lakes: dict[str, Lake], configs: dict[str, Path], code: Path, task: str
) -> None:
    config = configs[task]
    options = ["--lake", lakes["centre"].uri, "--config", config.name]
    submit(cluster, "centralized_train", options, mode="cluster", code=code, files=[config], user=TRAINER)
    (run,) = (name for name in lakes["centre"].list("runs") if name.startswith(task.replace("_", "-")))
    summary = RunDirectory(lakes["centre"], run).read_json("summary.json")
    assert (summary["status"], summary["engine"], summary["ranks"]) == ("done", "horovod", 2)
    assert lakes["centre"].fs.info(lakes["centre"].path("runs", run))["owner"] == TRAINER
    ran = [log for log in newest_logs(cluster) if "Finished task" in log.read_text()]
    assert len({log.parent for log in ran}) == 2, "each rank in a container of its own"


def test_the_study_is_compared(cluster: Cluster, lakes: dict[str, Lake], configs: dict[str, Path], code: Path) -> None:
    files = [configs["study"], *(configs[task] for task in RUNS), ROOT / "jobs" / "federated_client.py"]
    memory = ["spark.driver.memoryOverhead=2500m"]  # the sites' clients run in the driver's container
    options = ["--study", configs["study"].name]
    submit(cluster, "compare", options, mode="cluster", code=code, files=files, settings=memory)
    report = RunDirectory(lakes["centre"], "study-cluster")
    assert report.read_json("summary.json")["status"] == "done"
    assert {
        case["name"]: [arm["arm"] for arm in case["arms"]] for case in report.read_json("report.json")["cases"]
    } == {
        name.replace("_", "-"): ["centralized", *(f"local:{site}" for site in SITES), "federated:fedavg"]
        for name in RUNS
    }
    assert b"</html>" in report.read("report.html")
    finished = [name for name in lakes["centre"].list("runs") if "centralized" in name and "study" not in name]
    assert len(finished) == len(RUNS), "the centralized runs of before were taken as they are"
