"""The histology task: nuclei of whole images, segmented, classified and counted."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

from oncotrain.config import parse
from oncotrain.tasks.histology.collate import make_batch, normalize
from oncotrain.tasks.histology.config import HistologyConfig
from oncotrain.tasks.histology.loss import image_losses
from oncotrain.tasks.histology.metrics import METRICS, image_figures, image_sums
from oncotrain.tasks.histology.model import MAPS, NucleusNet, mean_over_views
from oncotrain.tasks.histology.moments import add_sums, common_contract, make_plan, offered_contract, tile_moments
from oncotrain.tasks.histology.picture import overlays
from oncotrain.tasks.histology.postprocess import candidates, majority_classes, separate
from oncotrain.tasks.histology.restained import restained
from oncotrain.tasks.histology.whole_image import assemble, predict_in_windows
from oncotrain.tasks.task import Plan, Row, Rows, Sums


def create(settings: Mapping[str, Any], source: str) -> "Histology":
    """The task with these settings; `source` is quoted in errors. Raises UserError."""
    return Histology(parse(HistologyConfig, settings, source))


class Histology:
    """Implements `Task`. A unit is one region of a slide.

    A prediction is `instances` (height, width) int32, ids 1..n, 0 background, and `classes` (n,) uint8, the class of
    each as in the tiles; empty where the contract names no class.
    """

    name = "histology"
    dataset = "tiles"
    unit = ("slide", "region")
    primary = "aji"
    metrics = METRICS
    fits = ()

    def __init__(self, config: HistologyConfig) -> None:
        self.config = config
        recorded = ("stain",) if config.stain == "macenko" else ()
        self.columns = ("x", "y", "pixels", "instances", "classes", "valid", "labelled", *recorded)

    def contract(self, features: Mapping[str, Any]) -> dict[str, Any]:
        return offered_contract(features)

    def agree(self, contracts: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return common_contract(contracts)

    def adapt(self, features: Mapping[str, Any], agreed: Mapping[str, Any]) -> Callable[[Row], Row]:
        """Tiles as they are, or restained: raises UserError where `features` differ from what was agreed."""
        common_contract([offered_contract(features), dict(agreed)])
        return restained if self.config.stain == "macenko" else lambda row: row

    def leaks(self, contract: Mapping[str, Any], train: Rows, test: Rows) -> Sequence[str]:  # noqa: ARG002
        """None beyond patients: a tile holds no truth but its labels."""
        return ()

    def statistics(
        self,
        contract: Mapping[str, Any],  # noqa: ARG002 - of the Protocol; the sums are the same for any classes
        rows: Iterable[Row],
        floor: int,  # noqa: ARG002 - sums over all rows at once
    ) -> Sums:
        return tile_moments(rows)

    def merge_statistics(self, parts: Sequence[Sums]) -> Sums:
        return add_sums(parts)

    def plan(self, contract: Mapping[str, Any], statistics: Sums) -> Plan:
        return make_plan(contract, statistics)

    def model(self, plan: Plan) -> torch.nn.Module:
        return NucleusNet(self.config.widths, len(plan["classes"]))

    def collate(
        self, rows: Sequence[Row], plan: Plan, rngs: Sequence[np.random.Generator] | None
    ) -> dict[str, torch.Tensor]:
        return make_batch(rows, plan, rngs, self.config)

    def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return image_losses(model(batch["pixels"]), batch, self.config.loss)

    def assemble(self, rows: Sequence[Row]) -> Row:
        return assemble(rows)

    def infer(self, model: torch.nn.Module, plan: Plan, unit: Row) -> dict[str, np.ndarray]:
        """`foreground` (0 where the image is not valid), `boundary`, `distance` (height, width) and `scores`
        (classes, height, width), all float32 in 0..1."""
        parameter = next(model.parameters())

        def predict(pixels: np.ndarray) -> np.ndarray:
            image = torch.from_numpy(normalize(pixels.astype(np.float32) / 255, plan))
            return mean_over_views(model, image.to(parameter.device, parameter.dtype), self.config.views)

        maps = predict_in_windows(predict, unit["pixels"], self.config.window, self.config.halo)
        maps[0] *= unit["valid"] > 0
        return {"foreground": maps[0], "boundary": maps[1], "distance": maps[2], "scores": maps[MAPS:]}

    def decisions(self) -> Sequence[dict[str, Any]]:
        return candidates(self.config.decisions)

    def decide(self, raw: Mapping[str, np.ndarray], plan: Plan, decision: Mapping[str, Any]) -> dict[str, np.ndarray]:
        instances = separate(raw["foreground"], raw["boundary"], raw["distance"], decision, plan["nucleus_area"])
        return {"instances": instances, "classes": majority_classes(instances, raw["scores"])}

    def measure(self, unit: Row, prediction: Mapping[str, np.ndarray], plan: Plan) -> Sums:
        return image_sums(unit, prediction["instances"], prediction["classes"], plan["classes"], plan["spacing"])

    def merge(self, parts: Sequence[Sums]) -> Sums:
        return add_sums(parts)

    def told(self, sums: Sums, enough: int) -> Sums:  # noqa: ARG002 - counts and areas, over all images together
        return sums

    def figures(self, sums: Sums) -> dict[str, float]:
        return image_figures(sums)

    def rank_figures(self, patients: Sequence[Sums]) -> dict[str, float]:  # noqa: ARG002 - all follow from merged sums
        return {}

    def picture(self, units: Sequence[tuple[Row, Mapping[str, Mapping[str, np.ndarray]]]], plan: Plan) -> go.Figure:
        return overlays(units[:3], plan["spacing"], plan["classes"])
