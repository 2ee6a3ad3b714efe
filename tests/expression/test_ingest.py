from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from oncotrain.config import load_yaml, parse
from oncotrain.config.expression import ExpressionConfig
from oncotrain.errors import DataError, UserError
from oncotrain.expression.ingest import ingest_expression
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.manifest import dataset_versions
from oncotrain.lake.pseudonym import pseudonymize, site_key
from oncotrain.lake.quarantine import list_refused
from oncotrain.lake.withdrawal import WITHDRAWN, withdraw
from oncotrain.lake.writer import write_dataset
from support.lakes import make_lake
from support.tables import GENES, SAMPLES, Tables

CONFIGS = Path(__file__).parents[2] / "jobs" / "configs"
CONFIG: dict[str, Any] = {
    "columns": {"replicate": "replicate"},
    "clinical": {
        "tissue": {"type": "category", "categories": ["lung", "skin"]},
        "age": {"type": "number", "unit": "year", "min": 0, "max": 120},
    },
}
Ingest = Callable[..., dict[str, Any]]


@pytest.fixture
def ingest(spark: SparkSession, lake: Lake) -> Ingest:
    """Ingest three files into `lake`, with `CONFIG` and what a test changes in it."""

    def run(
        files: tuple[str, str, str], into: Lake = lake, part_bytes: int = 1 << 20, **changes: Any
    ) -> dict[str, Any]:
        config = parse(ExpressionConfig, CONFIG | changes, "test")
        return ingest_expression(spark, into, "chu-grenoble", *files, config, part_bytes=part_bytes)

    return run


def reasons(lake: Lake) -> dict[str, str]:
    return {refusal.source: refusal.reason for refusal in list_refused(lake, "samples")}


def named(lake: Lake, sample: str) -> str:
    return f"sample {pseudonymize(site_key(lake), 'sample', sample)}"


def test_dataset_holds_what_the_tables_say(ingest: Ingest, tables: Tables, lake: Lake) -> None:
    summary = ingest(tables.write())
    assert (summary["rows"], summary["responses"], summary["quarantined"]) == (7, 14, 0)
    dataset = open_dataset(lake, "samples")
    features = dataset.manifest.features
    assert features["genes"] == sorted(GENES)
    assert features["drugs"] == ["A", "B"]
    assert features["clinical"] == {
        "tissue": {"type": "category", "categories": ["lung", "skin"]},
        "age": {"type": "number", "unit": "year", "min": 0.0, "max": 120.0},
    }
    rows = list(dataset.iterate(list(dataset.schema.fields)))
    key = site_key(lake)
    for number, row in enumerate(rows):
        assert row["site"] == "chu-grenoble"
        assert row["sample"] == pseudonymize(key, "sample", SAMPLES[number])
        assert row["patient"] == pseudonymize(key, "patient", f"PATIENT-{number // 2}")
        np.testing.assert_array_equal(row["expression"], tables.expression.iloc[number][sorted(GENES)].to_numpy("f4"))
        assert row["drug"].tolist() == [0, 1]
        assert row["response"].tolist() == [2.5 if number == 0 else number + 1, number]  # A of sample 0: mean of 1, 4
    assert [row["clinical_tissue"] for row in rows] == ["lung", "skin", None, "lung", "skin", "lung", "skin"]
    assert [row["clinical_age"] for row in rows] == [41, 52, 63, None, 35, 28, 77]


def test_identifiers_are_nowhere_in_curated_bytes(ingest: Ingest, tables: Tables, lake: Lake) -> None:
    ingest(tables.write())
    identifying = [b"SAMPLE-", b"PATIENT-", b"Identifying"]
    files = [file for file in Path(lake.path("curated")).rglob("*") if file.is_file()]
    assert any(file.suffix == ".parquet" for file in files)
    for file in files:
        assert not [text for text in identifying if text in file.read_bytes()], file
    rows = list(open_dataset(lake, "samples").iterate(["site", "patient", "sample", "cohort", "part"]))
    assert not [text for text in identifying if text in repr(rows).encode()]


def test_unchanged_inputs_publish_nothing(ingest: Ingest, tables: Tables, lake: Lake) -> None:
    first = ingest(tables.write())
    again = ingest(tables.write())
    assert again["unchanged"]
    assert not first["unchanged"]
    assert (again["version"], again["sha256"]) == (first["version"], first["sha256"])
    changed = ingest(tables.write(), response={"replicates": "first"})
    assert (changed["version"], changed["unchanged"]) == ("v0002", False)
    assert lake.list("curated", "samples") == ["summary.json", "v0001", "v0002"]


