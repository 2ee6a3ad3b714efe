"""What is known of a drug beforehand, as numbers: which drugs share a target, a pathway, a bit of a fingerprint."""

from collections.abc import Mapping, Sequence

import numpy as np


def term_matrix(drugs: Sequence[str], terms: Mapping[str, Sequence[str]], auxiliary: Sequence[str] = ()) -> np.ndarray:
    """Rows of length 1 (drugs, 1 + terms) float32: a constant, then an indicator for each term of any of the drugs.

    A drug without terms has the constant alone. Auxiliary responses to a drug, named `drug [label]`, share its terms.
    """
    described = [set(terms.get(_without_label(drug, auxiliary), ())) for drug in drugs]
    names = sorted(set().union(*described))
    matrix = np.array([[True, *(name in known for name in names)] for known in described], np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def _without_label(drug: str, auxiliary: Sequence[str]) -> str:
    for label in auxiliary:
        if (name := drug.removesuffix(f" [{label}]")) != drug:
            return name
    return drug
