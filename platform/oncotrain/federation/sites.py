"""The sites of a run as the coordinator sees them: asked, waited for, counted."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flwr.app import Message
from flwr.serverapp import Grid

from oncotrain.errors import DataError
from oncotrain.federation.parcel import Parcel, body_of, from_records, size, to_records
from oncotrain.federation.refusal import describe
from oncotrain.log import get_logger

POLL_SECONDS = 0.5
"""Between two looks for replies: Flower looks every 3 s; every 0.1 s kept the SuperLink busy on most of a core."""
FAREWELL_SECONDS = 30.0
"""How long the coordinator waits for sites to hear that the run is over."""


@dataclass
class Cost:
    """What one site took so far."""

    bytes_down: int = 0
    """Contents of messages to the site."""
    bytes_up: int = 0
    """Contents of its answers."""
    cpu_seconds: float = 0.0
    """Processor time of its worker, as it says."""


@dataclass
class Sites:
    """The admitted sites: name of each by the number that Flower gave it."""

    grid: Grid
    names: Mapping[int, str]
    deadline: float
    """Seconds that a site may take to answer."""
    run: str = ""
    """Name of the run, once there is one; sites note it in their audit beside what they send."""
    costs: dict[str, Cost] = field(init=False)

    def __post_init__(self) -> None:
        self.costs = {name: Cost() for name in self.names.values()}

    def wait(self, count: int, seconds: float) -> None:
        """Wait until `count` sites are online. Raises DataError after `seconds`, naming those that are not."""
        log = get_logger(stage="federate")
        deadline = time.monotonic() + seconds
        before: set[str] | None = None
        while True:
            online = {self.names[node] for node in self.grid.get_node_ids() if node in self.names}
            enough = len(online) >= count
            if online != before and not (enough and before is None):  # silent where there is nothing to wait for
                log.info("%d of %d sites online: %s", len(online), len(self.names), ", ".join(sorted(online)) or "none")
            if enough:
                return
            if time.monotonic() > deadline:
                missing = ", ".join(sorted(set(self.names.values()) - online))
                raise DataError(
                    f"{count} sites are needed, {len(online)} came within {seconds:.0f} s; not there: {missing}"
                )
            before = online
            time.sleep(POLL_SECONDS)

    def ask(self, kind: str, parcel: Parcel) -> dict[str, Parcel]:
        """Ask every site the same, such as ``query.contract``; parcels of those that answered, by site."""
        records = to_records(replace(parcel, body={"run": self.run, **parcel.body}))
        messages = [Message(records, node, kind) for node in self.names]
        return {self.name(reply): from_records(reply.content) for reply in self.exchange(messages)}

    def ask_each(self, kind: str, parcels: Mapping[str, Parcel]) -> dict[str, Parcel]:
        """As `ask`, but each site in `parcels` its own."""
        messages = [
            Message(to_records(replace(parcels[name], body={"run": self.run, **parcels[name].body})), node, kind)
            for node, name in self.names.items()
            if name in parcels
        ]
        return {self.name(reply): from_records(reply.content) for reply in self.exchange(messages)}

    def ask_all(self, kind: str, parcel: Parcel) -> dict[str, Parcel]:
        """As `ask`, of a question that every site must answer. Raises DataError naming the sites that did not."""
        answers = self.ask(kind, parcel)
        silent = sorted(set(self.names.values()) - answers.keys())
        if silent:
            raise DataError(f"{kind}: no answer from {', '.join(silent)}; the logs there say why")
        return answers

    def dismiss(self) -> None:
        """Tell every site that the run is over; who does not hear it finds the coordinator gone."""
        self.deadline = FAREWELL_SECONDS
        self.ask("query.stop", Parcel())

    def exchange(self, messages: Iterable[Message]) -> list[Message]:
        """Send `messages`; the replies with content, ordered by site so that sums over them are reproducible.

        A site that refuses, or does not answer by the deadline, is logged with its code.
        """
        messages = list(messages)
        for message in messages:
            self.costs[self.names[message.metadata.dst_node_id]].bytes_down += size(message.content)
        replies = self._replies(messages)
        for reply in replies:
            if reply.has_error():
                get_logger(site=self.name(reply), stage="federate").error(
                    "%s refused: %s", reply.metadata.message_type, describe(reply.error.code)
                )
            else:
                cost = self.costs[self.name(reply)]
                cost.bytes_up += size(reply.content)
                cost.cpu_seconds += body_of(reply.content)["cpu_seconds"]
        return sorted((reply for reply in replies if not reply.has_error()), key=self.name)

    def name(self, reply: Message) -> str:
        """The site that sent `reply`."""
        return self.names[reply.metadata.src_node_id]

    def _replies(self, messages: Sequence[Message]) -> list[Message]:
        asked = dict(zip(self.grid.push_messages(messages), messages, strict=True))
        deadline = time.monotonic() + self.deadline
        replies: list[Message] = []
        while asked and time.monotonic() < deadline:
            for reply in self.grid.pull_messages(list(asked)):
                del asked[reply.metadata.reply_to_message_id]
                replies.append(reply)
            time.sleep(POLL_SECONDS)
        for message in asked.values():
            site = self.names[message.metadata.dst_node_id]
            get_logger(site=site, stage="federate").error("no answer within %.0f s", self.deadline)
        return replies
