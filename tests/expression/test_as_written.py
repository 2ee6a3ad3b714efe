"""Gene-set scores and binary responses: names as they are, classes as declared."""

import pandas as pd

from oncotrain.config.expression import Columns, GeneConfig, ResponseConfig
from oncotrain.expression.genes import resolve_genes
from oncotrain.expression.response import read_responses
from support.tables import Tables


def test_names_as_written_are_kept_and_a_repeated_one_reported() -> None:
    genes = resolve_genes(["b.2", "Th17 (set)", "b.2", ""], GeneConfig(namespace="as_written"), "scores.csv")
    assert genes.names == ("Th17 (set)", "b.2")
    assert genes.positions.tolist() == [1, 0]
    assert len(genes.refused) == 2


def test_classes_become_0_and_1_and_others_are_refused(tables: Tables) -> None:
    tables.response = pd.DataFrame(
        [("SAMPLE-0", "A", "R"), ("SAMPLE-1", "A", "NR"), ("SAMPLE-2", "A", "not evaluable")],
        columns=["sample", "drug", "label"],
    )
    _, _, path = tables.write()
    responses = read_responses(path, ResponseConfig(classes={"NR": 0, "R": 1}), Columns(value="label"))
    assert responses.table["value"].tolist() == [1, 0]
    assert [refusal.reason for refusal in responses.refused] == ["1 rows: label is none of NR, R"]
