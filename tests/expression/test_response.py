from collections import defaultdict
from pathlib import Path
from statistics import fmean, median

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncotrain.config.expression import Columns, ReplicateRule, ResponseConfig
from oncotrain.errors import DataError
from oncotrain.expression.response import read_responses, resolve_replicates
from support.tables import Tables

ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(1, 12), st.floats(-1e6, 1e6)), max_size=40
)
BY_HAND = {"mean": fmean, "median": median, "first": lambda values: values[0]}


@given(rows=ROWS, rule=st.sampled_from(list(BY_HAND)), numbered=st.booleans())
def test_replicates_become_one_value(
    rows: list[tuple[str, int, int, float]], rule: ReplicateRule, numbered: bool
) -> None:
    table = pd.DataFrame(rows, columns=["sample", "drug", "replicate", "value"])
    table["replicate"] = table["replicate"].astype(str)  # as it is read: '10' must come after '9'
    resolved = resolve_replicates(table if numbered else table.drop(columns="replicate"), rule)
    values = defaultdict(list)
    for sample, drug, _, value in sorted(rows, key=lambda row: row[2]) if numbered else rows:
        values[sample, drug].append(value)
    expected = {pair: BY_HAND[rule](found) for pair, found in sorted(values.items())}
    assert list(zip(resolved["sample"], resolved["drug"], strict=True)) == list(expected)
    assert resolved["value"].tolist() == pytest.approx(list(expected.values()), rel=1e-12, abs=1e-6)


def test_rows_are_selected_and_bad_ones_counted(tables: Tables) -> None:
    table = tables.response
    table["study"] = ["GDSC2"] * (len(table) - 1) + ["GDSC1"]
    table["LN_IC50"] = table["LN_IC50"].astype(object)
    table.loc[0, "LN_IC50"] = "inf"
    table.loc[1, "LN_IC50"] = "> 10"
    table.loc[2, "LN_IC50"] = None
    table.loc[3, "sample"] = None
    table.loc[4, "drug"] = "C"
    _, _, path = tables.write()
    config = ResponseConfig(rows={"study": "GDSC2"}, drugs=("A", "B"))
    responses = read_responses(path, config, Columns(replicate="replicate"))
    assert len(responses.table) == len(table) - 1 - 5
    assert [refusal.reason for refusal in responses.refused] == [
        "1 rows: no sample is named",
        "1 rows: the drug is not among the dataset's drugs",
        "3 rows: LN_IC50 is no finite number",
    ]
    assert read_responses(path, ResponseConfig(), Columns()).drugs == ("A", "B", "C")
    with pytest.raises(DataError, match=r"response\.csv: has no responses with study = GDSC9"):
        read_responses(path, ResponseConfig(rows={"study": "GDSC9"}), Columns())


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "response.tsv"
    path.write_text("sample\tdrug\tAUC\nS1\tA\t0.5\n")
    with pytest.raises(DataError, match=r"lacks column 'LN_IC50'; it has: sample, drug, AUC"):
        read_responses(str(path), ResponseConfig(), Columns())


def test_auxiliary_responses_are_drugs_of_their_own(tables: Tables) -> None:
    table = tables.response
    table["study"] = ["NEW"] * 5 + ["OLD"] * (len(table) - 5)
    _, _, path = tables.write()
    config = ResponseConfig(rows={"study": "NEW"}, auxiliary={"old": {"study": "OLD"}})
    responses = read_responses(path, config, Columns(replicate="replicate"))
    assert responses.drugs == ("A", "B", "A [old]", "B [old]")
    new = responses.table[responses.table["drug"] < 2]
    assert len(new) == 5
    assert len(responses.table) - len(new) == len(table) - 5
    with pytest.raises(DataError, match="has no responses with study = OLDER"):
        read_responses(path, ResponseConfig(auxiliary={"older": {"study": "OLDER"}}), Columns())
