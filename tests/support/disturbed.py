"""A federated run that something happens to, held against one that nothing happened to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from oncotrain.config.training import RunConfig
from oncotrain.federation.audit.counterpart import verify_against
from oncotrain.federation.identity.keys import load_public_key, public_half
from oncotrain.federation.local import key_of
from oncotrain.lake.audit import read
from oncotrain.lake.filesystem import Lake
from support.datasets import write_samples
from support.federation import federated_config
from support.lakes import make_lake
from support.parties import COORDINATOR, Federation

PATIENTS = {"chu-grenoble": 200, "uz-leuven": 160, "charite-berlin": 240}
ROUNDS = 14


def long_rounds() -> RunConfig:
    """Rounds of some seconds, in the middle of which something can happen, and enough of them to get over it."""
    federated = {"rounds": ROUNDS, "local_steps": 60, "min_sites": 2, "largest_update": 5, "min_patients": 5}
    optimizer = {"name": "adamw", "lr": 0.005, "weight_decay": 0.1}
    return federated_config("drug_response", federated, batch_size=32, optimizer=optimizer, precision="float32")


def write_lakes(spark: SparkSession, folder: Path) -> dict[str, Lake]:
    """The sites' lakes, to be copied."""
    lakes = {}
    for seed, (site, patients) in enumerate(PATIENTS.items()):
        lakes[site] = make_lake(folder / site)
        write_samples(spark, lakes[site], site, patients=patients, seed=seed)
    return lakes


def require_undisturbed(federation: Federation, undisturbed: Mapping[str, Any]) -> dict[str, Any]:
    """The run's summary. Fails where a job did not end well, the primary figure is more than 0.01 from that of the
    undisturbed run, or an account of what was said lacks anything that the other side has of it."""
    summaries = {party: job.ended() for party, job in federation.jobs.items()}
    assert {summary["status"] for summary in summaries.values()} == {"done"}, summaries
    summary = summaries[COORDINATOR]
    assert summary["steps"] == undisturbed["steps"]
    primary = "r2_per_drug"
    assert summary["figures"][primary] == pytest.approx(undisturbed["figures"][primary], abs=0.01)
    require_same_accounts(federation)
    return summary


def require_same_accounts(federation: Federation) -> None:
    """Each chain is whole, has every head that the other side kept of it, and a line for every round trained."""
    folder, lakes = federation.invitation.folder, {party: Lake(each.lake) for party, each in federation.parties.items()}
    for site in federation.sites:
        assert verify_against(lakes[site], site, lakes[COORDINATOR], load_public_key(public_half(key_of(folder, site))))
        assert verify_against(
            lakes[COORDINATOR], COORDINATOR, lakes[site], load_public_key(federation.invitation.audit_key)
        )
        rounds = {line["event"]["round"] for line in read(lakes[site], site) if line["event"].get("kind") == "train"}
        noted = {
            line["event"]["round"]
            for line in read(lakes[COORDINATOR], COORDINATOR)
            if line["event"].get("kind") == "train" and line["event"].get("site") == site
        }
        assert rounds <= noted, "every answer was to a request that the coordinator noted"
