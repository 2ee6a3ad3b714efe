"""The one loader of YAML: errors name the file, the key, the value and what is allowed."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from oncotrain.errors import UserError


class Frozen(BaseModel):
    """Base of every configuration: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], data: Mapping[str, Any], source: str) -> Model:
    """Validate `data` as `model`. Raises UserError with one line per mistake: source, key, value, what is allowed."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [_explain(model, source, mistake) for mistake in error.errors()]
        raise UserError("\n".join(lines)) from None


def load_yaml(path: str | Path, model: type[Model]) -> Model:
    """Read one YAML file as `model`. Raises UserError if it is missing, not YAML, or does not fit the model."""
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    return parse_yaml(content, model, str(file))


def parse_yaml(content: bytes, model: type[Model], source: str) -> Model:
    """As `load_yaml`, of what was read from `source`."""
    try:
        data = yaml.load(content.decode(), _UniqueKeys)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: is not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(data, dict):
        raise UserError(f"{source}: must be a mapping of keys to values, found {type(data).__name__}")
    return parse(model, data, source)


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader takes the last of two equal keys in silence; here the second is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _explain(model: type[BaseModel], source: str, mistake: Any) -> str:
    key = ".".join(str(part) for part in mistake["loc"]) or "(whole file)"
    if mistake["type"] == "extra_forbidden":
        owner = _model_at(model, mistake["loc"][:-1])
        allowed = ", ".join(sorted(owner.model_fields)) if owner else "see the documentation"
        return f"{source}: unknown key '{key}'; allowed here: {allowed}"
    if mistake["type"] == "missing":
        return f"{source}: key '{key}' is missing"
    return f"{source}: key '{key}' has value {mistake['input']!r}: {mistake['msg']}"


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model that holds the keys at `location`: of a union, the one that the location names by its tag."""
    current = [model]
    for part in location:
        annotations = [each.model_fields[part].annotation for each in current if part in each.model_fields]
        current = _models(annotations[0]) if annotations else [each for each in current if _is_tagged(each, part)]
    return current[0] if len(current) == 1 else None


def _models(annotation: Any) -> list[type[BaseModel]]:
    return [each for each in get_args(annotation) or (annotation,) if hasattr(each, "model_fields")]


def _is_tagged(model: type[BaseModel], tag: int | str) -> bool:
    return any(tag in get_args(field.annotation) for field in model.model_fields.values())
