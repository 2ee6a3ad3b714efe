"""What MLflow has of a run, asked through its own client, on a real store."""

from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from oncotrain import __version__
from oncotrain.errors import UserError
from oncotrain.lake.filesystem import Lake
from oncotrain.training import rank
from oncotrain.training.central import train_centralized
from oncotrain.training.run import RunDirectory
from support.runs import copy_lake, run_config


@pytest.fixture
def store(tmp_path: Path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)  # where MLflow puts the files beside a local store
    return f"sqlite:///{tmp_path}/mlflow.db"


def test_a_run_is_shown_with_its_validations_and_files(trained_on: Lake, tmp_path, store):
    lake = copy_lake(trained_on, tmp_path / "lake")
    config = run_config("drug_response")
    summary = train_centralized(None, lake, config, source="test.yaml", tracking=store)
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("drug_response")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["train.optimizer.lr"] == str(config.train.optimizer.lr)
    assert run.data.tags["dataset_sha256"] == summary["dataset"]["sha256"]
    assert run.data.tags["code_version"] == __version__
    shown = {metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, "loss")}
    assert shown == {point["step"]: point["loss"] for point in RunDirectory(lake, summary["run"]).read_metrics()}
    assert run.data.metrics["test_rmse"] == summary["figures"]["rmse"]
    assert {artifact.path for artifact in client.list_artifacts(run.info.run_id)} == {
        "config.yaml",
        "plan.json",
        "figures.json",
        "summary.json",
    }


def test_what_is_known_of_drugs_is_one_parameter(trained_on: Lake, tmp_path, store):
    drugs = {f"({number}Z)-drug, {number}": [f"target {number}", "pathway x"] for number in range(300)}
    config = run_config("drug_response", steps=1, validate_every=1)
    config = config.model_copy(update={"task": {**config.task, "terms": drugs}})
    train_centralized(None, copy_lake(trained_on, tmp_path / "lake"), config, source="test.yaml", tracking=store)
    client = MlflowClient(tracking_uri=store)
    [run] = client.search_runs([client.get_experiment_by_name("drug_response").experiment_id])
    assert run.data.params["task.terms"].startswith('{"(0Z)-drug, 0": ["target 0", "pathway x"]')
    assert len([name for name in run.data.params if name.startswith("task.terms")]) == 1


def test_a_resumed_run_is_one_run(trained_on: Lake, tmp_path, store, monkeypatch):
    lake = copy_lake(trained_on, tmp_path / "lake")
    config = run_config("drug_response", steps=3, validate_every=1)
    validate, calls = rank.validate, []

    def interrupted(*arguments, **settings):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return validate(*arguments, **settings)

    monkeypatch.setattr(rank, "validate", interrupted)
    client = MlflowClient(tracking_uri=store)
    with pytest.raises(KeyboardInterrupt):
        train_centralized(None, lake, config, source="test.yaml", tracking=store)
    number = client.get_experiment_by_name("drug_response").experiment_id
    [killed] = client.search_runs([number])
    assert killed.info.status == "KILLED"
    train_centralized(None, lake, config, source="test.yaml", tracking=store)
    [run] = client.search_runs([number])
    assert (run.info.run_id, run.info.status) == (killed.info.run_id, "FINISHED")
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "loss")] == [1, 2, 3]


def test_a_server_that_is_not_there_is_named(trained_on: Lake, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    lake = copy_lake(trained_on, tmp_path / "lake")
    server = "http://ada:lovelace@127.0.0.1:1"
    with pytest.raises(UserError, match=r"MLflow at http://127.0.0.1:1 cannot be used \(.*--tracking ''") as raised:
        train_centralized(None, lake, run_config("drug_response"), source="test.yaml", tracking=server)
    assert "lovelace" not in str(raised.value)


def test_a_server_that_falls_silent_costs_the_run_nothing(trained_on: Lake, tmp_path, store, monkeypatch):
    def refuse(*_arguments, **_options):
        raise MlflowException("gone")

    monkeypatch.setattr(MlflowClient, "log_batch", refuse)
    lake = copy_lake(trained_on, tmp_path / "lake")
    summary = train_centralized(None, lake, run_config("drug_response"), source="test.yaml", tracking=store)
    assert RunDirectory(lake, summary["run"]).read_json("summary.json")["status"] == "done"
