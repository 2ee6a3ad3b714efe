# ruff: noqa: ARG002 (the task's verbs have the seam's arguments, needed or not)
"""A dataset in memory and a tiny task on it: the smallest thing that `fit` and the evaluation can work on."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch

from oncotrain.errors import DataError
from oncotrain.tasks import Plan, Row, Sums

FEATURES = {"kind": "vectors", "width": 4}


class MemoryDataset:
    """What training uses of `oncotrain.lake.dataset.Dataset`, over a list of rows."""

    def __init__(self, rows: Sequence[Row], group_sizes: Sequence[int], features: Mapping[str, Any] = FEATURES) -> None:
        self.uri = "memory://rows"
        self.manifest = SimpleNamespace(features=features)
        self.group_sizes = tuple(group_sizes)
        self.rows = len(rows)
        self.lost: set[int] = set()
        self._rows = list(rows)

    def index(self, columns: Sequence[str]) -> pd.DataFrame:
        return pd.DataFrame([{column: row[column] for column in columns} for row in self._rows])

    def load(self, rows: Sequence[int], columns: Sequence[str]) -> None:
        """They are in memory."""

    def read(self, rows: Sequence[int], columns: Sequence[str]) -> list[Row]:
        if self.lost & set(rows):
            raise DataError("memory://rows: a row is missing")
        return [{column: self._rows[row][column] for column in columns} for row in rows]

    def iterate(self, columns: Sequence[str], rows: Sequence[int] | None = None) -> Iterator[Row]:
        yield from self.read(range(self.rows) if rows is None else sorted(rows), columns)


class VectorTask:
    """Predict the sine of a projection; one patient has several rows, some without a label (NaN)."""

    name = "vectors"
    dataset = "vectors"
    columns = ("patient", "visit", "x", "y")
    unit = ("patient", "visit")
    primary = "minus_mse"
    metrics = ("minus_mse",)
    fits = ()

    def contract(self, features: Mapping[str, Any]) -> dict[str, Any]:
        return dict(features)

    def agree(self, contracts: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return contracts[0]

    def adapt(self, features: Mapping[str, Any], agreed: Mapping[str, Any]) -> Callable[[Row], Row]:
        assert features["width"] == agreed["width"]
        return lambda row: row

    def statistics(self, contract: Mapping[str, Any], rows: Iterable[Row], floor: int) -> Sums:
        x = np.stack([row["x"] for row in rows])
        return {"n": np.array([len(x)], dtype=np.float64), "sum": x.sum(axis=0)}

    def merge_statistics(self, parts: Sequence[Sums]) -> Sums:
        return {key: np.sum([part[key] for part in parts], axis=0) for key in parts[0]}

    def plan(self, contract: Mapping[str, Any], statistics: Sums) -> Plan:
        return {"width": contract["width"], "mean": (statistics["sum"] / statistics["n"]).tolist()}

    def model(self, plan: Plan) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(plan["width"], 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))

    def collate(
        self, rows: Sequence[Row], plan: Plan, rngs: Sequence[np.random.Generator] | None
    ) -> dict[str, torch.Tensor]:
        x = np.stack([row["x"] for row in rows]) - np.array(plan["mean"])
        if rngs is not None:
            x = x + np.stack([rng.normal(scale=0.01, size=x.shape[1]) for rng in rngs])
        y = np.array([row["y"] for row in rows])
        return {"x": torch.tensor(x, dtype=torch.float32), "y": torch.tensor(y, dtype=torch.float32)}

    def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        known = ~torch.isnan(batch["y"])
        error = model(batch["x"])[:, 0] - torch.where(known, batch["y"], 0.0)
        return (error.square() * known).sum(), known.sum()

    def assemble(self, rows: Sequence[Row]) -> Row:
        return {key: np.array([row[key] for row in rows]) for key in ("x", "y")}

    def infer(self, model: torch.nn.Module, plan: Plan, unit: Row) -> dict[str, np.ndarray]:
        x = torch.tensor(unit["x"] - np.array(plan["mean"]), dtype=next(model.parameters()).dtype)
        return {"raw": model(x)[:, 0].numpy()}

    def decisions(self) -> Sequence[dict[str, Any]]:
        return [{"scale": 0.5}, {"scale": 1.0}]

    def decide(self, raw: Mapping[str, np.ndarray], plan: Plan, decision: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return {"y": raw["raw"] * decision["scale"]}

    def measure(self, unit: Row, prediction: Mapping[str, np.ndarray], plan: Plan) -> Sums:
        error = (prediction["y"] - unit["y"])[~np.isnan(unit["y"])].astype(np.float64)
        return {"squares": np.array([np.sum(error**2)]), "n": np.array([float(error.size)])}

    def merge(self, parts: Sequence[Sums]) -> Sums:
        return self.merge_statistics(parts)

    def told(self, sums: Sums, enough: int) -> Sums:
        return sums

    def rank_figures(self, patients: Sequence[Sums]) -> dict[str, float]:
        return {}

    def figures(self, sums: Sums) -> dict[str, float]:
        n = float(sums["n"][0])
        return {"minus_mse": -float(sums["squares"][0]) / n if n else float("nan")}


def make_rows(count: int, seed: int = 0, missing: float = 0.2) -> list[Row]:
    """`count` rows, three a visit and two visits a patient, of which a fraction has no label."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, FEATURES["width"]))
    y = np.sin(x @ np.array([1.0, -0.5, 0.25, 2.0]))
    y[rng.random(count) < missing] = np.nan
    return [
        {"patient": f"p{number // 6:03d}", "visit": number // 3 % 2, "x": x[number], "y": y[number]}
        for number in range(count)
    ]


def make_plan(rows: Sequence[Row]) -> Plan:
    """The plan that training on all of `rows` agrees on."""
    task = VectorTask()
    contract = task.contract(FEATURES)
    return task.plan(contract, task.statistics(contract, rows, 1))
