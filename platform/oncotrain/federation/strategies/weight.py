"""How much a site's training data weighs in the average."""

import numpy as np
import torch

from oncotrain.config.training import TrainConfig
from oncotrain.tasks import Plan
from oncotrain.training.data import RunData
from oncotrain.training.loader import read_rows
from oncotrain.training.state import TrainState, trainable


def loss_count(state: TrainState, data: RunData, rows: np.ndarray, plan: Plan, train: TrainConfig) -> float:
    """Items that the training loss counts over all of `rows`: observed pairs, labelled images.

    FedAvg with this weight and one full-batch step of plain SGD is one step on the union of the sites' rows.
    """
    first = trainable(state.model)[0]
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(rows), train.batch_size):
            numbers = rows[start : start + train.batch_size].tolist()
            batch = data.task.collate(read_rows(data.dataset, numbers, data.task, plan), plan, None)
            placed = {
                name: tensor.to(first.device, first.dtype if tensor.is_floating_point() else None)
                for name, tensor in batch.items()
            }
            total += float(data.task.loss(state.model, placed)[1])
    return total
