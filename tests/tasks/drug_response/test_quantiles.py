"""Normal scores from histograms: sites as their pooled rows, the error within what is stated, small cells not told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata
from sklearn.preprocessing import QuantileTransformer

from oncotrain.tasks import create_task
from oncotrain.tasks.drug_response.arrays import from_text
from oncotrain.tasks.drug_response.inputs import input_matrix, standardized
from oncotrain.tasks.drug_response.quantiles import BINS, LIMIT, WIDTH, histogram, normal_scores, score_table, withhold
from oncotrain.tasks.drug_response.task import DrugResponse
from support.samples import GENES, agreed_plan, sample_rows

DRUGS = ("afatinib", "bosutinib")


@pytest.fixture
def task() -> DrugResponse:
    return create_task({"name": "drug_response", "normalization": "quantiles"}, "test.yaml")


def skewed(samples: int, seed: int) -> list[dict]:
    rows = sample_rows(DRUGS, samples, seed)
    return [{**row, "expression": np.exp(row["expression"] * 0.7)} for row in rows]


def test_sites_get_the_scores_of_their_pooled_rows(task: DrugResponse) -> None:
    rows = skewed(200, 1)
    sites, pooled = agreed_plan(task, DRUGS, [rows[:20], rows[20:90], rows[90:]]), agreed_plan(task, DRUGS, [rows])
    assert [fit.name for fit in task.fits] == ["quantiles"]
    assert from_text(sites["scores"]).shape == (len(GENES), BINS + 1)
    # Moments of parts differ from those of all in their last digits: a value at a bin's edge may change sides.
    assert input_matrix(rows, sites) == pytest.approx(input_matrix(rows, pooled), abs=1e-6)


def test_a_skewed_gene_becomes_normal(task: DrugResponse) -> None:
    rows = skewed(2000, 2)
    plan = agreed_plan(task, DRUGS, [rows])
    scores = input_matrix(rows, plan)
    values = np.stack([row["expression"] for row in rows])
    exact = QuantileTransformer(output_distribution="normal", n_quantiles=2000, subsample=None).fit_transform(values)
    assert np.abs(ndtr(scores) - ndtr(exact)).max() < histogram(standardized(rows, plan)[0]).max() / len(rows)
    assert np.abs(scores - exact)[np.abs(exact) < 2.5].mean() < 0.01
    assert np.abs((scores**3).mean(axis=0)).max() < 0.3 < np.abs(((values - values.mean(0)) ** 3).mean(axis=0)).min()


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 400), heavy=st.floats(0.5, 4.0))
def test_ranks_are_off_by_less_than_a_bins_share(seed: int, rows: int, heavy: float) -> None:
    rng = np.random.default_rng(seed)
    genes = np.sign(draws := rng.normal(size=(rows, 3))) * np.abs(draws) ** heavy
    counts = histogram(genes)
    assert counts.sum(axis=1).tolist() == [rows] * 3
    scores = normal_scores(genes.astype(np.float32), score_table(histogram(genes.astype(np.float32))))
    for column in range(3):
        own = rankdata(genes[:, column])
        low, high = (
            ndtri((np.clip(own + sign * (counts[column].max() + 1), 0, rows) + 0.5) / (rows + 1)) for sign in (-1, 1)
        )
        assert (scores[:, column] >= low - 1e-5).all()
        assert (scores[:, column] <= high + 1e-5).all()
        order = np.argsort(genes[:, column])
        assert (np.diff(scores[order, column]) >= -1e-6).all(), "scores keep the order"


def test_a_constant_gene_scores_zero_and_what_lies_beyond_the_edge_its_score(task: DrugResponse) -> None:
    rows = skewed(50, 3)
    for row in rows:
        row["expression"][4] = 2.5
    plan = agreed_plan(task, DRUGS, [rows])
    assert input_matrix(rows, plan)[:, 4] == pytest.approx(np.zeros(50), abs=1e-6)
    table = from_text(plan["scores"])
    far = normal_scores(np.float32([[-1e6] * len(GENES), [1e6] * len(GENES)]), table)
    assert far.tolist() == table[:, [0, -1]].T.tolist()
    assert (BINS % 2, pytest.approx(2 * LIMIT)) == (1, BINS * WIDTH)


@given(
    counts=st.lists(st.integers(0, 9), min_size=BINS + 2, max_size=BINS + 2),
    enough=st.integers(1, 30),
)
def test_cells_of_few_rows_are_told_with_others(counts: list[int], enough: int) -> None:
    exact = np.array([counts], float)
    told = withhold(exact, enough)
    assert ((told == 0) | (told >= enough)).all()
    if exact.sum() < enough:
        assert not told.any()
        return
    assert told.sum() == exact.sum()
    missing = exact.cumsum() - told.cumsum()
    last = np.flatnonzero(told[0])[-1]
    assert (missing[:last] >= 0).all()
    assert (missing[:last] < enough).all()
    assert -enough < missing[last:].min() <= missing[last:].max() <= 0
    if enough == 1:
        assert told.tolist() == exact.tolist()


def test_the_floor_holds_for_patients_not_rows(task: DrugResponse) -> None:
    rows = [{**row, "patient": f"p{number // 2}"} for number, row in enumerate(skewed(60, 5))]
    plan = agreed_plan(task, DRUGS, [rows])
    (fit,) = task.fits
    counts = fit.sums(plan, rows, 5)["counts"]
    assert counts[counts > 0].min() >= 10, "ten rows are of five patients"
    assert counts.sum(axis=1).tolist() == [60] * len(GENES)
