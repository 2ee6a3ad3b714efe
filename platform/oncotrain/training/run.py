"""The directory of one run, `runs/<run>/`: what resumes it, and what its figures can be checked against.

config.yaml  plan.json  metrics.jsonl  checkpoints/  predictions/<unit>.npz  patients.json  figures.json  summary.json
"""

import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from oncotrain.config import parse
from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError, UserError
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.manifest import canonical_json
from oncotrain.lake.names import require_slug
from oncotrain.tasks import Sums


def run_name(task: str, arm: str, config: RunConfig, dataset_sha256: str) -> str:
    """A name that equal configuration, data and arm share, such as `histology-local-chu-grenoble-s0-1a2b3c4d`."""
    identity = canonical_json({"arm": arm, "config": config.model_dump(mode="json"), "dataset": dataset_sha256})
    digest = hashlib.sha256(identity).hexdigest()[:8]
    return f"{task}-{arm}-s{config.train.seed}-{digest}".translate(str.maketrans(":_+", "---"))


@dataclass(frozen=True)
class RunDirectory:
    """Reads and writes a run's files; every file is replaced whole.

    Raises UserError for a name that is none: at a site it is the coordinator who names the run.
    """

    lake: Lake
    name: str

    def __post_init__(self) -> None:
        require_slug("run", self.name)

    @property
    def uri(self) -> str:
        return self.lake.child_uri("runs", self.name)

    def exists(self, *parts: str) -> bool:
        return self.lake.exists("runs", self.name, *parts)

    def names(self, *parts: str) -> list[str]:
        """Sorted names in a directory of the run; none where it does not exist."""
        return self.lake.list("runs", self.name, *parts)

    def remove(self, *parts: str) -> None:
        """Remove a file."""
        self.lake.fs.rm_file(self.lake.path("runs", self.name, *parts))

    def read(self, *parts: str) -> bytes:
        """Raises UserError if there is no such run, DataError if the run lacks the file."""
        try:
            return self.lake.read_bytes("runs", self.name, *parts)
        except FileNotFoundError:
            if not self.exists():
                made = ", ".join(self.lake.list("runs")) or "none"
                raise UserError(f"{self.lake.uri} has no run {self.name!r}; there are: {made}") from None
            raise DataError(f"{self.uri}/{'/'.join(parts)}: is missing") from None

    def write(self, content: bytes, *parts: str) -> None:
        self.lake.write_atomic(content, "runs", self.name, *parts)

    def read_json(self, *parts: str) -> Any:
        return json.loads(self.read(*parts))

    def write_json(self, value: Any, *parts: str) -> None:
        self.write(json.dumps(value, indent=1, allow_nan=False).encode(), *parts)

    def read_config(self) -> RunConfig:
        return parse(RunConfig, yaml.safe_load(self.read("config.yaml")), f"{self.uri}/config.yaml")

    def write_config(self, config: RunConfig) -> None:
        self.write(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).encode(), "config.yaml")

    def write_metrics(self, points: Iterable[Mapping[str, Any]]) -> None:
        """One JSON line a validation."""
        self.write("".join(json.dumps(point, allow_nan=False) + "\n" for point in points).encode(), "metrics.jsonl")

    def read_metrics(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.read("metrics.jsonl").splitlines()]

    def write_prediction(self, unit: str, prediction: Mapping[str, np.ndarray]) -> None:
        """One unit's prediction as a compressed npz without pickle."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **prediction)
        self.write(buffer.getvalue(), "predictions", f"{unit}.npz")

    def read_prediction(self, unit: str) -> dict[str, np.ndarray]:
        with np.load(io.BytesIO(self.read("predictions", f"{unit}.npz")), allow_pickle=False) as arrays:
            return dict(arrays)

    def write_patients(self, patients: Mapping[str, Sums]) -> None:
        """Sums per test patient, from which all figures follow."""
        self.write_json(
            {patient: {key: value.tolist() for key, value in sums.items()} for patient, sums in patients.items()},
            "patients.json",
        )

    def read_patients(self) -> dict[str, Sums]:
        stored = self.read_json("patients.json")
        return {
            patient: {key: np.array(value, dtype=np.float64) for key, value in sums.items()}
            for patient, sums in stored.items()
        }


def json_figures(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Figures as JSON has them: None for an undefined one (NaN)."""
    return {name: None if math.isnan(value) else float(value) for name, value in figures.items()}
