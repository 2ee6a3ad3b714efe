"""Private rounds: what a run may say of itself, and that a site at its limit computes and sends nothing more."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import yaml

from oncotrain.config.training import RunConfig, with_train
from oncotrain.errors import DataError
from oncotrain.federation.coordinator.conduct import conduct
from oncotrain.federation.site import account
from oncotrain.federation.site import trainer as trainer_module
from oncotrain.federation.site.worker import Worker
from oncotrain.federation.wire.parcel import Parcel
from oncotrain.federation.wire.refusal import Refusal
from oncotrain.lake.audit import read, verify
from oncotrain.lake.filesystem import Lake
from oncotrain.training.accountant import PrivateSteps, epsilon
from oncotrain.training.data import plan_alone
from oncotrain.training.run import RunDirectory
from oncotrain.training.state import get_parameters
from support.federation import federated_config, loopback, open_worker, open_workers, trainer_of

PRIVATE = {"noise_multiplier": 1.0, "max_grad_norm": 1.0, "delta": 1e-5, "max_epsilon": 50.0}
SITE = "uz-leuven"


def private_config(task: str = "drug_response", **changes: Any) -> RunConfig:
    """Two rounds of three steps of about four patients."""
    config = federated_config(task, {"weighting": "equal"}, batch_size=4)
    return with_train(config, {"privacy": PRIVATE | changes}, "test.yaml")


def allow(lakes: Mapping[str, Lake], max_epsilon: float, **more: Any) -> None:
    for lake in lakes.values():
        text = yaml.safe_dump({"max_epsilon": max_epsilon, "delta": 1e-5, **more})
        lake.write_atomic(text.encode(), "audit", "privacy.yaml")


def run(sites: Mapping[str, Lake], centre: Lake, config: RunConfig) -> dict[str, Any]:
    with loopback(open_workers(sites, config)) as group:
        return conduct(group, centre, config, "test.yaml")


def cost(patients: int, rounds: int) -> float:
    return epsilon([PrivateSteps(min(1.0, 4 / patients), 1.0, 3 * rounds)], 1e-5)


def spent(lake: Lake, site: str = SITE) -> list[dict[str, Any]]:
    return [line["event"] for line in read(lake, site) if line["event"]["action"] == "privacy"]


@pytest.fixture
def worker(sites: dict[str, Lake]) -> Worker:
    """One site's, with its own plan."""
    return opened(sites, private_config())


def opened(sites: Mapping[str, Lake], config: RunConfig) -> Worker:
    worker = open_worker(SITE, sites[SITE], config)
    ask(worker, "plan", run="r", plan=plan_alone(worker.data))
    return worker


def ask(worker: Worker, kind: str, **body: Any) -> Parcel:
    state = trainer_of(worker).state
    return worker.answer(Parcel({"kind": kind, **body}, {}, get_parameters(state.model) if state else []))


def train(worker: Worker, number: int = 1, run: str = "run-a") -> Parcel:
    return ask(worker, "train", run=run, round=number, step=3 * (number - 1), validate=False)


@pytest.mark.parametrize("task", ["drug_response", "histology"])
def test_a_private_run_says_what_it_spent_at_each_site(task, sites, centre):
    allow(sites, 100)
    config = private_config(task)
    summary = run(sites, centre, config)
    patients = {site: len(worker.data.split.train) for site, worker in open_workers(sites, config).items()}
    assert summary["arm"] == "federated+dp:fedavg"
    assert "federated-dp-fedavg" in summary["run"]
    assert summary["privacy"] == {
        "unit": "patient",
        "delta": 1e-5,
        "epsilon": pytest.approx({site: cost(count, 2) for site, count in patients.items()}),
    }
    assert all(point["loss"] is None for point in RunDirectory(centre, summary["run"]).read_metrics())
    for site, lake in sites.items():
        verify(lake, site)
        lines = [(event["run"], event["round"], event["steps"]) for event in spent(lake, site)]
        assert lines == [(summary["run"], 1, 3), (summary["run"], 2, 3)]


