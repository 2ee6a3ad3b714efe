"""The gradient of a private step: DP-SGD, Abadi et al. 2016, Deep learning with differential privacy, arXiv:1607.00133.

The unit of privacy is the patient: what an observer of all steps learns hardly depends on whether any one patient was
among those trained on. That holds of the trained parameters, not of what else leaves: the plan's statistics and the
validation and test sums (which `federated.min_patients` alone guards), and how many training patients there are.

A patient's gradient is computed alone, by plain autograd: slower than Opacus's gradients per row (which run under this
torch too), but right for every model, and for patients with any number of rows.
"""

import math
import secrets
import time
from collections.abc import Generator, Iterator
from contextlib import closing

import numpy as np
import torch

from oncotrain.config.privacy import ControlConfig, PrivacyConfig
from oncotrain.config.training import TrainConfig
from oncotrain.errors import UserError
from oncotrain.lake.dataset import Dataset
from oncotrain.tasks import Plan, Task
from oncotrain.training.collective import Collective
from oncotrain.training.gradient import Gradient, accumulate
from oncotrain.training.loader import Batch, patient_batches
from oncotrain.training.sampling import dropout_seed, noise_rng, rows_of_patients
from oncotrain.training.state import TrainState, trainable

SECRET_BITS = 128
"""As many as NumPy's seeding keeps; torch's generators keep 32 on a CPU, which can all be tried."""


def private_gradients(
    steps: range,
    state: TrainState,
    privacy: PrivacyConfig | ControlConfig,
    *,
    task: Task,
    plan: Plan,
    dataset: Dataset,
    rows: np.ndarray,
    train: TrainConfig,
    collective: Collective,
    secret: int | None = None,
) -> Generator[Gradient]:
    """Of each step, the sum of the sampled patients' clipped gradients, plus noise, over the expected patients.

    It is (sum over sampled patients of g * min(1, C / |g|) + N(0, (sigma C)^2)) / `train.batch_size`, where g is the
    gradient of the sum of the losses of all rows of a patient. Elsewhere a loss sum is divided by its count; here by a
    constant, for the count is data: one patient more would change what all others contribute, beyond C. For the same
    reason a step without patients or labels is taken like any other, and a patient whose gradient is not finite
    contributes nothing, where elsewhere the run would stop.

    Samples, noise, augmentation and dropout follow from one secret of the operating system, drawn anew for each call:
    the public `train.seed` must not decide who takes part. The generator is NumPy's PCG64, not a cryptographic one,
    and the noise is of floating point (Mironov 2012, On significance of the least significant bits).

    The control arm is the same without clipping and noise.

    Args:
        secret: As in `fit`.

    Raises:
        UserError: There are several ranks.
    """
    if collective.world > 1:
        raise UserError(f"key 'train.privacy' needs one rank (train.ranks: 1); found {collective.world}")
    secret = secrets.randbits(SECRET_BITS) if secret is None else secret
    largest = privacy.max_grad_norm if isinstance(privacy, PrivacyConfig) else math.inf
    names = dataset.index(["patient"])["patient"].to_numpy()[rows]
    source = patient_batches(
        steps,
        task=task,
        plan=plan,
        dataset=dataset,
        patients=rows_of_patients(rows, names),
        train=train,
        secret=secret,
    )
    with closing(source):
        for step in steps:
            sums, loss, count, waited = _sum_clipped(step, state, next(source), task, train, largest, secret)
            if isinstance(privacy, PrivacyConfig):
                _add_noise(sums, privacy.noise_multiplier * privacy.max_grad_norm, noise_rng(secret, step))
            yield Gradient([each / train.batch_size for each in sums], loss, count, waited)


def _sum_clipped(
    step: int,
    state: TrainState,
    patients: Iterator[list[Batch]],
    task: Task,
    train: TrainConfig,
    largest: float,
    secret: int,
) -> tuple[list[torch.Tensor], float, float, float]:
    """Each parameter's sum over the patients of their gradients, none longer than `largest`; loss, items, waiting."""
    parameters = trainable(state.model)
    sums = [torch.zeros_like(each) for each in parameters]
    loss = count = waited = 0.0
    began = time.perf_counter()
    for number, pieces in enumerate(patients):
        waited += time.perf_counter() - began
        state.optimizer.zero_grad()
        total, items = accumulate(state, pieces, task, train, dropout_seed(secret, step, number)).tolist()
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
        norm = torch.nn.utils.get_total_norm(gradients).item()
        if math.isfinite(total) and math.isfinite(norm):
            factor = min(1.0, largest / norm) if norm else 1.0
            for value, gradient in zip(sums, gradients, strict=True):
                value.add_(gradient, alpha=factor)
            loss, count = loss + total, count + items
        began = time.perf_counter()
    return sums, loss, count, waited


def _add_noise(values: list[torch.Tensor], deviation: float, rng: np.random.Generator) -> None:
    for value in values:
        value.add_(torch.from_numpy(rng.normal(scale=deviation, size=tuple(value.shape))).to(value))
