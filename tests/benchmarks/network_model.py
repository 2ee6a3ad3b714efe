"""The network of a run's configuration, and the ridge beside it, as a model that is fitted in one go to given rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from oncotrain.config.training import RunConfig
from oncotrain.tasks import Plan, Row, create_task
from oncotrain.tasks.drug_response.models.model import Predictor
from oncotrain.training.collective import Alone
from oncotrain.training.fit import fit
from oncotrain.training.process import prepare_process
from oncotrain.training.state import initial_state


@dataclass(frozen=True)
class Network:
    """Trained by `fit`, as every arm is, to its last step."""

    config: RunConfig

    def fit(self, plan: Plan, rows: Sequence[Row]) -> Predictor:
        from vectors import MemoryDataset

        prepare_process(1)
        task = create_task(self.config.task, "network")
        for one in task.fits:
            plan = one.fitted(plan, [one.sums(plan, rows, 1)])
        state, _ = fit(
            initial_state(task, plan, self.config.train),
            self.config.train.steps,
            task=task,
            plan=plan,
            dataset=MemoryDataset(rows, (len(rows),), plan),
            rows=np.arange(len(rows)),
            train=self.config.train,
            collective=Alone(),
        )
        model, (decision, *_) = state.model.eval(), task.decisions()

        def predict(tested: Sequence[Row]) -> np.ndarray:
            with torch.inference_mode():
                raw = [task.infer(model, plan, row) for row in tested]
            return np.stack([task.decide(one, plan, decision)["response"] for one in raw]).astype(np.float64)

        return predict