def test_same_inputs_same_bytes_whatever_format_orientation_and_number_of_parts(
    ingest: Ingest, tables: Tables, lake: Lake, tmp_path: Path
) -> None:
    other = make_lake(tmp_path / "other")
    other.write_atomic(site_key(lake), "landing", "pseudonym.key")
    first = ingest(tables.write())
    assert ingest(tables.write(), into=other)["sha256"] == first["sha256"]
    files = open_dataset(lake, "samples").manifest.files
    for part_bytes, name, transposed in [(16, "m.tsv.gz", True), (2 << 20, "m.parquet", False)]:
        ingest(tables.write(name, transposed), part_bytes=part_bytes)
        assert open_dataset(lake, "samples").manifest.files == files


def test_bad_samples_are_refused_and_the_others_go_on(ingest: Ingest, tables: Tables, lake: Lake) -> None:
    table = tables.expression
    table.loc["SAMPLE-1", "KRAS"] = "n.d."
    tables.expression = table.rename(index={"SAMPLE-3": "SAMPLE-2", "SAMPLE-4": "STRANGE"})
    tables.samples.loc[5, "sample"] = "SAMPLE-6"
    summary = ingest(tables.write())
    assert reasons(lake) == {
        named(lake, "SAMPLE-1"): "expression of KRAS is 'n.d.'; every cell must be a finite number",
        named(lake, "SAMPLE-2"): "has 2 expression profiles; sample ids must be unique; "
        "has 2 responses but no accepted expression profile",
        named(lake, "SAMPLE-3"): "has no expression profile; has 2 responses but no accepted expression profile",
        named(lake, "SAMPLE-4"): "has no expression profile; has 2 responses but no accepted expression profile",
        named(lake, "STRANGE"): "has an expression profile but is not in the samples table",
        named(lake, "SAMPLE-5"): "has an expression profile but is not in the samples table; "
        "has 2 responses but is not in the samples table",
        named(lake, "SAMPLE-6"): "is 2 times in the samples table; sample ids must be unique",
    }
    assert (summary["rows"], summary["quarantined"]) == (1, 7)
    row = open_dataset(lake, "samples").read([0], ["sample"])[0]
    assert row["sample"] == pseudonymize(site_key(lake), "sample", "SAMPLE-0")


def test_a_response_for_an_unknown_sample_is_refused_with_its_reason(
    ingest: Ingest, tables: Tables, lake: Lake
) -> None:
    tables.response.loc[len(tables.response)] = ["STRANGE", "A", 1, 0.5]
    assert ingest(tables.write())["responses"] == 14
    assert reasons(lake) == {named(lake, "STRANGE"): "has 1 responses but is not in the samples table"}


def test_samples_of_a_patient_who_withdrew_do_not_come_back(
    spark: SparkSession, ingest: Ingest, tables: Tables, lake: Lake
) -> None:
    ingest(tables.write())
    patient = pseudonymize(site_key(lake), "patient", "PATIENT-1")
    withdraw(spark, lake, "chu-grenoble", patient)
    assert ingest(tables.write())["rows"] == 5
    tables.response["LN_IC50"] += 1
    summary = ingest(tables.write())
    assert (summary["rows"], summary["responses"], summary["quarantined"]) == (5, 10, 2)
    assert reasons(lake) == {named(lake, f"SAMPLE-{number}"): WITHDRAWN for number in (2, 3)}
    assert patient not in set(open_dataset(lake, "samples").index(["patient"])["patient"])


