"""A run as MLflow shows it: parameters, validations as they come, versions of data and code, the run's own files.

The driver alone writes to the tracking server, from what the ranks leave in the run's directory: executors need no way
to it.
"""

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from oncotrain.config.training import RunConfig
from oncotrain.errors import UserError
from oncotrain.log import get_logger
from oncotrain.training.run import RunDirectory

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before its import: nothing calls home from a hospital

EVERY_SECONDS = 5.0
"""Between two looks for new validations."""
ARTIFACTS = ("config.yaml", "plan.json", "figures.json", "summary.json")
_RUN_TAG = "oncotrain.run"
_SETTING = re.compile(r"[a-z][a-z0-9_]*")


@contextmanager
def tracked(run: RunDirectory, config: RunConfig, tags: Mapping[str, str], uri: str | None) -> Iterator[None]:
    """Meanwhile, show the run in the experiment named after its task; a resumed run goes on in its MLflow run.

    Args:
        tags: Versions of data and code, and what else tells this run from others.
        uri: A tracking server, or a store such as ``sqlite:///mlflow.db``; None tracks nothing.

    Raises UserError if nobody answers at `uri`. One that falls silent later is logged, and costs the run nothing.
    """
    if uri is None:
        yield
        return
    from mlflow.exceptions import MlflowException  # slow to import: only where a run is tracked

    try:
        mirror = _Mirror(run, config, tags, uri)
    except MlflowException as error:
        raise UserError(
            f"MLflow at {_shown(uri)} cannot be used ({_said(error, uri)}); --tracking '' goes without"
        ) from None
    ended = threading.Event()

    def send(what: Callable[[], None]) -> None:
        try:
            what()
        except MlflowException as error:
            get_logger(run=run.name, stage="train").error(
                "MLflow at %s does not take it: %s", _shown(uri), _said(error, uri)
            )

    def watch() -> None:
        while not ended.wait(EVERY_SECONDS):
            send(mirror.log_new_points)

    watcher = threading.Thread(target=watch, name="tracking", daemon=True)
    watcher.start()
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        ended.set()
        watcher.join()
        send(partial(mirror.close, status))


class _Mirror:
    """One MLflow run, and how many of the run's validations it has."""

    def __init__(self, run: RunDirectory, config: RunConfig, tags: Mapping[str, str], uri: str) -> None:
        from mlflow.tracking import MlflowClient

        self._run, self._client = run, MlflowClient(tracking_uri=uri)
        experiment = self._client.get_experiment_by_name(config.task["name"])
        number = experiment.experiment_id if experiment else self._client.create_experiment(config.task["name"])
        earlier = self._client.search_runs([number], f"tags.`{_RUN_TAG}` = '{run.name}'")
        if earlier:
            self._id = earlier[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            self._id = self._client.create_run(number, run_name=run.name, tags={_RUN_TAG: run.name, **tags}).info.run_id
            for name, value in _flat(config).items():
                self._client.log_param(self._id, name, value)
        self._logged = max((step for step in self._steps()), default=0)
        get_logger(run=run.name, stage="train").info("tracked by MLflow at %s, run %s", _shown(uri), self._id)

    def log_new_points(self) -> None:
        """Send the validations that MLflow does not have yet; an undefined figure is left out."""
        from mlflow.entities import Metric

        points = self._run.read_metrics() if self._run.exists("metrics.jsonl") else []
        for point in points:
            if point["step"] <= self._logged:
                continue
            values = {"loss": point["loss"], "cpu_seconds": point["cpu_seconds"], **_prefixed(point["figures"])}
            now = int(time.time() * 1000)
            metrics = [Metric(name, value, now, point["step"]) for name, value in values.items() if value is not None]
            self._client.log_batch(self._id, metrics=metrics)
            self._logged = point["step"]

    def close(self, status: str) -> None:
        """Send what is left: validations, test figures, files."""
        self.log_new_points()
        for name in ARTIFACTS:
            if self._run.exists(name):
                self._client.log_text(self._id, self._run.read(name).decode(), name)
        if self._run.exists("figures.json"):
            for name, value in self._run.read_json("figures.json").items():
                if value is not None:
                    self._client.log_metric(self._id, f"test_{name}", value)
        self._client.set_terminated(self._id, status)

    def _steps(self) -> list[int]:
        return [metric.step for metric in self._client.get_metric_history(self._id, "cpu_seconds")]


def _shown(uri: str) -> str:
    """The URI without the name and password that it may carry."""
    return _without_secret(uri, uri)


def _said(error: Exception, uri: str) -> str:
    """The first line of an error, without what `uri` carries."""
    return _without_secret(str(error).partition("\n")[0], uri)


def _without_secret(text: str, uri: str) -> str:
    secret = urlsplit(uri).netloc.rpartition("@")[0]
    return text.replace(f"{secret}@", "") if secret else text


def _flat(config: RunConfig) -> dict[str, Any]:
    """The configuration with dotted keys, such as `train.optimizer.lr`."""
    flat: dict[str, Any] = pd.json_normalize(_without_tables(config.model_dump(mode="json"))).iloc[0].to_dict()
    return flat


def _without_tables(value: Any) -> Any:
    """A mapping whose keys are no settings' names, such as of drugs, as JSON: one parameter, cut where it is long."""
    if not isinstance(value, dict):
        return value
    if not all(_SETTING.fullmatch(name) for name in value):
        return json.dumps(value, ensure_ascii=False)
    return {name: _without_tables(part) for name, part in value.items()}


def _prefixed(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    return {f"validation_{name}": value for name, value in figures.items()}
