"""Training in rounds: parameters down, local steps at every site, parameters up, averaged by Flower's strategy."""

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from flwr.app import Message
from flwr.serverapp.strategy import Strategy

from oncotrain.config.federation import FederatedConfig
from oncotrain.config.secure_aggregation import FROM_THE_MEAN
from oncotrain.config.training import TrainConfig
from oncotrain.errors import DataError, UserError
from oncotrain.federation.coordinator.secure_mean import SecureMean, secure_mean
from oncotrain.federation.coordinator.sites import Cost, Sites
from oncotrain.federation.disclosure import merge_candidates
from oncotrain.federation.identity.keys import COORDINATOR
from oncotrain.federation.progress import Progress, State, seconds_left, write_progress
from oncotrain.federation.secure.roster import Roster
from oncotrain.federation.secure.session import Session, fingerprint
from oncotrain.federation.strategies.participation import draw_sites
from oncotrain.federation.strategies.site_privacy import Releases, add_noise
from oncotrain.federation.strategies.soundness import defect, length, oversized
from oncotrain.federation.strategies.updates import Updates
from oncotrain.federation.wire.parcel import ARRAYS, CONFIG, Parcel, body_of, from_records, parameters_of, to_records
from oncotrain.log import get_logger
from oncotrain.tasks import Plan, Task
from oncotrain.training.checkpoint import load_checkpoint, save_checkpoint
from oncotrain.training.evaluation import choose
from oncotrain.training.rank import Point, best_point
from oncotrain.training.run import RunDirectory, json_figures
from oncotrain.training.state import get_parameters, initial_state, set_parameters

Parameters = Sequence[np.ndarray]

_ROUND = "round"
"""Name of the checkpoint of the last round that was finished."""
_BEGUN = "begun.json"
"""Names the last round that was begun, where sites hide their updates."""
WEIGHT_TOLERANCE = 1e-3
"""Of a sum of weights, far above what quantization does to it."""
_KEPT = ("points", "seconds", "seconds_beyond_sites", "trained", "epsilon", "lost")


