"""A real coordinator that admits one site, and that site's YAML."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from oncotrain.config.site import SiteConfig
from oncotrain.federation.coordinator.server import Coordinator, Invitation, coordinator, prepare
from oncotrain.federation.local import describe, enroll, key_of
from oncotrain.lake.filesystem import Lake
from support.federation import federated_config

SITE = "uz-leuven"
CLIENT = Path(__file__).parents[2] / "jobs" / "federated_client.py"


@contextmanager
def started(work: Path, port: int, sites: Sequence[str] = (SITE,)) -> Iterator[Coordinator]:
    """A coordinator that admits `sites`, whose keys are in folders of their own."""
    prepare(work, ["127.0.0.1"])
    enroll(work, sites)
    with coordinator(work, "127.0.0.1", port) as running:
        yield running


def own_key(server: Coordinator) -> Path:
    """The private key of the site that `server` admits."""
    return key_of(server.invitation.folder, SITE)


def write_site(invitation: Invitation, lake: Lake, folder: Path, federated: dict[str, Any] | None = None) -> Path:
    """The `site.yaml` of the site that was invited, in `folder`, with a run's configuration beside it."""
    folder.mkdir(exist_ok=True)
    config, file = folder / "run.yaml", folder / "site.yaml"
    config.write_text(yaml.safe_dump(federated_config("drug_response", federated).model_dump(mode="json")))
    described: SiteConfig = describe(invitation, SITE, lake, config, CLIENT)
    file.write_text(yaml.safe_dump(described.model_dump(mode="json")))
    return file
