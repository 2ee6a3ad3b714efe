"""What a site has spent is composed over its runs, and neither site nor run can spend more than it may."""

import threading
from typing import Any

import pytest
import yaml

from oncotrain.config.privacy import Budget
from oncotrain.errors import DataError, UserError
from oncotrain.federation.site.budget import BudgetError, read_budget, require_no_budget, spend
from oncotrain.lake.audit import append, read, verify
from oncotrain.lake.filesystem import Lake
from oncotrain.training.accountant import PrivateSteps, epsilon
from support.lakes import make_lake

STEPS = PrivateSteps(0.1, 1.5, 50)
DELTA = 1e-5
PLENTY = Budget(max_epsilon=100.0, delta=DELTA)


def cost(rounds: int) -> float:
    return epsilon([STEPS] * rounds, DELTA)


def allow(lake: Lake, max_epsilon: float, **more: Any) -> None:
    lake.write_atomic(
        yaml.safe_dump({"max_epsilon": max_epsilon, "delta": DELTA, **more}).encode(), "audit", "privacy.yaml"
    )


def one_round(lake: Lake, run: str = "run-a", budget: Budget = PLENTY) -> float:
    return spend(lake, "uz-leuven", {"run": run, "round": 1, "dataset": "samples/v1"}, STEPS, budget)


@pytest.fixture
def lake(tmp_path) -> Lake:
    return make_lake(tmp_path / "lake")


def test_a_round_is_a_line_of_the_audit_and_its_cost_that_of_the_run(lake):
    allow(lake, 100)
    append(lake, "uz-leuven", {"action": "federate", "run": "run-a"})
    assert one_round(lake) == cost(1)
    assert one_round(lake, "run-b") == cost(1)
    assert one_round(lake) == cost(2)
    events = [line["event"] for line in read(lake, "uz-leuven")]
    where = {"action": "privacy", "run": "run-a", "round": 1, "dataset": "samples/v1"}
    assert events[1] == where | {"sample_rate": 0.1, "noise_multiplier": 1.5, "steps": 50}
    verify(lake, "uz-leuven")


def test_the_site_stops_where_all_runs_together_reach_its_limit(lake):
    allow(lake, (cost(3) + cost(4)) / 2)
    for run in ("run-a", "run-b", "run-c"):
        one_round(lake, run)
    with pytest.raises(BudgetError, match=r"50 more steps would take the site to epsilon \d"):
        one_round(lake, "run-d")
    assert len(read(lake, "uz-leuven")) == 3, "what is refused is not spent"
    assert cost(4) < 4 * cost(1) * 0.7, "had epsilons been added, the third would have been refused"
    assert 3 * cost(1) > cost(4)


def test_a_run_stops_at_its_own_limit(lake):
    allow(lake, 100)
    budget = Budget(max_epsilon=cost(2), delta=DELTA)
    one_round(lake, budget=budget)
    one_round(lake, budget=budget)
    with pytest.raises(BudgetError, match="would take the run to"):
        one_round(lake, budget=budget)
    one_round(lake, "run-b", budget)


def test_two_runs_at_once_cannot_both_have_what_is_left(lake):
    allow(lake, cost(1))
    refused = []

    def attempt(run: str) -> None:
        try:
            one_round(lake, run)
        except BudgetError:
            refused.append(run)

    threads = [threading.Thread(target=attempt, args=(f"run-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    assert len(read(lake, "uz-leuven")) == 1


def test_a_site_that_set_no_limit_spends_nothing(lake):
    with pytest.raises(UserError, match=r"audit/privacy\.yaml: is missing"):
        one_round(lake)
    assert read(lake, "uz-leuven") == []


@pytest.mark.parametrize("content", [b"max_epsilon: 8", b"- 8", b"max_epsilon: .inf\ndelta: 1.0e-5\n", b"a: b: c"])
def test_a_limit_that_says_nothing_is_an_error(lake, content):
    lake.write_atomic(content, "audit", "privacy.yaml")
    with pytest.raises(UserError, match=r"privacy\.yaml"):
        read_budget(lake)


def test_a_rewritten_account_spends_nothing(lake):
    allow(lake, 100)
    one_round(lake)
    one_round(lake)
    path = lake.path("audit", "uz-leuven.jsonl")
    lake.fs.pipe_file(path, lake.fs.cat_file(path).replace(b'"steps":50', b'"steps":5'))
    with pytest.raises(DataError, match="line 1 was edited"):
        one_round(lake)


def test_a_site_with_a_limit_does_not_train_without_privacy_unless_it_says_so(lake):
    require_no_budget(lake)
    allow(lake, 8)
    with pytest.raises(BudgetError, match="private_only"):
        require_no_budget(lake)
    allow(lake, 8, private_only=False)
    require_no_budget(lake)
