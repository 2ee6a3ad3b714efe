"""A sum over few patients of a site stays there: one drug's responses, in statistics, validation and test."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
import yaml

from oncotrain.config.training import RunConfig
from oncotrain.federation.coordinator.agreement import collect_offers
from oncotrain.federation.coordinator.conduct import conduct
from oncotrain.federation.wire.parcel import Parcel
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.split import Part
from oncotrain.tasks import create_task
from oncotrain.training.data import open_data
from oncotrain.training.run import RunDirectory
from support.datasets import write_samples
from support.federation import federated_config, loopback, open_workers
from support.lakes import make_lake

FLOOR = 4
SITE = "rennes"


@pytest.fixture
def rarely_tested(spark, tmp_path) -> dict[str, Lake]:
    """Drugs that half of the patients were tested with, so that some cells are below the floor and others are not."""
    lakes = {}
    for seed, site in enumerate((SITE, "angers")):
        lakes[site] = make_lake(tmp_path / "sites" / site / "lake")
        write_samples(spark, lakes[site], site, patients=36, drugs=list("abcdefgh"), observed=0.35, seed=seed)
    return lakes


def cells(sites: Mapping[str, Lake], config: RunConfig, part: Part) -> dict[str, Counter[int]]:
    """Tested patients of each drug, by site."""
    counted = {}
    for site, lake in sites.items():
        data = open_data(lake, config, "test.yaml")
        rows = data.dataset.read(data.rows(part), ("drug",))
        counted[site] = Counter(int(drug) for row in rows for drug in row["drug"])
    return counted


def test_figures_are_of_cells_of_enough_patients(rarely_tested, centre):
    config = federated_config("drug_response", {"min_patients": FLOOR})
    with loopback(open_workers(rarely_tested, config)) as group:
        summary = conduct(group, centre, config, "test.yaml")
    assert summary["withheld"] == []
    for part in ("validation", "test"):
        counts = [n for site in cells(rarely_tested, config, part).values() for n in site.values()]
        large = sum(n for n in counts if n >= FLOOR)
        told = (summary["figures"] if part == "test" else summary["validation"])["pairs"]
        assert told == large < sum(counts)
    for site, lake in rarely_tested.items():
        kept = RunDirectory(lake, summary["run"]).read_json("figures.json")["pairs"]
        assert kept == cells(rarely_tested, config, "test")[site].total(), "the site itself has all"


def test_statistics_are_of_cells_of_enough_patients_by_the_sites_own_floor(rarely_tested):
    config = federated_config("drug_response", {"min_patients": 2})
    rarely_tested[SITE].write_atomic(yaml.safe_dump({"min_patients": 6}).encode(), "audit", "policy.yaml")
    with loopback(open_workers(rarely_tested, config)) as group:
        group.run = "test"
        task = create_task(config.task, "test.yaml")
        offers = collect_offers(group, config, "test.yaml").values()
        contract = task.agree([offer.body["contract"] for offer in offers])
        answers = group.ask_all("query.statistics", Parcel({"contract": contract}))
    for site, counted in cells(rarely_tested, config, "train").items():
        floor = 6 if site == SITE else 2
        told = [n if n >= floor else 0 for n in (counted[drug] for drug in range(8))]
        assert answers[site].sums["response/n"].tolist() == told
        silent = np.array(told) == 0
        assert not any(answers[site].sums[f"response/{part}"][silent].any() for part in ("total", "squares"))
    assert 0 in answers[SITE].sums["response/n"]
