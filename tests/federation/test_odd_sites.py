"""Sites that are unlike the others: seven lines, one class alone, a clinical column that is not recorded.

They do not break a run: it ends with figures that are numbers, and with a model to which every site has contributed.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import yaml

from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError
from oncotrain.federation.coordinator.conduct import conduct
from oncotrain.lake.audit import read
from oncotrain.lake.filesystem import Lake
from oncotrain.tasks.drug_response.arrays import from_text
from oncotrain.training.data import open_data
from oncotrain.training.run import RunDirectory
from support.datasets import write_samples
from support.fedavg import best_state
from support.federation import federated_config, loopback, open_workers
from support.lakes import make_lake

ODD = "kclb"


def odd_config(federated: Mapping[str, Any] | None = None, validation: float = 0.25, **task: Any) -> RunConfig:
    """With the ridge, so that all that a site may be asked for is asked."""
    config = federated_config("drug_response", federated).model_dump()
    config["task"] |= {"ridge": {"components": 5}, **task}
    config["split"]["rule"]["validation"] = validation
    return RunConfig.model_validate(config)


def run(sites: Mapping[str, Lake], centre: Lake, config: RunConfig) -> dict[str, Any]:
    """The summary of a run in which nothing is undefined: no figure, no number of the plan, no parameter."""
    with loopback(open_workers(sites, config)) as group:
        summary = conduct(group, centre, config, "test.yaml")
    assert None not in summary["figures"].values()
    assert None not in summary["validation"].values()
    assert set(summary["rounds_trained"].values()) == {2}
    plan = RunDirectory(centre, summary["run"]).read_json("plan.json")
    json.dumps(plan, allow_nan=False)
    assert all(np.isfinite(from_text(text)).all() for part in ("axes", "ridge") for text in plan[part].values())
    assert all(value.isfinite().all() for value in best_state(centre, summary, config).model.state_dict().values())
    return summary


@pytest.fixture
def with_seven(spark, sites, tmp_path) -> dict[str, Lake]:
    lake = make_lake(tmp_path / "sites" / ODD / "lake")
    write_samples(spark, lake, ODD, patients=7, seed=7)
    return {**sites, ODD: lake}


@pytest.mark.parametrize("validation", [1, 0])
def test_a_site_with_seven_lines_takes_part(validation, with_seven, centre):
    config = odd_config(validation=0.25 if validation else 0.08)
    assert len(open_data(with_seven[ODD], config, "test.yaml").split.validation) == validation
    summary = run(with_seven, centre, config)
    assert (summary["withheld"], summary["untested"]) == ([], [])
    tested = {site: RunDirectory(lake, summary["run"]).read_json("figures.json") for site, lake in with_seven.items()}
    assert summary["figures"]["pairs"] == sum(figures["pairs"] for figures in tested.values())


def test_below_the_runs_floor_it_trains_and_its_sums_stay(with_seven, centre):
    summary = run(with_seven, centre, odd_config({"min_patients": 5}))
    # chu-grenoble has four test patients.
    assert summary["withheld"] == ["chu-grenoble", ODD]
    sums = {"statistics", "fit", "validation"}
    asked = [line["event"] for line in read(with_seven[ODD], ODD) if line["event"]["kind"] in sums]
    assert {event["kind"] for event in asked} == sums
    assert not any(event["refusal"] for event in asked)


def test_below_its_own_floor_it_refuses_in_words(with_seven, centre, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("oncotrain"), "handlers", [caplog.handler])
    with_seven[ODD].write_atomic(yaml.safe_dump({"min_training_patients": 5}).encode(), "audit", "policy.yaml")
    with pytest.raises(DataError, match=f"query.contract: no answer from {ODD}; the logs there say why"):
        run(with_seven, centre, odd_config())
    messages = [record.getMessage() for record in caplog.records]
    assert any("min_training_patients is 5, training patients here: 4" in message for message in messages)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_site_with_one_class_only_takes_part(share, spark, centre, tmp_path):
    """Its own AUROC is undefined, and said to be; the others' and its patients together have one."""
    sites = {}
    for seed, site in enumerate(("gide", "hugo", ODD)):
        sites[site] = make_lake(tmp_path / "sites" / site / "lake")
        classes = (lambda values: np.full_like(values, share)) if site == ODD else lambda values: (values > 0) * 1.0
        write_samples(spark, sites[site], site, patients=30, drugs=["pd1"], responders=classes, seed=seed)
    summary = run(sites, centre, odd_config(outcome="binary"))
    assert set(summary["figures"]) == {"auroc", "auprc", "brier", "calibration_error"}
    alone = {
        site: RunDirectory(lake, summary["run"]).read_json("figures.json")["auroc"] for site, lake in sites.items()
    }
    assert alone.pop(ODD) is None
    assert None not in alone.values()


@pytest.mark.parametrize("missing", [("age",), ("sex", "age")])
def test_a_site_that_does_not_record_a_clinical_column_takes_part(missing, spark, sites, centre, tmp_path):
    lake = make_lake(tmp_path / "sites" / ODD / "lake")
    write_samples(spark, lake, ODD, patients=20, missing=missing, seed=7)
    without = run({**sites, ODD: lake}, centre, odd_config())
    plan = RunDirectory(centre, without["run"]).read_json("plan.json")
    assert plan["number_mean"][0] == pytest.approx(50, abs=15), "of those who record it"
