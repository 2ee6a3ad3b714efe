from pathlib import Path

import pytest

from oncotrain.config.expression import GeneConfig
from oncotrain.errors import DataError, UserError
from oncotrain.expression.genes import detect_namespace, resolve_genes

ENSEMBL = ["ENSG00000141510.18", "ENSG00000146648.21", "ENSG00000133703"]


@pytest.mark.parametrize(
    ("identifiers", "namespace"),
    [
        (["TP53", "HLA-A", "C1orf112", "MT-CO1", "RP11-34P13.7"], "symbol"),
        (ENSEMBL, "ensembl"),
        (["7157", "1956", "3845"], "entrez"),
        (["TP53"] * 9 + ["something else"], "symbol"),
    ],
)
def test_namespace_is_detected(identifiers: list[str], namespace: str) -> None:
    assert detect_namespace(identifiers, "m.csv") == namespace


@pytest.mark.parametrize("identifiers", [["1007_s_at", "1053_at"], ["TP53", "7157"], [], ["gene 1", "gene 2"]])
def test_no_known_namespace_is_an_error_with_examples(identifiers: list[str]) -> None:
    with pytest.raises(
        DataError, match=r"m\.csv: gene identifiers are in no known namespace \(ensembl, entrez, symbol\)"
    ):
        resolve_genes(identifiers, GeneConfig(), "m.csv")


def test_all_genes_are_sorted_and_left_out_ones_reported() -> None:
    identifiers = [*["TP53", "KRAS", "TP53", "EGFR"], *(f"GENE{number}" for number in range(20)), "not a gene"]
    genes = resolve_genes(identifiers, GeneConfig(), "m.csv")
    assert genes.names == tuple(sorted(set(identifiers) - {"not a gene"}))
    assert [identifiers[position] for position in genes.positions] == list(genes.names)
    assert genes.positions[genes.names.index("TP53")] == 0
    reasons = {refusal.reason for refusal in genes.refused}
    assert reasons == {
        "1 identifiers such as 'not a gene': no symbol is known for them",
        "1 identifiers such as 'TP53': repeat a gene, of which the first is taken",
    }


def test_agreed_genes_keep_their_order_and_must_be_there(tmp_path: Path) -> None:
    identifiers = ["A1BG", "TP53", "KRAS"]
    listed = tmp_path / "genes.txt"
    listed.write_text("TP53\nA1BG\n")
    for config in (GeneConfig(list=("TP53", "A1BG")), GeneConfig(file=str(listed))):
        genes = resolve_genes(identifiers, config, "m.csv")
        assert (genes.names, genes.positions.tolist()) == (("TP53", "A1BG"), [1, 0])
    with pytest.raises(DataError, match=r"m\.csv: lacks 1 of 2 agreed genes, such as EGFR"):
        resolve_genes(identifiers, GeneConfig(list=("TP53", "EGFR")), "m.csv")


def test_ensembl_versions_are_stripped() -> None:
    genes = resolve_genes([*ENSEMBL, "ENSG00000141510.17"], GeneConfig(namespace="ensembl"), "m.csv")
    assert genes.names == ("ENSG00000133703", "ENSG00000141510", "ENSG00000146648")
    assert "'ENSG00000141510.17': repeat a gene" in genes.refused[0].reason


def test_another_namespace_is_translated_by_a_given_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"identifiers are ensembl, the dataset's are symbol; key 'genes\.table'"):
        resolve_genes(ENSEMBL, GeneConfig(), "m.csv")
    table = tmp_path / "genes.csv"
    table.write_text("symbol,ensembl,entrez\nTP53,ENSG00000141510,7157\nEGFR,ENSG00000146648,\n")
    genes = resolve_genes(ENSEMBL, GeneConfig(table=str(table)), "m.csv")
    assert (genes.names, genes.positions.tolist()) == (("EGFR", "TP53"), [1, 0])
    assert "'ENSG00000133703': no symbol is known" in genes.refused[0].reason