@dataclass
class Rounds:
    """The rounds of one run. After `train`, the run's directory has metrics.jsonl and the checkpoint `best`."""

    sites: Sites
    strategy: Strategy
    task: Task
    plan: Plan
    train_config: TrainConfig
    """As the sites have it: `steps` is the length of all rounds."""
    federated: FederatedConfig
    run: RunDirectory
    roster: Roster | None = None
    """Of the sites, where they hide their updates."""
    points: list[Point] = field(default_factory=list)
    """Validations so far, as a centralized run has them, with `round` added."""
    seconds: list[float] = field(default_factory=list)
    """Of each round."""
    seconds_beyond_sites: list[float] = field(default_factory=list)
    """Of each round, what it took beyond the slowest site's own work."""
    trained: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By site, the rounds in which it trained."""
    epsilon: dict[str, float] = field(default_factory=dict)
    """What the run spent at each site that has answered, as it says; of private runs only."""

    lost: list[int] = field(default_factory=list)
    """Rounds without a result: begun before the coordinator was started again, and not to be summed twice."""

    def __post_init__(self) -> None:
        self._state = initial_state(self.task, self.plan, self.train_config)
        privacy = self.federated.site_privacy
        self._releases = Releases(self.run, privacy) if privacy else None

    def train(self) -> None:
        """Train all rounds from the plan's initial parameters, or those of the last round that was finished before.

        The common parameters are validated as often as configured.

        Parameters are validated by the sites when the next round brings them, which saves a message a round; where
        only a fraction of the sites trains, all are asked, so that figures of different rounds compare.

        Raises DataError if a round has fewer answers than `min_sites`, or no site may show its validation sums, and
        UserError if the strategy cannot go on after a restart where sites hide their updates.
        """
        done, parameters, loss = self._resume()
        self.report(done, "training")
        for number in range(self._last_begun(done) + 1, self.federated.rounds + 1):
            if self._validates(number - 1) and not self._all_train:
                self._ask_validation(number - 1, parameters, loss)
            with Updates(parameters) as updates:
                replies = self._train_together(number, parameters, updates)
                if self._validates(number - 1) and self._all_train:
                    self._validated(number - 1, parameters, loss, [from_records(reply.content) for reply in replies])
                aggregated = self._aggregated(number, parameters, replies, updates)
            averaged, metrics = self.strategy.aggregate_train(number, aggregated)
            if averaged is None or metrics is None:
                raise DataError(f"round {number}: the strategy made no parameters of the sites' answers")
            # Some strategies compute in float64 whatever the sites sent; twice the bytes would go down.
            pairs = zip(averaged.to_numpy_ndarrays(), parameters, strict=True)
            parameters, loss = [new.astype(old.dtype) for new, old in pairs], float(str(metrics["loss"]))
            get_logger(run=self.run.name, stage="federate").info(
                "round %d of %d: loss %.4g, %.1f s, %.1f s of them beyond the sites' work; %.0f s left",
                *(number, self.federated.rounds, loss, self.seconds[-1], self.seconds_beyond_sites[-1]),
                seconds_left(self.seconds, self.federated.rounds - number),
            )
            self._save(number, parameters, loss)
            self.report(number, "training")
        self._ask_validation(self.federated.rounds, parameters, loss)

    def _resume(self) -> tuple[int, Parameters, float]:
        """Rounds that are done, the parameters after them and their loss."""
        if not self.run.exists("checkpoints", f"{_ROUND}.pt"):
            return 0, get_parameters(self._state.model), math.nan
        state, progress = load_checkpoint(self.run, _ROUND, self._state)
        for name in _KEPT:
            kept = getattr(self, name)
            kept.update(progress[name]) if isinstance(kept, dict) else kept.extend(progress[name])
        for site, cost in progress["costs"].items():
            self.sites.costs[site].add(Cost(**cost))
        get_logger(run=self.run.name, stage="federate").info("going on after round %d", progress["round"])
        return progress["round"], get_parameters(state.model), progress["loss"]

    def _last_begun(self, done: int) -> int:
        """`done`, or where sites hide their updates the last round that was begun: it is lost, no sum is made twice."""
        if self.federated.secure_aggregation is None or not self.run.exists(_BEGUN):
            return done
        begun = int(self.run.read_json(_BEGUN)["round"])
        if begun > done:
            again = f"{self.run.uri}: round {begun} was begun before a restart, and no round is summed twice"
            if self.federated.strategy.remembers or (done == 0 and begun == self.federated.rounds):
                raise UserError(f"{again}; nothing is left to go on from, so start the run under another train.seed")
            get_logger(run=self.run.name, stage="federate").warning("%s: its result is lost", again)
            self.lost.extend(range(done + 1, begun + 1))
        return begun

    def _save(self, number: int, parameters: Parameters, loss: float) -> None:
        """So that a coordinator that dies now goes on with the next round; not where the strategy has a memory."""
        if self.federated.strategy.remembers:
            return
        set_parameters(self._state.model, parameters)
        progress: dict[str, Any] = {name: getattr(self, name) for name in _KEPT}
        progress |= {"trained": dict(self.trained), "round": number, "loss": loss}
        progress["costs"] = {site: asdict(cost) for site, cost in self.sites.costs.items()}
        save_checkpoint(self.run, _ROUND, replace(self._state, step=number * self.federated.local_steps), progress)

    def report(self, number: int, state: State) -> None:
        """Say how far the run is, for who looks from outside."""
        progress = Progress(
            side=COORDINATOR,
            run=self.run.name,
            state=state,
            round=number,
            rounds=self.federated.rounds,
            participants=sorted(site for site, rounds in self.trained.items() if number in rounds),
            figures=self.points[-1]["figures"] if self.points else {},
            seconds_left=seconds_left(self.seconds, self.federated.rounds - number),
        )
        write_progress(self.run, progress)

    def _train_together(self, number: int, parameters: Parameters, updates: Updates) -> list[Message]:
        """Answers of `min_sites` or more. Raises DataError if there are fewer, and in an attempt no site was lost or
        in all attempts one was."""
        attempts = 1 if self.federated.secure_aggregation else self.federated.round_attempts
        for attempt in range(1, attempts + 1):
            replies = self._train_one(number, parameters, updates)
            if len(replies) >= self.federated.min_sites:
                self._note(number, replies)
                return replies
            failure = f"round {number}: {len(replies)} sites answered, {self.federated.min_sites} are needed"
            if not self.sites.lost:
                break
            lost = ", ".join(sorted(self.sites.lost))
            get_logger(run=self.run.name, stage="federate").error(
                "%s; attempt %d of %d, lost: %s", failure, attempt, attempts, lost
            )
        raise DataError(failure)

    def _train_one(self, number: int, parameters: Parameters, updates: Updates) -> list[Message]:
        began = time.monotonic()
        self.sites.wait(self.federated.min_sites, self.federated.round_deadline)
        body = {
            "run": self.run.name,
            "round": number,
            "step": (number - 1) * self.federated.local_steps,
            "validate": self._validates(number - 1) and self._all_train,
        }
        if self.federated.secure_aggregation:
            self.run.write_json({"round": number}, _BEGUN)
        records = to_records(Parcel(body, {}, parameters))
        messages = self.strategy.configure_train(
            number, records.array_records[ARRAYS], records.config_records[CONFIG], self.sites.grid
        )
        replies = self._sound_replies(number, self._drawn(number, list(messages)), parameters, updates)
        self.seconds.append(time.monotonic() - began)
        return replies

    def _note(self, number: int, replies: Sequence[Message]) -> None:
        """Keep what the answers of a round say beside their updates."""
        bodies = {self.sites.name(reply): body_of(reply.content) for reply in replies}
        self.epsilon |= {site: float(body["epsilon"]) for site, body in bodies.items() if "epsilon" in body}
        for site in bodies:
            self.trained[site].append(number)
        self.seconds_beyond_sites.append(self.seconds[-1] - max(float(body["seconds"]) for body in bodies.values()))

    def _sound_replies(
        self, number: int, messages: Sequence[Message], parameters: Parameters, updates: Updates
    ) -> list[Message]:
        """The replies whose updates can be averaged; the others are named in the log.

        Where the strategy needs no more than their mean, parameters go to `updates` and are not in the replies.
        """
        defects: dict[str, str | None] = {}
        lengths: dict[str, float] = {}

        def take(reply: Message) -> Message:
            site = self.sites.name(reply)
            defects[site] = defect(reply, parameters)
            if defects[site] is None and self.federated.secure_aggregation is None:
                if self.federated.largest_update is not None:
                    lengths[site] = length(parameters_of(reply.content), parameters)
                if self.federated.strategy.name in FROM_THE_MEAN:
                    updates.add(site, parameters_of(reply.content))
                    # Its record refers to itself: dropped alone, it would stay until the garbage collector comes.
                    reply.content.pop(ARRAYS).clear()
            return reply

        replies = {self.sites.name(reply): reply for reply in self.sites.exchange(messages, take)}
        if self.federated.largest_update is not None:
            for site in oversized(lengths, self.federated.largest_update):
                defects[site] = f"it is longer than {self.federated.largest_update:g} times the median of the others'"
        for site, found in defects.items():
            if found:
                log = get_logger(run=self.run.name, site=site, stage="federate")
                log.error("round %d goes on without this site's update: %s", number, found)
        return [reply for site, reply in replies.items() if not defects[site]]

    def _drawn(self, number: int, messages: Sequence[Message]) -> list[Message]:
        """Of the messages to every site online, those to the sites that are to train."""
        names = self.sites.names
        online = {names[message.metadata.dst_node_id]: message for message in messages}
        fraction, minimum = self.federated.fraction, self.federated.min_sites
        drawn = draw_sites(self.train_config.seed, number, names.values(), online, fraction, minimum)
        return [online[name] for name in drawn]

    @property
    def _all_train(self) -> bool:
        return self.federated.fraction == 1

    def _ask_validation(self, number: int, parameters: Parameters, loss: float) -> None:
        answers = self.sites.ask("evaluate.validation", Parcel({"round": number}, {}, parameters))
        self._validated(number, parameters, loss, list(answers.values()))

    def _aggregated(
        self, number: int, parameters: Parameters, replies: list[Message], updates: Updates
    ) -> list[Message]:
        """What the strategy aggregates: the sites' replies, or where it needs no more, one with their mean."""
        secure, privacy = self.federated.secure_aggregation, self.federated.site_privacy
        mean: Parameters
        if secure and self.roster:
            asked = fingerprint(parameters, (number - 1) * self.federated.local_steps)
            session = Session(self.run.name, number, self.roster, secure, asked)
            mean, loss, weight, sites = self._secure_mean(session, parameters, replies)
            if privacy and abs(weight - len(sites)) > WEIGHT_TOLERANCE:
                raise DataError(f"round {number}: {len(sites)} sites weigh {weight:g} together; each has one vote")
        elif self.federated.strategy.name in FROM_THE_MEAN:
            metrics = {self.sites.name(reply): from_records(reply.content).metrics for reply in replies}
            weights = {site: 1.0 if privacy else said[self.federated.weighting] for site, said in metrics.items()}
            if not sum(weights.values()) > 0:
                raise DataError(f"round {number}: no site has an item that its loss counts")
            mean, sites = updates.mean(weights), tuple(metrics)
            counted = [site for site in sites if weights[site]]
            losses = [math.nan if privacy else metrics[site]["loss"] for site in counted]
            loss = float(np.average(losses, weights=[weights[site] for site in counted]))
        else:
            return replies
        if privacy and self._releases:
            self.epsilon |= self._releases.spend(sites)
            mean = add_noise(mean, len(sites), privacy)
        content = to_records(Parcel({}, {}, mean, {self.federated.weighting: 1.0, "loss": loss}))
        return [Message(content, replies[0].metadata.src_node_id, "train")]

    def _secure_mean(self, session: Session, parameters: Parameters, replies: list[Message]) -> SecureMean:
        began = time.monotonic()
        trained = {self.sites.name(reply): from_records(reply.content) for reply in replies}
        mean = secure_mean(self.sites, session, trained, parameters)
        for seconds in (self.seconds, self.seconds_beyond_sites):
            seconds[-1] += time.monotonic() - began
        return mean

    def _validates(self, number: int) -> bool:
        """Whether the parameters after round `number` are validated; those before the first round are not."""
        return number > 0 and (number % self.federated.evaluate_every == 0 or number == self.federated.rounds)

    def _validated(self, number: int, parameters: Parameters, loss: float, answers: Sequence[Parcel]) -> None:
        parts = [answer.sums for answer in answers if not answer.body.get("withheld")]
        if not parts:
            raise DataError(
                f"round {number}: no site has federated.min_patients = {self.federated.min_patients} validation "
                "patients, so none shows its sums and nothing can be chosen"
            )
        decision, figures = choose(self.task, merge_candidates(self.task, parts))
        step = number * self.federated.local_steps
        point: Point = {
            "step": step,
            "round": number,
            "loss": None if math.isnan(loss) else loss,
            "decision": decision,
            "figures": json_figures(figures),
            "cpu_seconds": sum(cost.cpu_seconds for cost in self.sites.costs.values()),
        }
        self.points.append(point)
        self.run.write_metrics(self.points)
        if best_point(self.points, self.task.primary) is point:
            set_parameters(self._state.model, parameters)
            save_checkpoint(self.run, "best", replace(self._state, step=step), {})
        get_logger(run=self.run.name, stage="federate").info(
            "after round %d of %d: validation %s %s",
            *(number, self.federated.rounds, self.task.primary, figures[self.task.primary]),
        )
