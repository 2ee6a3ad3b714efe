"""A site's worker: one process through all rounds, which holds dataset, model and optimizer and answers requests.

It opens its own site's lake and nothing else. Every answer that leaves is first noted in the site's audit.
"""

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from oncotrain.config.training import RunConfig
from oncotrain.errors import DataError, UserError
from oncotrain.federation.disclosure import may_leave, name_candidates
from oncotrain.federation.parcel import Parcel, from_bytes, to_bytes
from oncotrain.federation.refusal import Refusal
from oncotrain.federation.schedule import differing_keys, federated_section, federated_train, shared_settings
from oncotrain.federation.secure.answers import secure_answers
from oncotrain.federation.secure.contribution import contribution
from oncotrain.federation.secure.credentials import Credentials
from oncotrain.federation.secure.session import fingerprint
from oncotrain.federation.weight import loss_count
from oncotrain.lake.audit import append
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.split import Part
from oncotrain.log import get_logger
from oncotrain.tasks import Plan
from oncotrain.training.checkpoint import save_checkpoint
from oncotrain.training.collective import Collective, device
from oncotrain.training.data import RunData, local_statistics, open_data
from oncotrain.training.evaluation import find_units, predict, validate
from oncotrain.training.fit import StepLoss, fit
from oncotrain.training.process import prepare_process
from oncotrain.training.run import RunDirectory, json_figures
from oncotrain.training.state import TrainState, get_parameters, initial_state, set_parameters


class Worker:
    """Answers the coordinator's questions about one site, one at a time."""

    def __init__(
        self,
        site: str,
        lake: Lake,
        config: RunConfig,
        source: str,
        collective: Collective,
        credentials: Credentials | None = None,
    ) -> None:
        """Opens the site's data. Raises UserError or DataError where lake or configuration do not allow it.

        `credentials` are needed where the configuration asks for secure aggregation.
        """
        self.site, self.lake, self.config, self.source, self.collective = site, lake, config, source, collective
        self.federated = federated_section(config, source)
        self.train_config = federated_train(config.train, self.federated)
        self.secure = secure_answers(site, self.federated.secure_aggregation, credentials, source)
        self.data: RunData = open_data(lake, config, source)
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
        kind = "request"
        began = time.monotonic(), time.process_time()
        try:
            request = from_bytes(content)
            kind = str(request.body["kind"])
            reply = self._answers[kind](request)
            seconds, cpu_seconds = time.monotonic() - began[0], time.process_time() - began[1]
            body = {**reply.body, "seconds": seconds, "cpu_seconds": cpu_seconds}
            packed = to_bytes(Parcel(body, reply.sums, reply.parameters, reply.metrics))
            self._note(kind, request, packed, reply.body.get("rows", 0))
            log.info("%s answered in %.1f s, %d bytes", kind, seconds, len(packed))
            return packed
        except DataError as error:
            log.error("%s: %s", kind, error)
            return _refused(Refusal.DATA)
        except UserError as error:
            log.error("%s: %s", kind, error)
            return _refused(Refusal.CONFIGURATION)
        except Exception as error:  # noqa: BLE001 - a site answers every message, and its texts stay here
            log.error("%s: %s in %s", kind, type(error).__name__, _place(error))
            return _refused(Refusal.FAILED)

    def _note(self, kind: str, request: Parcel, packed: bytes, rows: int) -> None:
        event = {
            "action": "federate",
            "kind": kind,
            "run": request.body.get("run", ""),
            "round": request.body.get("round", 0),
            "bytes": len(packed),
            "content_sha256": hashlib.sha256(packed).hexdigest(),
            "rows": rows,
        }
        append(self.lake, self.site, event)

    def _contract(self, request: Parcel) -> Parcel:
        differing = differing_keys(shared_settings(self.config), request.body["settings"])
        manifest = self.data.dataset.manifest
        body = {
            "differing": differing,
            "contract": self.data.task.contract(manifest.features),
            "dataset": {"name": manifest.name, "version": manifest.version, "sha256": manifest.sha256},
            "training_rows": len(self.data.rows("train")),
        }
        return Parcel(body)

    def _statistics(self, request: Parcel) -> Parcel:
        if not self._may_say("train"):
            return Parcel({"withheld": True})
        sums = local_statistics(self.data, request.body["contract"])
        return Parcel({"rows": len(self.data.rows("train"))}, sums)

    def _take_plan(self, request: Parcel) -> Parcel:
        self.plan = dict(request.body["plan"])
        self.state = initial_state(self.data.task, self.plan, self.train_config, device(self.collective))
        rows = self.data.rows("train")
        self.loss_count = loss_count(self.state, self.data, rows, self.plan, self.train_config)
        return Parcel({"rows": len(rows)})

    def _train(self, request: Parcel) -> Parcel:
        if self.secure:
            self.secure.require_new(request.body["run"], request.body["round"])
        state, plan = self._receive(request)
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
        )
        body, parameters, loss = {**validated.body, "rows": len(rows)}, get_parameters(self.state.model), _mean(history)
        weights = {"loss_count": self.loss_count, "equal": 1.0}
        if self.secure is None:
            return Parcel(body, validated.sums, parameters, {**weights, "loss": loss})
        keys = self.secure.begin(
            *(request.body["run"], request.body["round"], fingerprint(request.parameters, request.body["step"])),
            contribution(request.parameters, parameters, loss, weights[self.federated.weighting]),
        )
        return Parcel({**body, **keys.body}, validated.sums)

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
        manifest = dataset.manifest
        run.write_config(self.config)
        run.write_json(plan, "plan.json")
        save_checkpoint(run, "best", state, {})
        run.write_patients(patients)
        run.write_json(figures, "figures.json")
        identity = {"name": manifest.name, "version": manifest.version, "sha256": manifest.sha256}
        summary = {"status": "done", "run": run.name, "site": self.site, "dataset": identity, "decision": decision}
        run.write_json({**summary, "figures": figures}, "summary.json")
        if not self._may_say("test"):
            return Parcel({"withheld": True, "rows": len(rows)})
        return Parcel({"rows": len(rows)}, sums)

    def _stop(self, _request: Parcel) -> Parcel:
        self.finished = True
        return Parcel()

    def _receive(self, request: Parcel) -> tuple[TrainState, Plan]:
        """The model with the request's parameters, and the plan."""
        if self.state is None or self.plan is None:
            raise UserError("asked to work before the plan was sent")
        set_parameters(self.state.model, request.parameters)
        return self.state, self.plan

    def _may_say(self, part: Part) -> bool:
        return may_leave(len(getattr(self.data.split, part)), self.federated.min_patients)


def _refused(refusal: Refusal) -> bytes:
    return to_bytes(Parcel({"refusal": int(refusal)}))


def _mean(history: list[StepLoss]) -> float:
    """Mean loss over all items of these steps; NaN where none was labelled."""
    counts = np.array([record.count for record in history])
    losses = np.array([record.loss if record.count else 0.0 for record in history])
    return float(losses @ counts / counts.sum()) if counts.any() else math.nan


def _place(error: BaseException) -> str:
    """Where an exception was raised, without its text, which may quote data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"
