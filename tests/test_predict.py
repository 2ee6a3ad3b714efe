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
from oncotrain.tasks.drug_response.arrays import from_text
from oncotrain.tasks.drug_response.inputs import input_matrix
from oncotrain.tasks.drug_response.new_samples import read_new_samples
from oncotrain.tasks.drug_response.quantiles import normal_scores
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


@pytest.fixture(scope="module")
def in_batches(spark, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, str]:
    """A run of one site that takes off what is that site's."""
    lake = make_lake(tmp_path_factory.mktemp("batches"))
    write_samples(spark, lake, "chu-grenoble", patients=60, drugs=["cisplatin", "drug-1", "drug-2"], seed=1)
    config = run_config("drug_response").model_dump()
    config["task"] |= {"batch": {"by": "site", "method": "standardize"}, "normalization": "quantiles"}
    return lake, train_centralized(None, lake, RunConfig.model_validate(config), source="test")["run"]


def test_new_samples_are_a_batch_of_their_own_or_one_of_the_runs(in_batches, tmp_path: Path) -> None:
    """Measured otherwise they rank alike as a batch of their own, and not as if they were of the run's site."""
    lake, run = in_batches
    rows = list(open_dataset(lake, "samples").iterate(["sample", "expression"]))
    names, values = [row["sample"] for row in rows], np.stack([row["expression"] for row in rows])
    genes = RunDirectory(lake, run).read_json("plan.json")["genes"]

    def predicted(values: np.ndarray, **options: str) -> pd.DataFrame:
        pd.DataFrame(values, index=names[: len(values)], columns=genes).to_csv(tmp_path / "samples.csv")
        made = predict_samples(lake, run, str(tmp_path / "samples.csv"), None, tmp_path / "to.csv", 0.1, 0.9, **options)
        table = pd.read_csv(tmp_path / "to.csv").sort_values(["sample", "drug"])
        return table.assign(remarks=[tuple(made["remarks"])] * len(table))

    plain, moved = predicted(values), predicted(3 * values + 7)
    assert moved["response"].to_numpy() == pytest.approx(plain["response"].to_numpy(), abs=2e-3)
    assert plain["remarks"].iloc[0] == ()
    of_site = predicted(3 * values + 7, batch="chu-grenoble")
    assert np.abs(of_site["response"] - plain["response"]).max() > 0.05
    few = predicted(values[:3])
    assert few["remarks"].iloc[0] == ("fewer samples than make a batch (10): on the scale of all batches",)
    with pytest.raises(UserError, match="the run has no batch 'elsewhere'; it has chu-grenoble"):
        predicted(values, batch="elsewhere")


def test_a_run_without_batches_has_none_to_name(trained, matrix: pd.DataFrame, tmp_path: Path) -> None:
    lake, run = trained
    matrix.to_csv(tmp_path / "samples.csv")
    with pytest.raises(UserError, match="it was trained without"):
        predict_samples(lake, run, str(tmp_path / "samples.csv"), None, tmp_path / "to.csv", 0.1, 0.9, "chu-grenoble")


def test_a_gene_that_a_batch_of_new_samples_lacks_is_at_its_centre(in_batches, tmp_path: Path) -> None:
    lake, run = in_batches
    rows = list(open_dataset(lake, "samples").iterate(["expression"]))
    values = 5 + np.stack([row["expression"] for row in rows])
    plan = RunDirectory(lake, run).read_json("plan.json")
    lacking = pd.DataFrame(values, columns=plan["genes"]).drop(columns=plan["genes"][2])
    lacking.rename_axis("name").reset_index().astype({"name": str}).to_parquet(tmp_path / "lacking.parquet")
    new = read_new_samples(str(tmp_path / "lacking.parquet"), None, plan, 0.9)
    genes = input_matrix(new.rows, new.plan)[:, : len(plan["genes"])]
    assert new.filled == [plan["genes"][2]]
    mean = normal_scores(np.zeros((1, len(plan["genes"])), np.float32), from_text(plan["scores"]))
    assert genes[:, 2] == pytest.approx(np.full(len(rows), mean[0, 2]), abs=1e-5)
    assert np.delete(genes.mean(axis=0), 2) == pytest.approx(np.zeros(len(plan["genes"]) - 1), abs=0.15)
