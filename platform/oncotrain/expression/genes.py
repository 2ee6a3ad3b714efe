"""Gene identifiers: which namespace a matrix uses, and its genes under the names that sites agreed on."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from oncotrain.config.expression import GeneConfig, Namespace
from oncotrain.errors import DataError, UserError
from oncotrain.expression.refusal import Refusal
from oncotrain.expression.source import open_source
from oncotrain.expression.tables import read_table

_PATTERNS: Mapping[Namespace, re.Pattern[str]] = {
    "ensembl": re.compile(r"ENSG\d{11}(\.\d+)?(_PAR_Y)?"),
    "entrez": re.compile(r"[1-9]\d*"),
    "symbol": re.compile(r"[A-Z][A-Z0-9]*(orf\d+[A-Z0-9]*)?([-.][A-Z0-9]+)*"),
}
"""HGNC symbols: upper-case Latin letters, digits and hyphens, `orf` apart (Bruford et al., Nature Genetics 2020)."""

_RECOGNIZED = 0.9
"""Share of a matrix's identifiers that must fit one namespace."""


class Genes(NamedTuple):
    """`names` of the dataset's genes, their `positions` (int64) in the matrix, and the identifiers left out."""

    names: tuple[str, ...]
    positions: np.ndarray
    refused: list[Refusal]


def resolve_genes(identifiers: Sequence[str], config: GeneConfig, path: str) -> Genes:
    """The genes of the matrix `path` in the configured namespace: the agreed list in its order, else all, sorted.

    Of a gene that occurs twice the first is taken. Raises DataError if the identifiers are in no known namespace or
    an agreed gene is missing, UserError if they need a translation `table` that is not given.
    """
    found = config.namespace if config.namespace == "as_written" else detect_namespace(identifiers, path)
    translation = _translation(found, config, path)
    positions: dict[str, int] = {}
    unknown, repeated = [], []
    for position, identifier in enumerate(identifiers):
        bare = identifier if found == "as_written" else _bare(identifier)
        name = translation.get(bare) if translation is not None else bare
        if not name or not _fits(name, config.namespace):
            unknown.append(identifier)
        elif name in positions:
            repeated.append(identifier)
        else:
            positions[name] = position
    names = _agreed(config)
    if names is None:
        names = tuple(sorted(positions))
    missing = [name for name in names if name not in positions]
    if missing:
        raise DataError(f"{path}: lacks {len(missing)} of {len(names)} agreed genes, such as {', '.join(missing[:5])}")
    refused = [
        Refusal("genes", f"{len(left_out)} identifiers such as {', '.join(map(repr, left_out[:5]))}: {reason}")
        for left_out, reason in (
            (unknown, f"no {config.namespace} is known for them"),
            (repeated, "repeat a gene, of which the first is taken"),
        )
        if left_out
    ]
    return Genes(names, np.array([positions[name] for name in names]), refused)


def detect_namespace(identifiers: Sequence[str], path: str) -> Namespace:
    """The namespace that at least 90 % of the identifiers fit. Raises DataError if there is none."""
    for namespace, pattern in _PATTERNS.items():
        if sum(bool(pattern.fullmatch(identifier)) for identifier in identifiers) >= _RECOGNIZED * len(identifiers) > 0:
            return namespace
    strange = [name for name in identifiers if not any(pattern.fullmatch(name) for pattern in _PATTERNS.values())]
    raise DataError(
        f"{path}: gene identifiers are in no known namespace ({', '.join(_PATTERNS)}), such as "
        f"{', '.join(map(repr, (strange or identifiers)[:3]))}"
    )


def _fits(name: str, namespace: Namespace) -> bool:
    return namespace == "as_written" or bool(_PATTERNS[namespace].fullmatch(name))


def _bare(identifier: str) -> str:
    """An Ensembl identifier without its version, anything else as it is."""
    return identifier.split(".")[0] if identifier.startswith("ENSG") else identifier


def _translation(found: Namespace, config: GeneConfig, path: str) -> dict[str, str] | None:
    if found == config.namespace:
        return None
    if config.table is None:
        raise UserError(
            f"{path}: gene identifiers are {found}, the dataset's are {config.namespace}; "
            "key 'genes.table' must name a CSV with both as columns"
        )
    table = read_table(config.table, [found, config.namespace]).dropna()
    return dict(zip(table[found], table[config.namespace], strict=True))


def _agreed(config: GeneConfig) -> tuple[str, ...] | None:
    if config.file is None:
        return config.list
    with open_source(config.file) as stream:
        return tuple(stream.read().decode("utf-8-sig").split())
