"""What datasets must share before they train together, and how rows are brought to it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from oncotrain.errors import UserError
from oncotrain.tasks.task import Row

_SHARED = ("response", "genes", "clinical")


def offered_contract(features: Mapping[str, Any], clinical: Sequence[str]) -> dict[str, Any]:
    """The contract of one dataset: genes and drugs in order, what the response is, the `clinical` columns used.

    Raises:
        UserError: A column of `clinical` is not in the dataset.
    """
    missing = [name for name in clinical if name not in features["clinical"]]
    if missing:
        raise UserError(
            f"key 'task.clinical' has value {missing[0]!r}; in the dataset: "
            + (", ".join(features["clinical"]) or "no clinical column")
        )
    return {
        "genes": list(features["genes"]),
        "clinical": {name: features["clinical"][name] for name in clinical},
        "response": features["response"],
        "drugs": list(features["drugs"]),
    }


def common_contract(contracts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The contract of all participants: the same genes, clinical columns and response; the union of the drugs, sorted.

    Raises:
        UserError: They differ; the message names the key and the first difference.
    """
    first = contracts[0]
    for number, other in enumerate(contracts[1:], start=2):
        for key in _SHARED:
            _require_equal(key, first[key], other[key], f"participant 1 and participant {number}")
    return {**first, "drugs": sorted({drug for contract in contracts for drug in contract["drugs"]})}


def row_adapter(offer: Mapping[str, Any], agreement: Mapping[str, Any]) -> Callable[[Row], Row]:
    """Rows with `drug` as an index into the agreement's drugs, of rows of the dataset that made the `offer`.

    Raises:
        UserError: The offer does not fit the agreement, or has drugs that the agreement lacks.
    """
    for key in _SHARED:
        _require_equal(key, agreement[key], offer[key], "the plan and the dataset")
    if offer["drugs"] == agreement["drugs"]:
        return lambda row: row
    position = {drug: index for index, drug in enumerate(agreement["drugs"])}
    unknown = [drug for drug in offer["drugs"] if drug not in position]
    if unknown:
        raise UserError(f"drugs: the plan does not know {len(unknown)} of the dataset's, such as {unknown[0]!r}")
    target = np.array([position[drug] for drug in offer["drugs"]], np.int32)
    return lambda row: {**row, "drug": target[row["drug"]]}


def _require_equal(key: str, one: Any, other: Any, who: str) -> None:
    if one == other:
        return
    if isinstance(one, str):
        detail = f"{one!r} and {other!r}"
    elif only := [name for name in [*one, *other] if (name in one) != (name in other)]:
        detail = f"{len(only)} are not in both, such as {only[0]!r}"
    elif key == "clinical":
        name = next(name for name in one if one[name] != other[name])
        detail = f"{name!r} is {one[name]} and {other[name]}"
    else:
        detail = "the same, in another order"
    raise UserError(f"{key}: {who} differ: {detail}")
