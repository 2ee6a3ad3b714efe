"""The loss: exactly additive over images, blind to what is not labelled."""

from typing import Any

import numpy as np
import pytest
import torch

from oncotrain.tasks import Plan
from oncotrain.tasks.histology.config import LossWeights
from oncotrain.tasks.histology.loss import image_losses
from oncotrain.tasks.histology.task import Histology
from support.tiles import tile_row

Batch = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def model(task: Histology, plan: Plan) -> torch.nn.Module:
    torch.manual_seed(0)
    return task.model(plan).double()


def batch_of(task: Histology, plan: Plan, rows: list[Any]) -> Batch:
    """The batch of whole tiles, in float64."""
    batch = task.collate(rows, plan, None)
    return {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in batch.items()}


def gradient(task: Histology, model: torch.nn.Module, batch: Batch) -> tuple[float, float, torch.Tensor]:
    """Loss sum, count and the gradient of the sum."""
    loss, count = task.loss(model, batch)
    parts = torch.autograd.grad(loss, list(model.parameters()))
    return loss.item(), count.item(), torch.cat([part.flatten() for part in parts])


def test_loss_and_gradient_of_a_batch_are_the_sums_of_its_images(task, plan, model):
    rows = [
        tile_row(0),
        tile_row(1, labelled=1),
        tile_row(2, labelled=0),
        tile_row(3, valid=(40, 50)),
        tile_row(4, nuclei=0),
    ]
    total, count, together = gradient(task, model, batch_of(task, plan, rows))
    alone = [gradient(task, model, batch_of(task, plan, [row])) for row in rows]
    assert [part[1] for part in alone] == [1, 1, 0, 1, 1]
    assert count == 4
    assert total == pytest.approx(sum(part[0] for part in alone), rel=1e-12)
    torch.testing.assert_close(together, sum(part[2] for part in alone), rtol=1e-9, atol=1e-12)


def test_an_image_without_labels_adds_nothing(task, plan, model):
    loss, count, change = gradient(task, model, batch_of(task, plan, [tile_row(0, labelled=0)]))
    assert (loss, count) == (0, 0)
    assert not change.any()


@pytest.mark.parametrize("hide", ["labelled", "valid"])
def test_truth_under_unlabelled_or_invalid_pixels_does_not_matter(task, plan, model, hide):
    row, other = tile_row(0), tile_row(0)
    hidden = np.zeros((64, 64), bool)
    hidden[:, 30:] = True
    for each in (row, other):
        each[hide] = np.where(hidden, 0, each[hide]).astype(np.uint8)
    row["instances"] = np.where(hidden, 0, row["instances"])
    other["instances"] = np.where(hidden, 0, other["instances"])
    other["instances"][:, 40:] = 99  # away from the border, where it would move the boundary of what is labelled
    other["classes"] = np.where(hidden, 2, other["classes"]).astype(np.uint8)
    assert (
        gradient(task, model, batch_of(task, plan, [row]))[0] == gradient(task, model, batch_of(task, plan, [other]))[0]
    )


def test_logits_of_unlabelled_pixels_get_no_gradient(task, plan):
    batch = batch_of(task, plan, [tile_row(0, valid=(64, 40)), tile_row(1, labelled=1)])
    logits = torch.zeros(2, 5, 64, 64, dtype=torch.float64, requires_grad=True)
    loss, _ = task.loss(lambda _: logits, batch)
    (change,) = torch.autograd.grad(loss, logits)
    assert not change[0, :, :, 40:].any()
    assert change[0, :3, :, :40].ne(0).any(0).all()
    assert not change[1, 3:].any()
    classed = batch["classes"][0] > 0
    assert change[0, 3:, classed].ne(0).all()
    assert not change[0, 3:, ~classed].any()


def test_no_prediction_is_better_than_the_truth(task, plan):
    batch = batch_of(task, plan, [tile_row(0)])
    maps = batch["maps"].clamp(1e-6, 1 - 1e-6).logit()
    classes = torch.nn.functional.one_hot(batch["classes"], 3)[..., 1:].permute(0, 3, 1, 2) * 30.0
    truth = torch.cat([maps, classes], 1).requires_grad_()
    (change,) = torch.autograd.grad(task.loss(lambda _: truth, batch)[0], truth)
    assert change.abs().max() < 1e-6
    without_distance = LossWeights(distance=0)
    assert 0 <= image_losses(truth, batch, without_distance)[0] < 1e-4


def test_half_precision_maps_are_judged_in_float32(task, plan):
    batch = task.collate([tile_row(0)], plan, None)
    model = task.model(plan)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = task.loss(model, batch)
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
