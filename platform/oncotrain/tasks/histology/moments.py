"""What participants must share, what they sum over their training rows, and the plan that follows from both."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from oncotrain.errors import DataError, UserError
from oncotrain.slides.labels import INSTANCES
from oncotrain.tasks.histology.ids import renumber
from oncotrain.tasks.task import Plan, Row, Sums

KEYS = ("spacing", "tile", "classes")


def offered_contract(features: Mapping[str, Any]) -> dict[str, Any]:
    """The features that must be equal. Raises UserError if the dataset is not of kind tiles."""
    if features.get("kind") != "tiles":
        raise UserError(f"task histology needs a dataset of kind 'tiles'; found {features.get('kind')!r}")
    return {key: features[key] for key in KEYS}


def common_contract(contracts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The contract, if all are equal. Raises UserError naming the key and the values otherwise."""
    first = contracts[0]
    for key in KEYS:
        for contract in contracts[1:]:
            if contract[key] != first[key]:
                raise UserError(f"datasets differ in '{key}': {first[key]!r} and {contract[key]!r}")
    return first


def tile_moments(rows: Iterable[Row]) -> Sums:
    """Sums over tiles: of pixels (3,), their squares (3,) and their number (1,), where valid; nuclei and their area.

    Pixels are in 0..1. A nucleus that tiles cut counts once in each.
    """
    sums = {
        "sum": np.zeros(3),
        "square": np.zeros(3),
        "pixels": np.zeros(1),
        "nuclei": np.zeros(1),
        "area": np.zeros(1),
    }
    for row in rows:
        seen = row["pixels"][row["valid"] > 0] / 255
        sums["sum"] += seen.sum(0)
        sums["square"] += (seen**2).sum(0)
        sums["pixels"] += len(seen)
        ids, nuclei = renumber(row["instances"] * (row["labelled"] & INSTANCES > 0))
        sums["nuclei"] += len(ids)
        sums["area"] += np.count_nonzero(nuclei)
    return sums


def add_sums(parts: Sequence[Sums]) -> Sums:
    """The sums of the union."""
    return {key: np.sum([part[key] for part in parts], axis=0) for key in parts[0]}


def make_plan(contract: Mapping[str, Any], statistics: Sums) -> Plan:
    """The contract with `mean` and `std` of each channel (in 0..1) and `nucleus_area`, the mean in pixels.

    Raises DataError if there is no pixel or no labelled nucleus to learn from.
    """
    pixels, nuclei = statistics["pixels"][0], statistics["nuclei"][0]
    if not pixels or not nuclei:
        raise DataError(
            f"nothing to learn from: {pixels:.0f} valid pixels, {nuclei:.0f} labelled nuclei in training rows"
        )
    mean = statistics["sum"] / pixels
    deviation = np.sqrt(np.maximum(statistics["square"] / pixels - mean**2, 1e-4))
    return {
        **contract,
        "mean": mean.tolist(),
        "std": deviation.tolist(),
        "nucleus_area": float(statistics["area"][0] / nuclei),
    }
