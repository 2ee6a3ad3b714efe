from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from oncotrain.demo.expression import DRUGS, GENES, GENES_AS_ROWS, write_tables

SITES = ("chu-grenoble", "uz-leuven", "charite-berlin")
TRAIN = 50
Hospitals = dict[str, tuple[pd.DataFrame, pd.DataFrame]]


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> Hospitals:
    """Site -> expression (samples, genes) and mean LN_IC50 (samples, drugs)."""
    tables = {}
    for seed, site in enumerate(SITES):
        files = write_tables(tmp_path_factory.mktemp(site), site, seed)
        expression = pd.read_csv(files.expression, index_col=0)
        expression = expression.T if site in GENES_AS_ROWS else expression
        response = pd.read_csv(files.response).groupby(["sample_id", "drug"])["LN_IC50"].mean().unstack()
        tables[site] = (expression, response.reindex(expression.index))
    return tables


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    files = [write_tables(tmp_path / name, "chu-grenoble", seed, 12) for name, seed in [("a", 1), ("b", 1), ("c", 2)]]
    content = [[path.read_bytes() for path in tables] for tables in files]
    assert content[0] == content[1]
    assert all(first != other for first, other in zip(content[0], content[2], strict=True))


def test_some_values_are_missing_and_some_measured_twice(tmp_path: Path) -> None:
    files = write_tables(tmp_path, "chu-grenoble", 0)
    samples, response = pd.read_csv(files.samples), pd.read_csv(files.response)
    assert (samples[["tissue", "sex", "age"]].isna().mean().between(0.02, 0.25)).all()
    assert samples[["sample_id", "patient_id", "surname"]].notna().all().all()
    assert samples["sample_id"].is_unique
    assert samples["patient_id"].nunique() == 68
    observed = response.groupby(["sample_id", "drug"]).size()
    assert 0.6 < len(observed) / (75 * len(DRUGS)) < 0.8
    assert 0.05 < (observed == 2).mean() < 0.25


def test_hospitals_differ_by_a_batch_effect(hospitals: Hospitals) -> None:
    means = pd.DataFrame({site: expression.mean() for site, (expression, _) in hospitals.items()})
    within = pd.concat([expression - expression.mean() for expression, _ in hospitals.values()]).std()
    assert means.shape == (GENES, 3)
    shift = means.std(axis=1) / within
    assert 0.3 < shift.mean() < 1.0


def test_hospitals_learn_from_each_other(hospitals: Hospitals) -> None:
    """A linear model explains most of what a drug's mean cannot, and more with all hospitals' patients than one's."""
    pooled = _explained(hospitals, SITES)
    local = [_explained(hospitals, (site,)) for site in SITES]
    assert pooled > 0.7
    assert max(local) + 0.08 < pooled
    assert min(local) > 0.4


def _explained(hospitals: Hospitals, sites: tuple[str, ...]) -> float:
    """R2 over the drug's mean, on the last samples of every hospital, averaged over drugs."""
    profiles = pd.concat([hospitals[site][0][:TRAIN] for site in sites])
    responses = pd.concat([hospitals[site][1][:TRAIN] for site in sites])
    test_profiles = pd.concat([expression[TRAIN:] for expression, _ in hospitals.values()])[profiles.columns]
    test_responses = pd.concat([response[TRAIN:] for _, response in hospitals.values()])
    figures = []
    for drug in DRUGS:
        seen, wanted = responses[drug].dropna(), test_responses[drug].dropna()
        model = make_pipeline(StandardScaler(), Ridge(100))
        predicted = model.fit(profiles.loc[seen.index], seen).predict(test_profiles.loc[wanted.index])
        figures.append(1 - ((predicted - wanted) ** 2).sum() / ((wanted - seen.mean()) ** 2).sum())
    return float(np.mean(figures))
