"""How sure a difference between two arms is: a paired bootstrap over test patients, and a non-inferiority verdict."""

from collections.abc import Mapping, Sequence

import numpy as np

from oncotrain.config import Frozen
from oncotrain.tasks import Sums, Task

PatientSums = Mapping[str, Sums]
"""Test patient -> sums of that patient's metrics."""


class Interval(Frozen):
    """A figure with its 95 % percentile interval over resampled test patients."""

    value: float
    low: float
    high: float


def figure(task: Task, runs: Sequence[PatientSums], name: str, patients: Sequence[str]) -> float:
    """The figure `name` over `patients` (repeats count), averaged over `runs` (one a seed)."""
    values = [task.figures(task.merge([run[patient] for patient in patients]))[name] for run in runs]
    return float(np.mean(values))


def bootstrap(task: Task, runs: Sequence[PatientSums], name: str, resamples: int, seed: int) -> Interval:
    """Interval of one arm's figure; patients are the unit of resampling (Efron & Tibshirani 1993, ch. 13)."""
    patients = _common_patients(runs)
    draws = [figure(task, runs, name, sample) for sample in _resample(patients, resamples, seed)]
    return _interval(figure(task, runs, name, patients), draws)


def difference(
    task: Task, runs: Sequence[PatientSums], reference: Sequence[PatientSums], name: str, resamples: int, seed: int
) -> Interval:
    """Interval of (arm minus reference) on the same test patients, resampled in pairs."""
    patients = _common_patients([*runs, *reference])
    draws = [
        figure(task, runs, name, sample) - figure(task, reference, name, sample)
        for sample in _resample(patients, resamples, seed)
    ]
    return _interval(figure(task, runs, name, patients) - figure(task, reference, name, patients), draws)


def verdict(interval: Interval, margin: float) -> str:
    """Non-inferiority in words (higher is better): the whole interval is compared with minus the margin."""
    if interval.low > -margin:
        return "not worse, within the margin"
    if interval.high < -margin:
        return "worse than the margin allows"
    return "undecided: the interval crosses the margin"


def _common_patients(runs: Sequence[PatientSums]) -> list[str]:
    patients = sorted(runs[0])
    for run in runs[1:]:
        if sorted(run) != patients:
            raise ValueError("arms were tested on different patients; a paired comparison needs the same ones")
    return patients


def _resample(patients: Sequence[str], resamples: int, seed: int) -> list[list[str]]:
    draws = np.random.default_rng(seed).integers(0, len(patients), size=(resamples, len(patients)))
    return [[patients[index] for index in draw] for draw in draws]


def _interval(value: float, draws: Sequence[float]) -> Interval:
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Interval(value=value, low=float(low), high=float(high))
