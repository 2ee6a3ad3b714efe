"""A split that leaks is not frozen: no arm trains on it, and the site's lake keeps nothing of it."""

import pytest

from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError
from oncotrain.lake.filesystem import Lake
from oncotrain.training.central import train_centralized
from support.datasets import write_samples
from support.federation import open_worker
from support.runs import run_config


@pytest.fixture
def config() -> RunConfig:
    return run_config("drug_response")


def test_a_response_copied_into_a_gene_stops_training(spark, lake: Lake, config: RunConfig) -> None:
    write_samples(spark, lake, "uz-leuven", patients=40, leak=True)
    words = r"split 'drug-response-patients' would leak: gene ENSG00000000000 copies the response to afatinib\."
    with pytest.raises(DataError, match=words):
        train_centralized(None, lake, config, source="test.yaml")
    assert (lake.list("splits"), lake.list("runs")) == ([], [])


def test_nor_does_a_site_take_part(spark, lake: Lake, config: RunConfig) -> None:
    write_samples(spark, lake, "uz-leuven", patients=40, leak=True)
    federated = RunConfig.model_validate(config.model_dump() | {"federated": {"rounds": 2}})
    with pytest.raises(DataError, match="would leak"):
        open_worker("uz-leuven", lake, federated)
