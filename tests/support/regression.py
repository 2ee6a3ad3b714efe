"""Linear regression at sites whose data differ, trained in rounds by a strategy and `fit`; no lake, no network."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from flwr.app import Message

from oncotrain.config.federation import FederatedConfig
from oncotrain.config.training import TrainConfig
from oncotrain.federation.strategies.local_steps import LocalSteps
from oncotrain.federation.strategies.strategy import create_local_steps, create_strategy
from oncotrain.federation.wire.parcel import ARRAYS, CONFIG, Parcel, from_records, to_records
from oncotrain.tasks import Plan
from oncotrain.training.collective import Alone
from oncotrain.training.fit import fit
from oncotrain.training.state import TrainState, initial_state
from support.federation import LoopbackGrid
from support.vectors import MemoryDataset, VectorTask

WIDTH = 3
PLAN: Plan = {"width": WIDTH, "mean": [0.0] * WIDTH}
RATE = 0.1


class LinearTask(VectorTask):
    """`VectorTask` with a linear model without a bias: the loss is a quadratic."""

    def model(self, plan: Plan) -> torch.nn.Module:
        return torch.nn.Linear(plan["width"], 1, bias=False)


@dataclass
class Site:
    """A hospital with rows x (n, WIDTH) and y (n,)."""

    x: np.ndarray
    y: np.ndarray
    steps: LocalSteps
    state: TrainState

    def train(self, message: Message, federated: FederatedConfig, train: TrainConfig) -> Message:
        """What the worker does with `message`."""
        request = from_records(message.content)
        rows = [{"patient": "p", "visit": 0, "x": x, "y": y} for x, y in zip(self.x, self.y, strict=True)]
        correction = self.steps.begin(self.state.model, request)
        self.state, history = fit(
            replace(self.state, step=int(request.body["step"])),
            federated.local_steps,
            task=LinearTask(),
            plan=PLAN,
            dataset=MemoryDataset(rows, (len(rows),), {"kind": "vectors", "width": WIDTH}),
            rows=np.arange(len(rows)),
            train=train.model_copy(update={"batch_size": len(rows)}),
            collective=Alone(),
            correction=correction,
        )
        metrics = {"loss_count": float(len(rows)), "equal": 1.0, "loss": history[-1].loss}
        return Message(to_records(Parcel({}, {}, self.steps.end(self.state.model, history), metrics)), reply_to=message)


def make_data(sizes: Sequence[int], seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """x and y of sites of these sizes, each with its own scales of x and its own coefficients."""
    rng, data = np.random.default_rng(seed), []
    for size in sizes:
        x = rng.normal(size=(size, WIDTH)) * rng.uniform(0.3, 1.5, size=WIDTH)
        y = x @ rng.normal(scale=3, size=WIDTH)
        data.append((x.astype(np.float32).astype(np.float64), y.astype(np.float32).astype(np.float64)))
    return data


def optimum(data: Sequence[tuple[np.ndarray, np.ndarray]], weights: Sequence[float]) -> np.ndarray:
    """The minimum of the weighted mean of the sites' mean squared errors (WIDTH,)."""
    roots = [np.sqrt(weight / len(x)) for weight, (x, _) in zip(weights, data, strict=True)]
    x = np.concatenate([root * x for root, (x, _) in zip(roots, data, strict=True)])
    y = np.concatenate([root * y for root, (_, y) in zip(roots, data, strict=True)])
    return np.linalg.lstsq(x, y, rcond=None)[0]


def train_rounds(
    data: Sequence[tuple[np.ndarray, np.ndarray]],
    federated: FederatedConfig,
    *,
    away: Mapping[int, Collection[int]] = {},
    late: Mapping[int, Collection[int]] = {},
) -> list[np.ndarray]:
    """The common parameters (WIDTH,) after each round; sites are numbered from 1.

    Args:
        away: By round, sites that are not asked.
        late: By round, sites that train, but whose answer comes too late.
    """
    train = TrainConfig(
        steps=federated.rounds * federated.local_steps,
        batch_size=1,
        precision="float64",
        augment=False,
        optimizer={"name": "sgd", "lr": RATE},
        schedule={"name": "constant"},
    )
    sites = {
        number: Site(x, y, create_local_steps(federated, train), initial_state(LinearTask(), PLAN, train))
        for number, (x, y) in enumerate(data, start=1)
    }
    strategy = create_strategy(federated, len(sites))
    common, after = [np.zeros((1, WIDTH))], []
    for number in range(1, federated.rounds + 1):
        records = to_records(Parcel({"round": number, "step": (number - 1) * federated.local_steps}, {}, common))
        messages = strategy.configure_train(
            number, records.array_records[ARRAYS], records.config_records[CONFIG], LoopbackGrid(dict.fromkeys(sites))
        )
        by_site = {message.metadata.dst_node_id: message for message in messages}
        asked = [site for site in sites if site not in away.get(number, ())]
        replies = {site: sites[site].train(by_site[site], federated, train) for site in asked}
        counted = [reply for site, reply in replies.items() if site not in late.get(number, ())]
        arrays, _ = strategy.aggregate_train(number, counted)
        common = arrays.to_numpy_ndarrays()
        after.append(common[0][0].copy())
    return after
