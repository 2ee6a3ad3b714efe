"""A site's worker: hears the coordinator's questions, has the site's trainer compute, and decides what leaves.

It is in the driver, beside the site's private key, and opens its own site's lake and nothing else. Every answer that
leaves, a refusal too, is first noted in the site's audit.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from oncotrain.config.privacy import PrivacyConfig
from oncotrain.config.training import RunConfig
from oncotrain.errors import UserError
from oncotrain.federation.audit.heads import SignedHead, Signer
from oncotrain.federation.disclosure import may_leave, require_no_exact_sums, told_candidates
from oncotrain.federation.identity.keys import PublicKey
from oncotrain.federation.progress import Progress, State, seconds_left, write_progress
from oncotrain.federation.schedule import differing_keys, federated_section, shared_settings
from oncotrain.federation.secure.answers import secure_answers
from oncotrain.federation.secure.contribution import contribution
from oncotrain.federation.secure.credentials import Credentials
from oncotrain.federation.secure.session import fingerprint
from oncotrain.federation.site.account import SiteAccount, refusal_of
from oncotrain.federation.site.budget import require_no_budget, spend
from oncotrain.federation.site.policy import read_policy, require_allowed
from oncotrain.federation.site.ranks import RanksGoneError
from oncotrain.federation.site.trainer import Ask
from oncotrain.federation.wire.parcel import Parcel
from oncotrain.federation.wire.refusal import type_and_place
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.split import Part
from oncotrain.log import get_logger
from oncotrain.tasks import Plan
from oncotrain.tasks.floor import items_of_enough
from oncotrain.training.accountant import PrivateSteps
from oncotrain.training.data import RunData
from oncotrain.training.engines import RankLost
from oncotrain.training.evaluation import find_units, patient_figures
from oncotrain.training.run import RunDirectory, json_figures
from oncotrain.training.sampling import sample_rate


class Worker:
    """Answers the coordinator's questions about one site, one at a time."""

    def __init__(
        self,
        site: str,
        lake: Lake,
        config: RunConfig,
        source: str,
        data: RunData,
        ask: Ask,
        *,
        signer: Signer | None = None,
        coordinator_key: PublicKey | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """Raises UserError where the configuration does not allow to take part.

        Args:
            ask: The trainer of this site, wherever it is.
            signer: Signs the heads of the site's audit, with the key that the coordinator registered.
            coordinator_key: By which the coordinator's audit heads are known.
            credentials: Needed where the configuration asks for secure aggregation.
        """
        self.site, self.lake, self.config, self.data = site, lake, config, data
        self.federated = federated_section(config, source)
        require_no_exact_sums(data.task, config, source)
        self.account = SiteAccount(site, lake, data.dataset.manifest, signer, coordinator_key)
        settings = self.federated.secure_aggregation
        self.secure = secure_answers(site, settings, credentials, source, self.account.trained_rounds())
        self.finished = False
        """The coordinator said that the run is over."""
        self.failure: RanksGoneError | None = None
        """Why this site cannot go on."""
        self._ask_trainer = ask
        self._planned = False
        """The trainer has the plan."""
        self._began: list[float] = []
        """When each round here was begun, on the monotonic clock."""
        self._round = 0
        """The last round that was trained here."""
        self._answers: dict[str, Callable[[Parcel], Parcel]] = {
            "contract": self._contract,
            "statistics": self._statistics,
            "fit": self._fit,
            "plan": self._take_plan,
            "train": self._train,
            "validation": self._validation,
            "test": self._test,
            "stop": self._stop,
            **(self.secure.answers() if self.secure else {}),
        }

    def answer(self, request: Parcel) -> Parcel:
        """The reply to a request. Whatever fails becomes a code; the site's log says more."""
        log = get_logger(site=self.site, stage="federate")
        kind, heard = "request", None
        began = time.monotonic(), time.process_time()
        try:
            kind = str(request.body["kind"])
            heard = self.account.hear(request)
            if kind != "stop":
                require_allowed(read_policy(self.lake), self.lake, self.federated, self.data)
            reply = self._answers[kind](request)
            elsewhere = reply.body.get("cpu_seconds", 0.0)
            seconds, cpu_seconds = time.monotonic() - began[0], time.process_time() - began[1] + elsewhere
            reply = replace(reply, body={**reply.body, "seconds": seconds, "cpu_seconds": cpu_seconds})
            joins = self.account.note(kind, request, reply, heard)
            log.info("%s answered in %.1f s", kind, seconds)
            return replace(reply, body={**reply.body, **joins})
        except Exception as error:  # noqa: BLE001 - a site answers every message, and its texts stay here
            log.error("%s: %s", kind, error if isinstance(error, UserError) else type_and_place(error))
            return self._refuse(kind, request, heard, error)

    def _refuse(self, kind: str, request: Parcel, heard: SignedHead | None, error: Exception) -> Parcel:
        """The reply that says why not; it leaves even where the audit cannot be written, being but a code."""
        if isinstance(error, RanksGoneError):
            self.failure = error
        reply = Parcel({"refusal": int(refusal_of(error))})
        try:
            self.account.note_refusal(kind if kind in self._answers else "unknown", request, reply, heard, error)
        except Exception as failure:  # noqa: BLE001 - as above
            log = get_logger(site=self.site, stage="federate")
            log.error("%s: this refusal is not in the audit: %s", kind, type_and_place(failure))
        return reply

    def _contract(self, request: Parcel) -> Parcel:
        differing = differing_keys(shared_settings(self.config), request.body["settings"])
        body = {
            "site": self.site,
            "differing": differing,
            "contract": self.data.task.contract(self.data.dataset.manifest.features),
            "dataset": self.account.dataset,
            "training_rows": len(self.data.rows("train")),
            "training_patients": len(self.data.split.train),
        }
        return Parcel(body)

    def _statistics(self, request: Parcel) -> Parcel:
        if not self._may_say("train"):
            return Parcel({"withheld": True})
        asked = {"contract": request.body["contract"], "floor": self._floor}
        return self._with_rows(self._ask("statistics", Parcel(asked)), "train")

    def _fit(self, request: Parcel) -> Parcel:
        if not self._may_say("train"):
            return Parcel({"withheld": True})
        asked = {"fit": request.body["fit"], "plan": request.body["plan"], "floor": self._floor}
        return self._with_rows(self._ask("fit", Parcel(asked)), "train")

    def _take_plan(self, request: Parcel) -> Parcel:
        """Kept in this site's lake as well: a worker that is started again in mid-run finds it there."""
        plan: Plan = dict(request.body["plan"])
        RunDirectory(self.lake, str(request.body["run"])).write_json(plan, "plan.json")
        return self._with_rows(self._prepare(plan), "train")

    def _prepare(self, plan: Plan) -> Parcel:
        reply = self._ask("plan", Parcel({"plan": plan}))
        self._planned = True
        return reply

    def _train(self, request: Parcel) -> Parcel:
        if self.secure:
            self.secure.require_new(request.body["run"], request.body["round"])
        self._began.append(time.monotonic())
        validate = bool(request.body["validate"])
        asked = {"step": int(request.body["step"]), "validate": validate and self._may_say("validation")}
        self._ready(request)
        spent = self._spend(request)
        trained = self._told(self._ask("train", replace(request, body={**request.body, **asked})))
        self._report(request, "training")
        body = {**self._with_rows(trained, "train").body, **spent}
        if validate and not asked["validate"]:
            body["withheld"] = True
        metrics = {"equal": 1.0, "loss": math.nan}  # loss and count of the private are data, and without noise
        if not (spent or self.federated.site_privacy):
            metrics |= trained.metrics
        if self.secure is None:
            return replace(trained, body=body, metrics=metrics)
        keys = self.secure.begin(
            *(request.body["run"], request.body["round"], fingerprint(request.parameters, request.body["step"])),
            contribution(request.parameters, trained.parameters, metrics["loss"], metrics[self.federated.weighting]),
        )
        return Parcel({**body, **keys.body}, trained.sums)

    def _spend(self, request: Parcel) -> dict[str, float]:
        """Account for a round before any of it is computed: `epsilon` of the run here so far; nothing if not private.

        Raises BudgetError if the run or the site would spend too much.
        """
        privacy, manifest = self.config.train.privacy, self.data.dataset.manifest
        if not isinstance(privacy, PrivacyConfig):
            require_no_budget(self.lake)
            return {}
        rate = sample_rate(len(self.data.split.train), self.config.train.batch_size)
        steps = PrivateSteps(rate, privacy.noise_multiplier, self.federated.local_steps)
        event = {
            "run": request.body["run"],
            "round": request.body["round"],
            "dataset": f"{manifest.name}/{manifest.version}",
        }
        return {"epsilon": spend(self.lake, self.site, event, steps, privacy)}

    def _validation(self, request: Parcel) -> Parcel:
        self._ready(request)
        if not self._may_say("validation"):
            return Parcel({"withheld": True})
        return self._with_rows(self._told(self._ask("validation", replace(request, body={}))), "validation")

    def _test(self, request: Parcel) -> Parcel:
        """Predict this site's test patients and keep predictions, checkpoint and figures in this site's lake."""
        if not self.data.split.test:
            return Parcel({"withheld": True})
        self._ready(request)
        run, task, decision = (
            RunDirectory(self.lake, str(request.body["name"])),
            self.data.task,
            request.body["decision"],
        )
        reply = self._ask("test", replace(request, body={"name": run.name, "decision": decision}))
        figures = json_figures(patient_figures(task, run.read_patients()))
        run.write_config(self.config)
        run.write_json(self._kept_plan(str(request.body["run"])), "plan.json")
        run.write_json(figures, "figures.json")
        summary = {"status": "done", "run": run.name, "site": self.site, "decision": decision, "figures": figures}
        run.write_json({**summary, "dataset": self.account.dataset}, "summary.json")
        self._report(request, "done")
        told = task.told(dict(reply.sums), self._enough("test"))
        reply = self._with_rows(replace(reply, sums=told), "test")
        return reply if self._may_say("test") else Parcel({**reply.body, "withheld": True})

    def _report(self, request: Parcel, state: State) -> None:
        """Say how far the run is here; of the last round this site has trained, where a request is of none."""
        self._round = int(request.body.get("round", self._round))
        rounds = self.federated.rounds
        seconds = np.diff(self._began).tolist()
        progress = Progress(
            side=self.site,
            run=str(request.body["run"]),
            state=state,
            round=self._round,
            rounds=rounds,
            participants=[self.site],
            seconds_left=seconds_left(seconds, rounds - self._round),
        )
        write_progress(RunDirectory(self.lake, progress.run), progress)

    def _stop(self, _request: Parcel) -> Parcel:
        self.finished = True
        return Parcel()

    def _ask(self, kind: str, request: Parcel) -> Parcel:
        try:
            return self._ask_trainer(kind, request)
        except RankLost:
            self._planned = False
            raise

    def _with_rows(self, reply: Parcel, part: Part) -> Parcel:
        return replace(reply, body={**reply.body, "rows": len(self.data.rows(part))})

    def _ready(self, request: Parcel) -> None:
        """Give the trainer the plan unless it has it; a fresh one is found where this site kept it."""
        if not self._planned:
            self._prepare(self._kept_plan(str(request.body["run"])))

    def _kept_plan(self, run: str) -> Plan:
        directory = RunDirectory(self.lake, run)
        if not directory.exists("plan.json"):
            raise UserError("asked to work before the plan was sent")
        return dict(directory.read_json("plan.json"))

    def _may_say(self, part: Part) -> bool:
        return may_leave(len(getattr(self.data.split, part)), self._floor)

    def _told(self, reply: Parcel) -> Parcel:
        """The reply with what may leave of its sums over validation patients, if it has any."""
        if not reply.sums:
            return reply
        return replace(reply, sums=told_candidates(self.data.task, reply.sums, self._enough("validation")))

    def _enough(self, part: Part) -> int:
        """Units of that part of the site that are certain to be of as many patients as the floor asks for."""
        units = find_units(self.data.dataset, self.data.rows(part), self.data.task)
        return items_of_enough(Counter(unit.patient for unit in units), self._floor)

    @property
    def _floor(self) -> int:
        return max(self.federated.min_patients, read_policy(self.lake).min_patients)
