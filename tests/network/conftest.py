"""A coordinator and three hospitals, each in a network namespace: one with Hadoop, two with Spark's own cluster."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest
from pyspark.sql import SparkSession

from oncotrain.lake.filesystem import Lake
from support.datasets import write_samples, write_tiles
from support.hospital_hadoop import hospital_hadoop
from support.hospitals import COORDINATOR, Hospitals, hospitals
from support.lakes import make_lake
from support.parties import Party
from support.standalone import standalone

PATIENTS = {"chu-grenoble": 24, "uz-leuven": 30, "charite-berlin": 36}
HADOOP = "chu-grenoble"
GENES = 40


@pytest.fixture(scope="session")
def network() -> Iterator[Hospitals]:
    """The namespaces of this test run."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces, nftables and tcpdump need root")
    with hospitals(list(PATIENTS)) as network:
        yield network


@pytest.fixture(scope="session")
def lakes(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Lake]:
    """The hospitals' lakes on the local disk, with a small dataset of both use cases."""
    lakes = {}
    for seed, (site, patients) in enumerate(PATIENTS.items()):
        lakes[site] = make_lake(tmp_path_factory.mktemp("lakes") / site)
        write_samples(spark, lakes[site], site, patients=patients, genes=GENES, seed=seed)
        write_tiles(spark, lakes[site], site, patients=patients // 2, slides=2, tiles=2, seed=seed)
    return lakes


@pytest.fixture(scope="session")
def parties(
    network: Hospitals, lakes: Mapping[str, Lake], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Party]]:
    """Coordinator and hospitals, ready for their jobs."""
    root = tmp_path_factory.mktemp("parties")
    found = {COORDINATOR: Party(make_lake(root / "centre").uri, network.inside(COORDINATOR))}
    with ExitStack() as stack:
        for site, lake in lakes.items():
            prefix = network.inside(site)
            if site == HADOOP:
                hadoop = stack.enter_context(hospital_hadoop(root / site, prefix))
                found[site] = Party(hadoop.copy_lake(lake), prefix, "yarn", hadoop.variables, ranks=2)
            else:
                found[site] = Party(lake.uri, prefix, stack.enter_context(standalone(root / site, prefix)))
        yield found
