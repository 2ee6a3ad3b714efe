"""The sites' updates of one round, kept on disk until they are averaged: in memory is one of them at a time."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

Parameters = Sequence[np.ndarray]


class Updates:
    """A context, at whose end what is on disk is removed. Needs a file system with room for all updates of a round."""

    def __init__(self, common: Parameters) -> None:
        self._common = common

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="oncotrain-round-")
        return self

    def __exit__(self, *_error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._folder.cleanup()

    def add(self, site: str, arrays: Iterable[np.ndarray]) -> None:
        """Keep a site's parameters, in the model's order, with the model's shapes."""
        with self._file(site).open("wb") as file:
            for array in arrays:
                np.save(file, array, allow_pickle=False)

    def mean(self, weights: Mapping[str, float]) -> list[np.ndarray]:
        """The mean over the sites in `weights`: summed as float64 in the order of their names, then of the common
        parameters' dtypes. It does not depend on the order in which updates came.

        Raises ValueError if the weights have no positive sum.
        """
        total = sum(weights.values())
        if not total > 0:
            raise ValueError(f"the weights of {', '.join(sorted(weights))} add up to {total:g}")
        result = []
        with ExitStack() as stack:
            files = {site: stack.enter_context(self._file(site).open("rb")) for site in sorted(weights)}
            for old in self._common:
                mean = np.zeros(old.shape, np.float64)
                for site, file in files.items():
                    mean += np.load(file, allow_pickle=False).astype(np.float64) * (weights[site] / total)
                result.append(mean.astype(old.dtype))
        return result

    def _file(self, site: str) -> Path:
        return Path(self._folder.name) / f"{site}.npy"
