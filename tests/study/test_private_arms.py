"""Private arms of a study: what each is trained from, and a small study with real processes at its sites."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession

from oncotrain.config import load_yaml
from oncotrain.config.privacy import ControlConfig
from oncotrain.config.study import ARMS, StudyConfig
from oncotrain.config.training import RunConfig
from oncotrain.errors import UserError
from oncotrain.federation.coordinator.conduct import arm_name
from oncotrain.lake.audit import read
from oncotrain.lake.filesystem import Lake
from oncotrain.study.compare import compare
from oncotrain.study.derive import arm_config
from oncotrain.training.accountant import PrivateSteps, epsilon
from support.datasets import write_samples
from support.lakes import make_lake

CLIENT = Path(__file__).parents[2] / "jobs" / "federated_client.py"
SITES = {"chu-grenoble": 30, "uz-leuven": 40}
PRIVACY = {"noise_multiplier": 1.0, "max_grad_norm": 1.0, "delta": 1e-5, "max_epsilon": 100.0}
SITE_PRIVACY = {"noise_multiplier": 4.0, "clipping_norm": 1.0, "delta": 1e-5, "max_epsilon": 10.0}
RUN: dict[str, Any] = {
    "task": {"name": "drug_response", "network": {"members": 1, "width": 16}},
    "split": {"name": "patients", "rule": {"rule": "random", "seed": 0, "validation": 0.2, "test": 0.3}},
    "train": {
        "steps": 12,
        "batch_size": 4,
        "optimizer": {"name": "adamw", "lr": 0.02},
        "validate_every": 6,
        "engine": "single",
        "ranks": 1,
        "privacy": PRIVACY,
    },
    "federated": {
        "rounds": 2,
        "local_steps": 3,
        "weighting": "equal",
        "min_patients": 1,
        "secure_aggregation": {"threshold": 2},
    },
}


def config(train: dict[str, Any] | None = None, federated: dict[str, Any] | None = None) -> RunConfig:
    changed = RUN | {"train": RUN["train"] | (train or {}), "federated": RUN["federated"] | (federated or {})}
    return RunConfig.model_validate(changed)


def test_each_arm_has_its_own_setting_and_no_other():
    for_patients, for_sites = config(), config({"privacy": None}, {"site_privacy": SITE_PRIVACY})
    for arm in ARMS:
        found = arm_config(for_sites if arm == "federated+sitedp" else for_patients, arm, "run.yaml")
        assert found.federated is not None
        settings = [found.train.privacy, found.federated.site_privacy, found.federated.secure_aggregation]
        assert sum(setting is not None for setting in settings) == ("+" in arm)
        assert arm_name(found.federated, found.train) == (f"{arm}:fedavg" if "federated" in arm else "federated:fedavg")
    control = arm_config(for_patients, "federated+control", "run.yaml").train
    assert isinstance(control.privacy, ControlConfig)
    private = arm_config(for_patients, "federated+dp", "run.yaml").train
    assert control.model_dump(exclude={"privacy"}) == private.model_dump(exclude={"privacy"})


def test_other_arms_are_those_of_a_study_without_private_ones():
    plain = config({"privacy": None}, {"secure_aggregation": None})
    for arm in ("centralized", "local", "federated"):
        assert arm_config(config(), arm, "run.yaml") == arm_config(plain, arm, "run.yaml") == plain


@pytest.mark.parametrize(
    ("arm", "key"),
    [
        ("federated+dp", "train.privacy"),
        ("federated+sitedp", "federated.site_privacy"),
        ("federated+secure", "federated.secure_aggregation"),
    ],
)
def test_an_arm_without_its_setting_is_refused(arm, key):
    plain = config({"privacy": {"control": True}}, {"secure_aggregation": None})
    with pytest.raises(UserError, match=rf"run\.yaml: key '{key}' is missing; the study's arm federated\+"):
        arm_config(plain, arm, "run.yaml")


@pytest.fixture(scope="module")
def study(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's file, beside the lakes of two sites and a centre."""
    folder = tmp_path_factory.mktemp("private-study")
    make_lake(folder / "centre")
    for seed, (site, patients) in enumerate(SITES.items()):
        lake = make_lake(folder / site)
        write_samples(spark, lake, site, patients=patients, seed=seed)
        limit = {"max_epsilon": 1000.0, "delta": 1e-5, "private_only": False}
        lake.write_atomic(yaml.safe_dump(limit).encode(), "audit", "privacy.yaml")
    (folder / "run.yaml").write_text(yaml.safe_dump(RUN))
    content = {
        "name": "private",
        "centre": str(folder / "centre"),
        "sites": {site: str(folder / site) for site in SITES},
        "arms": ["centralized", "local", "federated+dp", "federated+control", "federated+secure"],
        "bootstrap": 100,
        "cases": {"drug-response": {"config": "run.yaml", "margin": 0.05}},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    return folder / "study.yaml"


@pytest.fixture(scope="module")
def found(spark: SparkSession, study: Path) -> dict[str, Any]:
    compare(spark, load_yaml(study, StudyConfig), study, work=study.parent / "work", client=CLIENT)
    return json.loads(report(study, "report.json"))["cases"][0]


def report(study: Path, name: str) -> str:
    return (study.parent / "centre" / "runs" / "study-private" / name).read_text()


@pytest.mark.timeout(600)
def test_private_arms_are_trained_and_held_against_what_they_should(found):
    federated = ["federated+dp:fedavg", "federated+control:fedavg", "federated+secure:fedavg"]
    local = [f"local:{site}" for site in SITES]
    assert [arm["arm"] for arm in found["arms"]] == ["centralized", *local, *federated]
    pairs = [(each["arm"], each["against"]) for each in found["comparisons"]]
    assert pairs == [(arm, "centralized") for arm in [*local, *federated]] + [(federated[0], federated[1])]
    assert [figure["arm"] for figure in found["exchanged_figures"]] == federated
    recomputed = {arm["arm"]: arm["primary_by_seed"]["0"] for arm in found["arms"]}
    for figure in found["exchanged_figures"]:
        assert figure["value"] == pytest.approx(recomputed[figure["arm"]], abs=1e-9)


def test_epsilon_of_each_site_is_reported_for_the_private_arm_alone(found):
    guarantees = {arm["arm"]: arm["privacy"] for arm in found["arms"] if arm["privacy"]}
    assert list(guarantees) == ["federated+dp:fedavg"]
    patients = {site: count - round(0.3 * count) - round(0.2 * count) for site, count in SITES.items()}
    expected = {site: epsilon([PrivateSteps(4 / count, 1.0, 6)], 1e-5) for site, count in patients.items()}
    assert guarantees["federated+dp:fedavg"] == {"unit": "patient", "delta": 1e-5, "epsilon": pytest.approx(expected)}


def test_the_page_names_the_control_and_shows_epsilon(found, study):
    page = report(study, "report.html")
    [row] = [line for line in page.splitlines() if "nobody: it is the control" in line]
    assert "<td>federated+control:fedavg</td>" in row
    for spent in found["arms"][3]["privacy"]["epsilon"].values():
        assert f"<td>{spent:.3f}</td>" in page


@pytest.mark.usefixtures("found")
def test_the_secure_arm_hid_its_updates(study):
    for site in SITES:
        lines = [line["event"] for line in read(Lake((study.parent / site).as_uri()), site)]
        secure = [line for line in lines if "secure" in line.get("run", "")]
        assert [line["kind"] for line in secure].count("secagg_open") == 2
        assert not [line["kind"] for line in secure if line.get("model_out_sha256")]
        assert [line for line in lines if "control" in line.get("run", "") and line.get("model_out_sha256")]
