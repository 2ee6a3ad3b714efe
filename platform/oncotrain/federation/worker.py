"""A site's worker: one process through all rounds, which holds dataset, model and optimizer and answers requests.

It opens its own site's lake and nothing else. Every answer that leaves, a refusal too, is first noted in the site's
audit.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from oncotrain.config.privacy import PrivacyConfig
from oncotrain.config.training import RunConfig
from oncotrain.errors import UserError
from oncotrain.federation.budget import require_no_budget, spend
from oncotrain.federation.disclosure import may_leave, name_candidates
from oncotrain.federation.heads import SignedHead, Signer
from oncotrain.federation.keys import PublicKey
from oncotrain.federation.parcel import Parcel, from_bytes, to_bytes
from oncotrain.federation.schedule import differing_keys, federated_section, federated_train, shared_settings
from oncotrain.federation.secure.answers import secure_answers
from oncotrain.federation.secure.contribution import contribution
from oncotrain.federation.secure.credentials import Credentials
from oncotrain.federation.secure.session import fingerprint
from oncotrain.federation.site_account import SiteAccount, refusal_of
from oncotrain.federation.strategy import create_local_steps
from oncotrain.federation.weight import loss_count
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.split import Part
from oncotrain.log import get_logger
from oncotrain.tasks import Plan
from oncotrain.training.accountant import PrivateSteps
from oncotrain.training.checkpoint import save_checkpoint
from oncotrain.training.collective import Collective, device
from oncotrain.training.data import RunData, local_statistics, open_data
from oncotrain.training.evaluation import find_units, predict, validate
from oncotrain.training.fit import StepLoss, fit
from oncotrain.training.process import prepare_process
from oncotrain.training.run import RunDirectory, json_figures
from oncotrain.training.sampling import sample_rate
from oncotrain.training.state import TrainState, initial_state, set_parameters


class Worker:
    """Answers the coordinator's questions about one site, one at a time."""

    def __init__(
        self,
        site: str,
        lake: Lake,
        config: RunConfig,
        source: str,
        collective: Collective,
        *,
        signer: Signer | None = None,
        coordinator_key: PublicKey | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        """Opens the site's data. Raises UserError or DataError where lake or configuration do not allow it.

        Args:
            signer: Signs the heads of the site's audit, with the key that the coordinator registered.
            coordinator_key: By which the coordinator's audit heads are known.
            credentials: Needed where the configuration asks for secure aggregation.
        """
        self.site, self.lake, self.config, self.source, self.collective = site, lake, config, source, collective
        self.federated = federated_section(config, source)
        self.train_config = federated_train(config.train, self.federated)
        self.local_steps = create_local_steps(self.federated, self.train_config)
        self.data: RunData = open_data(lake, config, source)
        self.account = SiteAccount(site, lake, self.data.dataset.manifest, signer, coordinator_key)
        settings = self.federated.secure_aggregation
        self.secure = secure_answers(site, settings, credentials, source, self.account.trained_rounds())
        self.plan: Plan | None = None
        self.state: TrainState | None = None
        self.loss_count = 0.0
        self.finished = False
        """The coordinator said that the run is over."""
        self._answers: dict[str, Callable[[Parcel], Parcel]] = {
            "contract": self._contract,
            "statistics": self._statistics,
            "plan": self._take_plan,
            "train": self._train,
            "validation": self._validation,
            "test": self._test,
            "stop": self._stop,
            **(self.secure.answers() if self.secure else {}),
        }
        prepare_process(config.train.threads)

    def answer(self, content: bytes) -> bytes:
        """The reply to a request, both packed parcels. Whatever fails becomes a code; the site's log says more."""
        log = get_logger(site=self.site, stage="federate")
        kind, request, heard = "request", Parcel(), None
        began = time.monotonic(), time.process_time()
        try:
            request = from_bytes(content)
            kind = str(request.body["kind"])
            heard = self.account.hear(request)
            reply = self._answers[kind](request)
            seconds, cpu_seconds = time.monotonic() - began[0], time.process_time() - began[1]
            reply = replace(reply, body={**reply.body, "seconds": seconds, "cpu_seconds": cpu_seconds})
            joins = self.account.note(kind, request, reply, heard)
            packed = to_bytes(replace(reply, body={**reply.body, **joins}))
            log.info("%s answered in %.1f s, %d bytes", kind, seconds, len(packed))
            return packed
        except Exception as error:  # noqa: BLE001 - a site answers every message, and its texts stay here
            log.error("%s: %s", kind, error if isinstance(error, UserError) else _type_and_place(error))
            return self._refuse(kind, request, heard, error)

    def _refuse(self, kind: str, request: Parcel, heard: SignedHead | None, error: Exception) -> bytes:
        """The reply that says why not; it leaves even where the audit cannot be written, being but a code."""
        reply = Parcel({"refusal": int(refusal_of(error))})
        try:
            self.account.note_refusal(kind if kind in self._answers else "unknown", request, reply, heard, error)
        except Exception as failure:  # noqa: BLE001 - as above
            log = get_logger(site=self.site, stage="federate")
            log.error("%s: this refusal is not in the audit: %s", kind, _type_and_place(failure))
        return to_bytes(reply)

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
        sums = local_statistics(self.data, request.body["contract"])
        return Parcel({"rows": len(self.data.rows("train"))}, sums)

    def _take_plan(self, request: Parcel) -> Parcel:
        """Kept in this site's lake as well: a worker that is started again in mid-run finds it there."""
        RunDirectory(self.lake, str(request.body["run"])).write_json(request.body["plan"], "plan.json")
        self._prepare(dict(request.body["plan"]))
        return Parcel({"rows": len(self.data.rows("train"))})

    def _prepare(self, plan: Plan) -> tuple[TrainState, Plan]:
        self.plan = plan
        self.state = initial_state(self.data.task, plan, self.train_config, device(self.collective))
        self.loss_count = loss_count(self.state, self.data, self.data.rows("train"), plan, self.train_config)
        return self.state, plan

    def _train(self, request: Parcel) -> Parcel:
        if self.secure:
            self.secure.require_new(request.body["run"], request.body["round"])
        state, plan = self._ready(request)
        spent = self._spend(request)
        correction = self.local_steps.begin(state.model, request)
        validated = self._validate(state, plan) if request.body["validate"] else Parcel()
        rows = self.data.rows("train")
        self.state, history = fit(
            replace(state, step=int(request.body["step"])),
            self.federated.local_steps,
            task=self.data.task,
            plan=plan,
            dataset=self.data.dataset,
            rows=rows,
            train=self.train_config,
            collective=self.collective,
            correction=correction,
        )
        body = {**validated.body, **spent, "rows": len(rows)}
        metrics = {"equal": 1.0, "loss": math.nan}  # loss and count of the private are data, and without noise
        if not spent:
            metrics = {"loss_count": self.loss_count, "equal": 1.0, "loss": _mean(history)}
        parameters = self.local_steps.end(self.state.model, history)
        if self.secure is None:
            return Parcel(body, validated.sums, parameters, metrics)
        keys = self.secure.begin(
            *(request.body["run"], request.body["round"], fingerprint(request.parameters, request.body["step"])),
            contribution(request.parameters, parameters, metrics["loss"], metrics[self.federated.weighting]),
        )
        return Parcel({**body, **keys.body}, validated.sums)

    def _spend(self, request: Parcel) -> dict[str, float]:
        """Account for a round before any of it is computed: `epsilon` of the run here so far; nothing if not private.

        Raises BudgetError if the run or the site would spend too much.
        """
        privacy, manifest = self.train_config.privacy, self.data.dataset.manifest
        if not isinstance(privacy, PrivacyConfig):
            require_no_budget(self.lake)
            return {}
        rate = sample_rate(len(self.data.split.train), self.train_config.batch_size)
        steps = PrivateSteps(rate, privacy.noise_multiplier, self.federated.local_steps)
        event = {
            "run": request.body["run"],
            "round": request.body["round"],
            "dataset": f"{manifest.name}/{manifest.version}",
        }
        return {"epsilon": spend(self.lake, self.site, event, steps, privacy)}

    def _validation(self, request: Parcel) -> Parcel:
        return self._validate(*self._receive(request))

    def _validate(self, state: TrainState, plan: Plan) -> Parcel:
        if not self._may_say("validation"):
            return Parcel({"withheld": True})
        rows = self.data.rows("validation")
        sums = validate(
            state.model,
            find_units(self.data.dataset, rows, self.data.task),
            task=self.data.task,
            plan=plan,
            dataset=self.data.dataset,
            collective=self.collective,
        )
        return Parcel({"rows": len(rows)}, name_candidates(sums))

    def _test(self, request: Parcel) -> Parcel:
        """Predict this site's test patients and keep predictions, checkpoint and figures in this site's lake."""
        if not self.data.split.test:
            return Parcel({"withheld": True})
        state, plan = self._receive(request)
        task, dataset, rows = self.data.task, self.data.dataset, self.data.rows("test")
        run = RunDirectory(self.lake, str(request.body["name"]))
        decision: dict[str, Any] = request.body["decision"]
        patients = predict(
            state.model,
            find_units(dataset, rows, task),
            decision,
            run.write_prediction,
            task=task,
            plan=plan,
            dataset=dataset,
            collective=self.collective,
        )
        sums = task.merge(list(patients.values()))
        figures = json_figures(task.figures(sums))
        run.write_config(self.config)
        run.write_json(plan, "plan.json")
        save_checkpoint(run, "best", state, {})
        run.write_patients(patients)
        run.write_json(figures, "figures.json")
        summary = {"status": "done", "run": run.name, "site": self.site, "decision": decision, "figures": figures}
        run.write_json({**summary, "dataset": self.account.dataset}, "summary.json")
        if not self._may_say("test"):
            return Parcel({"withheld": True, "rows": len(rows)})
        return Parcel({"rows": len(rows)}, sums)

    def _stop(self, _request: Parcel) -> Parcel:
        self.finished = True
        return Parcel()

    def _receive(self, request: Parcel) -> tuple[TrainState, Plan]:
        """The model with the request's parameters, and the plan."""
        state, plan = self._ready(request)
        set_parameters(state.model, request.parameters)
        return state, plan

    def _ready(self, request: Parcel) -> tuple[TrainState, Plan]:
        if self.state is None or self.plan is None:
            return self._prepare(self._kept_plan(str(request.body["run"])))
        return self.state, self.plan

    def _kept_plan(self, run: str) -> Plan:
        directory = RunDirectory(self.lake, run)
        if not directory.exists("plan.json"):
            raise UserError("asked to work before the plan was sent")
        return dict(directory.read_json("plan.json"))

    def _may_say(self, part: Part) -> bool:
        return may_leave(len(getattr(self.data.split, part)), self.federated.min_patients)


def _mean(history: list[StepLoss]) -> float:
    """Mean loss over all items of these steps; NaN where none was labelled."""
    counts = np.array([record.count for record in history])
    losses = np.array([record.loss if record.count else 0.0 for record in history])
    return float(losses @ counts / counts.sum()) if counts.any() else math.nan


def _type_and_place(error: BaseException) -> str:
    """What exception was raised where, without its text, which may quote data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"
    return f"{type(error).__name__} in {place}"