def test_the_control_has_the_sampler_and_is_never_called_private(sites, centre):
    config = with_train(federated_config("drug_response", batch_size=4), {"privacy": {"control": True}}, "test.yaml")
    summary = run(sites, centre, config)
    assert summary["arm"] == "federated+control:fedavg"
    assert summary["privacy"] is None
    assert not any(spent(lake, site) for site, lake in sites.items())


def test_what_leaves_a_private_site_has_no_loss_and_no_count(sites, worker):
    allow(sites, 100)
    reply = train(worker)
    assert reply.metrics.keys() == {"equal", "loss"}
    assert np.isnan(reply.metrics["loss"])
    assert reply.body["epsilon"] == pytest.approx(cost(len(worker.data.split.train), 1))


def test_at_its_limit_a_site_trains_nothing_and_sends_nothing(sites, worker, monkeypatch):
    allow(sites, cost(len(worker.data.split.train), 1))
    assert train(worker, 1).parameters
    before = get_parameters(trainer_of(worker).state.model)
    monkeypatch.setattr(trainer_module, "fit", lambda *_, **__: pytest.fail("trained past the budget"))
    for name in ("run-a", "another run"):
        reply = train(worker, 2, name)
        assert reply.body == {"refusal": Refusal.PRIVACY_BUDGET}
        assert not reply.parameters
        assert not reply.metrics
    assert all(
        np.array_equal(a, b) for a, b in zip(before, get_parameters(trainer_of(worker).state.model), strict=True)
    )
    assert len(spent(sites[SITE])) == 1
    refusals = [line["event"].get("refusal") for line in read(sites[SITE], SITE)]
    assert [each["name"] for each in refusals if each] == ["PRIVACY_BUDGET", "PRIVACY_BUDGET"]


def test_the_runs_own_limit_holds_within_a_generous_site(sites):
    allow(sites, 1000)
    patients = len(opened(sites, private_config()).data.split.train)
    worker = opened(sites, private_config(max_epsilon=cost(patients, 2)))
    assert [train(worker, number).body.get("refusal") for number in (1, 2, 3)] == [None, None, Refusal.PRIVACY_BUDGET]


def test_a_site_that_set_no_limit_does_not_train_privately(sites, worker):
    assert train(worker).body == {"refusal": Refusal.CONFIGURATION}
    assert not spent(sites[SITE])


def test_a_site_with_a_limit_does_not_train_without_privacy(sites):
    allow(sites, 100)
    for config in (
        federated_config("drug_response"),
        with_train(federated_config("drug_response"), {"privacy": {"control": True}}, "test.yaml"),
    ):
        assert train(opened(sites, config)).body == {"refusal": Refusal.PRIVACY_BUDGET}
        allow(sites, 100, private_only=False)
        assert train(opened(sites, config)).parameters
        allow(sites, 100)


def test_a_crash_before_the_answer_counts_as_spent(sites, worker, monkeypatch):
    """The first worker dies in training, the second after it; a third has to live with what both spent."""
    patients = len(worker.data.split.train)
    allow(sites, cost(patients, 3))

    class Killed(BaseException):
        pass

    def die(*_arguments: Any, **_named: Any) -> None:
        raise Killed

    for module, place in ((trainer_module, "fit"), (account, "append")):
        with monkeypatch.context() as patched:
            dying = opened(sites, private_config())
            patched.setattr(module, place, die)
            with pytest.raises(Killed):
                train(dying)
    verify(sites[SITE], SITE)
    assert len(spent(sites[SITE])) == 2
    survivor = opened(sites, private_config())
    assert train(survivor, 1).body["epsilon"] == pytest.approx(cost(patients, 3))
    assert train(survivor, 2).body == {"refusal": Refusal.PRIVACY_BUDGET}


def test_the_run_ends_when_too_few_sites_may_go_on(sites, centre):
    patients = {site: len(worker.data.split.train) for site, worker in open_workers(sites, private_config()).items()}
    for site in ("chu-grenoble", SITE):
        allow({site: sites[site]}, cost(patients[site], 1))
    allow({"charite-berlin": sites["charite-berlin"]}, 100)
    with pytest.raises(DataError, match="round 2: 1 sites answered, 2 are needed"):
        run(sites, centre, private_config())
