"""The Flower app at the coordinator: conducts the run that its job file describes, and leaves how it ended."""

import logging
from pathlib import Path
from typing import Any, cast

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.superlink.grid.http_grid import HttpGrid

from oncotrain.errors import UserError
from oncotrain.federation.audit.heads import Signer
from oncotrain.federation.coordinator.account import CoordinatorAccount
from oncotrain.federation.coordinator.conduct import conduct
from oncotrain.federation.coordinator.job import LOG, Job, Outcome, write_outcome
from oncotrain.federation.coordinator.sites import Sites
from oncotrain.federation.identity.admission import admitted
from oncotrain.federation.identity.keys import COORDINATOR
from oncotrain.federation.process import end_with_parent
from oncotrain.federation.schedule import federated_section
from oncotrain.federation.secure.credentials import CONSORTIUM, ROSTER, load_roster
from oncotrain.federation.secure.roster import Roster
from oncotrain.federation.wire.grid import PromptGrid
from oncotrain.lake.filesystem import Lake
from oncotrain.log import get_logger

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Conduct the run, dismiss the sites, then leave the outcome: whoever waits for it stops the server."""
    end_with_parent()  # or it would wait for ever for a SuperLink that was killed, and another conducts its run
    file = Path(str(context.run_config["job"]))
    _log_to(file.parent / LOG)
    job = Job.model_validate_json(file.read_text(encoding="utf-8"))
    try:
        prompt = PromptGrid(cast(HttpGrid, grid))  # Flower makes no other
        outcome = Outcome(summary=_conduct(prompt, job, file.parent))
    except UserError as error:
        outcome = Outcome(error=str(error), exit_code=error.exit_code)
    write_outcome(file.parent, outcome)


def _conduct(grid: Grid, job: Job, work: Path) -> dict[str, Any]:
    lake, names = Lake(job.lake), job.nodes.values()
    keys = {site: key for site, key in admitted(work).items() if site in names}
    account = CoordinatorAccount(lake, names, Signer.load(COORDINATOR, work / f"{COORDINATOR}.key"), keys)
    sites = Sites(grid, job.nodes, federated_section(job.config, job.source).round_deadline, account=account)
    try:
        return conduct(sites, lake, job.config, job.source, _roster(work, job))
    finally:
        sites.dismiss()


def _roster(work: Path, job: Job) -> Roster | None:
    """The signed roster in the job's folder, where the configuration asks for secure aggregation."""
    if federated_section(job.config, job.source).secure_aggregation is None:
        return None
    return load_roster(work / ROSTER, work / CONSORTIUM)


def _log_to(path: Path) -> None:
    """Log lines go into a file as well: Flower keeps an app's stderr to itself."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    get_logger().logger.addHandler(handler)
