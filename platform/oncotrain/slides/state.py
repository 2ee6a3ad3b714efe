"""What became of each slide of a delivery so far: `landing/slides/<dataset>/<slide>-<region>.json`, and a picture."""

import json
from typing import Literal

from pydantic import Field

from oncotrain.config import Frozen, parse
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.names import require_slug


class Output(Frozen):
    """One part file with rows of the slide."""

    path: str
    """Inside the lake's filesystem."""
    rows: int
    bytes: int
    sha256: str
    seconds: float
    """That it took to read, encode and write."""


class SlideState(Frozen):
    """One slide's state. Names no one: the slide is its pseudonym."""

    status: Literal["reading", "accepted", "refused"]
    reason: str = ""
    """Why it is refused."""
    attempts: int
    """How often reading it was begun."""
    reader: str = ""
    """Which one was chosen; empty until the slide was opened."""
    outputs: tuple[Output, ...] = ()
    seconds: dict[str, float] = Field(default={})
    """Of each stage: `fetch` the file and its hash, `survey` for tissue, `tiles` summed over tasks."""


def save_state(lake: Lake, dataset: str, slide: str, region: int, state: SlideState) -> None:
    """Replace what is known of the slide (a pseudonym)."""
    lake.write_atomic(state.model_dump_json(indent=1).encode(), *_place(dataset, slide, region, "json"))


def load_state(lake: Lake, dataset: str, slide: str, region: int) -> SlideState | None:
    """What is known of the slide; None where nothing is."""
    place = _place(dataset, slide, region, "json")
    if not lake.exists(*place):
        return None
    return parse(SlideState, json.loads(lake.read_bytes(*place)), lake.path(*place))


def save_picture(lake: Lake, dataset: str, slide: str, region: int, png: bytes | memoryview) -> None:
    """The thumbnail with its tiles, beside the state. It stays in `landing`: ink on glass may be a name."""
    lake.write_atomic(png, *_place(dataset, slide, region, "png"))


def _place(dataset: str, slide: str, region: int, ending: str) -> tuple[str, ...]:
    return "landing", "slides", require_slug("dataset", dataset), f"{slide}-{region}.{ending}"