def test_a_consent_withdrawn_during_ingest_is_heeded(
    spark: SparkSession, ingest: Ingest, tables: Tables, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish(*args: Any, **options: Any) -> Any:
        with pytest.raises(DataError, match="no dataset holds this patient"):
            withdraw(spark, lake, "chu-grenoble", pseudonymize(site_key(lake), "patient", "PATIENT-1"))
        return write_dataset(*args, **options)

    monkeypatch.setattr("oncotrain.expression.ingest.write_dataset", publish)
    summary = ingest(tables.write())
    assert (summary["rows"], summary["version"]) == (5, "v0002")
    assert dataset_versions(lake, "samples") == ["v0002"]
    patient = pseudonymize(site_key(lake), "patient", "PATIENT-1")
    assert patient not in set(open_dataset(lake, "samples").index(["patient"])["patient"])


def test_corrected_inputs_leave_quarantine(ingest: Ingest, tables: Tables, lake: Lake) -> None:
    tables.samples["tissue"] = tables.samples["tissue"].replace("skin", "Skin")
    assert ingest(tables.write())["quarantined"] == 1
    assert list(reasons(lake)) == ["clinical tissue"]
    tables.samples["tissue"] = tables.samples["tissue"].replace("Skin", "skin")
    assert ingest(tables.write())["quarantined"] == 0
    assert reasons(lake) == {}


def test_a_sample_without_responses_is_a_row(ingest: Ingest, tables: Tables, lake: Lake) -> None:
    tables.response = tables.response[tables.response["sample"] != "SAMPLE-2"]
    assert ingest(tables.write())["rows"] == 7
    row = open_dataset(lake, "samples").read([2], ["drug", "response"])[0]
    assert (row["drug"].shape, row["drug"].dtype) == ((0,), np.int32)
    assert (row["response"].shape, row["response"].dtype) == ((0,), np.float32)


def test_a_site_takes_its_rows_of_a_shared_table(ingest: Ingest, tables: Tables, lake: Lake) -> None:
    tables.samples["owner"] = ["CHU Grenoble", "UZ/Leuven"] * 3 + ["CHU Grenoble"]
    columns = {"replicate": "replicate", "site": "owner"}
    summary = ingest(tables.write(), columns=columns)
    assert (summary["rows"], summary["responses"], summary["quarantined"]) == (4, 8, 0)
    assert "PATIENT-0" not in lake.read_text("landing", "pseudonyms.csv").replace("PATIENT-0\n", "", 1)
    tables.samples["owner"] = "UZ/Leuven"
    with pytest.raises(DataError, match="no row belongs to site 'chu-grenoble'; column 'owner' has: uz-leuven"):
        ingest(tables.write(), columns=columns)


def test_nothing_accepted_is_an_error_that_says_where_the_reasons_are(
    ingest: Ingest, tables: Tables, lake: Lake
) -> None:
    tables.expression["TP53"] = "high"
    with pytest.raises(DataError, match=r"no sample was accepted; the reasons are in .*quarantine/samples"):
        ingest(tables.write())
    assert len(reasons(lake)) == 7
    assert lake.list("curated") == []
    assert lake.list("_staging") == []


def test_genes_in_no_known_namespace_are_an_error(ingest: Ingest, tables: Tables, lake: Lake) -> None:
    tables.expression.columns = [f"{number}_at" for number in range(len(GENES))]
    with pytest.raises(DataError, match=r"expression\.csv: gene identifiers are in no known namespace"):
        ingest(tables.write())
    assert lake.list("curated") == []


def test_a_lake_that_is_not_laid_out_is_the_users_mistake(ingest: Ingest, tables: Tables, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="type: oncotrain layout apply"):
        ingest(tables.write(), into=Lake(f"file://{tmp_path}/nowhere"))


def test_constant_genes_are_counted(ingest: Ingest, tables: Tables) -> None:
    tables.expression["HLA-A"] = 3.5
    assert ingest(tables.write())["constant_genes"] == 1


def test_a_real_site_has_every_pair_of_the_response_table(spark: SparkSession, lake: Lake, shared_data: Path) -> None:
    folder = shared_data / "drug_response" / "cell_lines"
    files = [str(folder / name) for name in ("expression.parquet", "metadata.csv", "response_gdsc.parquet")]
    config = load_yaml(CONFIGS / "ingest_gdsc2_sites.yaml", ExpressionConfig)
    summary = ingest_expression(spark, lake, "kclb", *files, config)
    lines = pd.read_csv(folder / "metadata.csv", dtype=str).query("fed_site_repository == 'KCLB'")["cell_id"]
    response = pd.read_parquet(folder / "response_gdsc.parquet").query("study == 'GDSC2'")
    response = response[response["cell_id"].isin(lines)].astype({"cell_id": str, "drug": str})
    expected = response.groupby(["cell_id", "drug"])["LN_IC50"].mean().sort_values().to_numpy(np.float32)
    dataset = open_dataset(lake, "samples")
    judged = np.array(["[gdsc1]" not in drug for drug in dataset.manifest.features["drugs"]])
    found = np.concatenate([row["response"][judged[row["drug"]]] for row in dataset.iterate(["drug", "response"])])
    np.testing.assert_array_equal(np.sort(found), expected)
    assert (summary["rows"], summary["genes"], summary["drugs"], summary["quarantined"]) == (7, 2025, 664, 0)
