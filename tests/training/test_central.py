"""A run from the datasets of a lake to figures that its own directory can prove."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from oncotrain.config.training import RunConfig, SplitConfig
from oncotrain.errors import DataError, UserError
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.training import rank
from oncotrain.training.central import train_centralized
from oncotrain.training.recompute import recompute
from oncotrain.training.run import RunDirectory
from support.runs import copy_lake, last_parameters, run_config


@pytest.fixture
def lake(trained_on: Lake, tmp_path: Path) -> Lake:
    """A copy of the lake with both datasets."""
    return copy_lake(trained_on, tmp_path / "lake")


def train(lake: Lake, config: RunConfig) -> dict[str, Any]:
    return train_centralized(None, lake, config, source="test.yaml")


@pytest.mark.parametrize(("task", "samples_seen"), [("histology", 24 + 2 * 7), ("drug_response", 3 * 10)])
def test_a_run_leaves_what_its_figures_can_be_checked_against(lake, task, samples_seen):
    config = run_config(task)
    summary = train(lake, config)
    run = RunDirectory(lake, summary["run"])
    assert run.read_config() == config
    assert [point["step"] for point in run.read_metrics()] == [4, 6]
    assert summary["best_step"] in (4, 6)
    assert summary["samples_seen"] == samples_seen
    assert run.read_json("summary.json") == {"status": "done", **summary}
    again = recompute(lake, summary["run"])
    assert again == {"run": summary["run"], "figures": summary["figures"], "same": True}
    index = open_dataset(lake, summary["dataset"]["name"]).index(["patient", "part"])
    assert sorted(run.read_patients()) == sorted(set(index["patient"][index["part"] == "test"]))
    assert train(lake, config) == {"status": "done", **summary, "unchanged": True}


def test_figures_follow_from_the_saved_predictions(lake):
    run = RunDirectory(lake, train(lake, run_config("drug_response"))["run"])
    unit = Path(lake.list("runs", run.name, "predictions")[0]).stem
    run.write_prediction(unit, {"response": run.read_prediction(unit)["response"] + 1})
    assert not recompute(lake, run.name)["same"]
    Path(lake.path("runs", run.name, "predictions", f"{unit}.npz")).unlink()
    with pytest.raises(DataError, match=r"predictions/.*\.npz: is missing"):
        recompute(lake, run.name)
    with pytest.raises(UserError, match="has no run 'nothing'; there are: drug-response-"):
        recompute(lake, "nothing")


@pytest.mark.parametrize("task", ["histology", "drug_response"])
def test_an_interrupted_run_goes_on_to_the_same_end(lake, trained_on, tmp_path, monkeypatch, task):
    config = run_config(task, steps=8, validate_every=3)
    undisturbed = copy_lake(trained_on, tmp_path / "undisturbed")
    expected = train(undisturbed, config)
    validate = rank.validate
    calls = []

    def interrupted(*arguments: Any, **settings: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return validate(*arguments, **settings)

    monkeypatch.setattr(rank, "validate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(lake, config)
    summary = train(lake, config)
    assert len(calls) == 4, "the validation of step 3 is not repeated"
    assert summary["run"] == expected["run"]
    pairs = zip(last_parameters(lake, summary["run"]), last_parameters(undisturbed, expected["run"]), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    assert summary["figures"] == pytest.approx(expected["figures"], abs=0, nan_ok=True)
    assert [point["step"] for point in RunDirectory(lake, summary["run"]).read_metrics()] == [3, 6, 8]


def test_the_newest_checkpoints_are_kept(lake):
    run = RunDirectory(lake, train(lake, run_config("drug_response", steps=5, validate_every=1, keep=2))["run"])
    assert run.names("checkpoints") == ["best.pt", "step-000000004.pt", "step-000000005.pt"]


def test_training_ends_where_validation_gets_no_better(lake):
    """A rate so small that no later validation differs from the first one."""
    still = {"optimizer": {"name": "sgd", "lr": 1e-30}, "steps": 9, "validate_every": 1, "patience": 3}
    summary = train(lake, run_config("drug_response", **still))
    assert (summary["best_step"], summary["steps"], summary["samples_seen"]) == (1, 4, 20)
    assert [point["step"] for point in RunDirectory(lake, summary["run"]).read_metrics()] == [1, 2, 3, 4]


def test_one_pixel_changes_the_parameters(lake, trained_on, tmp_path):
    config = run_config("histology")
    changed = copy_lake(trained_on, tmp_path / "changed")
    dataset = open_dataset(changed, "tiles")
    path = Path(dataset.path(dataset.manifest.files[0]))
    footer, table = pq.ParquetFile(path).metadata, pq.read_table(path)
    field = dataset.schema.fields["pixels"]
    pixels = dataset.read([0], ["pixels"])[0]["pixels"].copy()
    pixels[5, 5, 0] ^= 64
    encoded = table.column("pixels").to_pylist()
    encoded[0] = bytes(field.codec.encode(field, pixels))
    column = pa.array(encoded, table.schema.field("pixels").type)
    table = table.set_column(table.schema.get_field_index("pixels"), table.schema.field("pixels"), column)
    with pq.ParquetWriter(path, table.schema) as writer:
        start = 0
        for group in range(footer.num_row_groups):
            writer.write_table(table.slice(start, footer.row_group(group).num_rows))
            start += footer.row_group(group).num_rows
    plan = RunDirectory(lake, train(lake, config)["run"])
    other = RunDirectory(changed, train(changed, config)["run"])
    assert plan.name == other.name, "the change is behind the manifest's back"
    pairs = zip(last_parameters(lake, plan.name), last_parameters(changed, other.name), strict=True)
    assert not all(np.array_equal(a, b) for a, b in pairs)


def test_a_lost_row_group_stops_training(lake):
    dataset = open_dataset(lake, "tiles")
    path = Path(dataset.path(dataset.manifest.files[-1]))
    parquet = pq.ParquetFile(path)
    kept = parquet.read_row_groups(list(range(parquet.metadata.num_row_groups - 1)))
    pq.write_table(kept, path)
    with pytest.raises(DataError, match=r"expected \d+ rows in row groups of .*, found") as raised:
        train(lake, run_config("histology"))
    assert raised.value.exit_code == 3


def test_a_split_is_frozen(lake):
    config = run_config("drug_response")
    train(lake, config)
    other = config.split.rule.model_copy(update={"seed": 1})
    changed = config.model_copy(update={"split": SplitConfig(name=config.split.name, rule=other)})
    with pytest.raises(UserError, match=r"test.yaml: key 'split.rule' differs from the rule that made"):
        train(lake, changed)
    missing = config.model_copy(update={"split": SplitConfig(name="nowhere")})
    with pytest.raises(UserError, match="has no split 'nowhere'"):
        train(lake, missing)


def test_a_part_without_rows_is_refused(lake):
    config = run_config("drug_response")
    rule = config.split.rule.model_copy(update={"validation": 0.0})
    config = config.model_copy(update={"split": SplitConfig(name="all-train", rule=rule)})
    with pytest.raises(DataError, match="split 'all-train' has no validation row"):
        train(lake, config)


def test_nothing_is_trained_privately_where_nothing_accounts_for_it(lake):
    with pytest.raises(UserError, match=r"test\.yaml: key 'train\.privacy' is for federated training"):
        train(lake, run_config("drug_response", privacy={"control": True}))
    assert lake.list("runs") == []
