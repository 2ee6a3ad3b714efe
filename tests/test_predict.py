"""`oncotrain predict drug-response` on a run trained here: ranks, intervals, genes filled or too many missing."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from oncotrain.cli import app
from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError, UserError
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.predict import predict_samples
from oncotrain.training.central import train_centralized
from oncotrain.training.run import RunDirectory
from support.datasets import write_samples
from support.lakes import make_lake
from support.runs import run_config


@pytest.fixture(scope="module")
def trained(spark, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, str]:
    lake = make_lake(tmp_path_factory.mktemp("predict"))
    write_samples(spark, lake, "chu-grenoble", patients=40, drugs=["cisplatin", "drug-1", "drug-2"], seed=1)
    return lake, train_centralized(None, lake, run_config("drug_response"), source="test")["run"]


@pytest.fixture
def matrix(trained: tuple[Lake, str]) -> pd.DataFrame:
    """The test patients' own profiles, under new names, samples as rows."""
    lake, run = trained
    dataset = open_dataset(lake, "samples")
    keys = sorted(RunDirectory(lake, run).names("predictions"))
    rows = {f"{row['sample']}.npz": row for row in dataset.iterate(["sample", "expression"])}
    values = np.stack([rows[key]["expression"] for key in keys])
    genes = RunDirectory(lake, run).read_json("plan.json")["genes"]
    return pd.DataFrame(values, index=[f"new-{at}" for at in range(len(keys))], columns=genes)


def test_drugs_are_ranked_with_intervals_in_any_orientation(trained, matrix: pd.DataFrame, tmp_path: Path) -> None:
    lake, run = trained
    matrix.iloc[:, ::-1].to_csv(tmp_path / "rows.csv")
    matrix.T.to_csv(tmp_path / "columns.tsv.gz", sep="\t")
    tables = []
    for name in ("rows.csv", "columns.tsv.gz"):
        arguments = [
            "--lake",
            lake.uri,
            "--run",
            run,
            "--samples",
            str(tmp_path / name),
            "--to",
            str(tmp_path / "to.csv"),
        ]
        result = CliRunner().invoke(app, ["predict", "drug-response", *arguments], catch_exceptions=False)
        summary = json.loads(result.stdout)
        assert (summary["samples"], summary["drugs"], summary["filled"]) == (len(matrix), 3, [])
        tables.append(pd.read_csv(tmp_path / "to.csv"))
    pd.testing.assert_frame_equal(*tables)
    for _, table in tables[0].groupby("sample"):
        assert table["rank"].tolist() == [1, 2, 3]
        assert table["relative"].is_monotonic_increasing
        assert (table["low"] < table["response"]).all()
        assert (table["response"] < table["high"]).all()


def test_a_missing_gene_is_named_and_filled_with_its_mean(trained, matrix: pd.DataFrame, tmp_path: Path) -> None:
    lake, run = trained
    plan = RunDirectory(lake, run).read_json("plan.json")
    lacking, filled = tmp_path / "lacking.parquet", tmp_path / "filled.parquet"
    gene = matrix.columns[1]
    matrix.drop(columns=gene).rename_axis("name").reset_index().to_parquet(lacking)
    matrix.assign(**{gene: np.float32(plan["gene_mean"][1])}).rename_axis("name").reset_index().to_parquet(filled)
    made = [tmp_path / "a.csv", tmp_path / "b.csv"]
    summary = predict_samples(lake, run, str(lacking), None, made[0], 0.9, 0.9)
    predict_samples(lake, run, str(filled), None, made[1], 0.9, 0.9)
    assert summary["filled"] == [gene]
    assert made[0].read_text() == made[1].read_text()
    share = 1 / len(matrix.columns)
    with pytest.raises(DataError, match=rf"lacks 1 of the model's {len(matrix.columns)} genes .*such as {gene}"):
        predict_samples(lake, run, str(lacking), None, made[0], 0.9 * share, 0.9)


def test_what_cannot_be_predicted_is_said(trained, matrix: pd.DataFrame, tmp_path: Path) -> None:
    lake, run = trained
    file = tmp_path / "samples.csv"
    pd.concat([matrix, matrix.iloc[:1]]).to_csv(file)
    with pytest.raises(DataError, match="1 samples are there more than once"):
        predict_samples(lake, run, str(file), None, tmp_path / "to.csv", 0.1, 0.9)
    bad = matrix.astype(object)
    bad.iloc[2] = "high"
    bad.to_csv(file)
    with pytest.raises(DataError, match=r"sample 'new-2': expression of .* is 'high'"):
        predict_samples(lake, run, str(file), None, tmp_path / "to.csv", 0.1, 0.9)
    matrix.add_prefix("unknown-").to_csv(file)
    with pytest.raises(DataError, match="none of the model's"):
        predict_samples(lake, run, str(file), None, tmp_path / "to.csv", 0.1, 0.9)
    with pytest.raises(UserError, match="has no run 'absent'"):
        predict_samples(lake, "absent", str(file), None, tmp_path / "to.csv", 0.1, 0.9)


def test_a_run_that_tells_responders_ranks_no_drugs(spark, tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    write_samples(spark, lake, "gide", patients=40, drugs=["pd1"], responders=lambda values: (values > 0) * 1.0)
    config = run_config("drug_response").model_dump()
    config["task"] |= {"outcome": "binary"}
    run = train_centralized(None, lake, RunConfig.model_validate(config), source="test")["run"]
    with pytest.raises(UserError, match="tells responders; ranks and intervals are of a continuous outcome"):
        predict_samples(lake, run, "samples.csv", None, tmp_path / "to.csv", 0.1, 0.9)


def test_clinical_values_count_and_bad_ones_are_remarked(trained, matrix: pd.DataFrame, tmp_path: Path) -> None:
    lake, run = trained
    file, clinical = tmp_path / "samples.csv", tmp_path / "clinical.csv"
    matrix.to_csv(file)
    pd.DataFrame({"sample": matrix.index, "sex": "female", "age": ["500"] + ["30"] * (len(matrix) - 1)}).to_csv(
        clinical, index=False
    )
    made = [tmp_path / "a.csv", tmp_path / "b.csv"]
    predict_samples(lake, run, str(file), None, made[0], 0.1, 0.9)
    summary = predict_samples(lake, run, str(file), str(clinical), made[1], 0.1, 0.9)
    assert made[0].read_text() != made[1].read_text()
    assert len(summary["remarks"]) == 1
    assert "'500'" in summary["remarks"][0]
