"""A mistake in a YAML file is named: file, key, value, what is allowed."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from oncotrain.config import Frozen, load_yaml
from oncotrain.errors import UserError


class Inner(Frozen):
    rate: float = 0.1


class Named(Frozen):
    name: Literal["named"] = "named"
    width: int = 1


class Numbered(Frozen):
    name: Literal["numbered"] = "numbered"
    number: int = 1


class Outer(Frozen):
    steps: int
    inner: Inner | None = Inner()
    kind: Annotated[Named | Numbered, Field(discriminator="name")] = Named()


def test_a_file_becomes_a_frozen_model(tmp_path: Path):
    file = tmp_path / "run.yaml"
    file.write_text("steps: 3\ninner: {rate: 0.5}\n")
    assert load_yaml(file, Outer) == Outer(steps=3, inner=Inner(rate=0.5))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: 3\ninner: {rat: 1}\n", r"unknown key 'inner.rat'; allowed here: rate"),
        ("steps: 3\nkind: {name: named, number: 1}\n", r"unknown key 'kind.named.number'; allowed here: name, width"),
        ("steps: many\n", r"key 'steps' has value 'many': .*integer"),
        ("inner: {}\n", r"key 'steps' is missing"),
        ("steps: 3\nsteps: 4\n", r"is not YAML \(key 'steps' twice.*line 2"),
        ("steps: [3\n", r"is not YAML"),
        ("- 3\n", r"must be a mapping of keys to values, found list"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, message: str):
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=rf"{file}: {message}"):
        load_yaml(file, Outer)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.yaml: cannot be read \(No such file"):
        load_yaml(tmp_path / "none.yaml", Outer)
