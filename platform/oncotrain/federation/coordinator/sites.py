"""The sites of a run as the coordinator sees them: asked, waited for, counted."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter

from flwr.app import Message
from flwr.serverapp import Grid

from oncotrain.errors import DataError
from oncotrain.federation.audit.heads import HEAD
from oncotrain.federation.audit.witness import BrokenChainError
from oncotrain.federation.coordinator.account import CoordinatorAccount
from oncotrain.federation.wire.blocks import pack, unpack
from oncotrain.federation.wire.parcel import CONFIG, Parcel, body_of, from_records, size, to_records
from oncotrain.federation.wire.refusal import GONE, describe, name_of
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

    def add(self, other: "Cost") -> None:
        """Count what `other` counted, too."""
        self.bytes_down += other.bytes_down
        self.bytes_up += other.bytes_up
        self.cpu_seconds += other.cpu_seconds


@dataclass
class Sites:
    """The admitted sites: name of each by the number that Flower gave it."""

    grid: Grid
    names: Mapping[int, str]
    deadline: float
    """Seconds that a site may take to answer."""
    run: str = ""
    """Name of the run, once there is one; sites note it in their audit beside what they send."""
    account: CoordinatorAccount | None = None
    """Where the coordinator notes what is sent and received; None where nothing is kept."""
    costs: dict[str, Cost] = field(init=False)
    lost: set[str] = field(init=False, default_factory=set)
    """Sites that were gone before they answered the last exchange; who refuses is not."""

    def __post_init__(self) -> None:
        self.costs = {name: Cost() for name in self.names.values()}

    def online(self) -> set[str]:
        """Names of the sites that are connected."""
        return {self.names[node] for node in self.grid.get_node_ids() if node in self.names}

    def wait(self, count: int, seconds: float) -> None:
        """Wait until `count` sites are online. Raises DataError after `seconds`, naming those that are not."""
        log = get_logger(stage="federate")
        deadline = time.monotonic() + seconds
        before: set[str] | None = None
        while True:
            online = self.online()
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
        _require_none(kind, set(self.names.values()) - answers.keys())
        return answers

    def require_no_refusal(self, kind: str, silent: set[str]) -> None:
        """Raises DataError naming those of the `silent` sites of the last exchange that were there."""
        _require_none(kind, silent - self.lost)

    def dismiss(self) -> None:
        """Tell every site that the run is over; who does not hear it finds the coordinator gone."""
        self.deadline = FAREWELL_SECONDS
        self.ask("query.stop", Parcel())

    def exchange(
        self, messages: Iterable[Message], take: Callable[[Message], Message] = lambda reply: reply
    ) -> list[Message]:
        """Send `messages`; the replies with content, ordered by site so that sums over them are reproducible.

        A site that refuses, or does not answer by the deadline, is logged with its code; so is one whose audit chain
        was cut or rewritten. Of each reply is kept what `take` returns, before the next one is fetched.
        """
        messages = list(messages)
        requests = self._note(messages)
        pack(message.content for message in messages)
        for message in messages:
            self.costs[self.names[message.metadata.dst_node_id]].bytes_down += size(message.content)
        self.lost = {self.names[message.metadata.dst_node_id] for message in messages}
        accepted = []
        for site, reply in self._replies(messages):
            if not reply.has_error() or name_of(reply.error.code) not in GONE:
                self.lost.discard(site)
            if self._accept(site, reply, requests.get(site)):
                accepted.append((site, take(reply)))
        return [reply for _, reply in sorted(accepted, key=itemgetter(0))]

    def name(self, reply: Message) -> str:
        """The site that sent `reply`."""
        return self.names[reply.metadata.src_node_id]

    def _note(self, messages: Sequence[Message]) -> dict[str, Parcel]:
        """Note what goes to each site, and put the audit's head into it; the requests as they were noted."""
        if self.account is None or not messages:
            return {}
        contents = {id(message.content): message.content for message in messages}  # a strategy sends all sites one
        parcels = {identity: from_records(content) for identity, content in contents.items()}
        requests = {self.names[message.metadata.dst_node_id]: parcels[id(message.content)] for message in messages}
        head = self.account.send(_kind(messages[0]), requests)
        if head is not None:
            for content in contents.values():
                content.config_records[CONFIG][HEAD] = head
        return requests

    def _accept(self, site: str, reply: Message, request: Parcel | None) -> bool:
        """Count and note a reply; whether it is one to go on with."""
        kind = _kind(reply)
        log = get_logger(site=site, stage="federate")
        if reply.has_error():
            what = "not answered, the site was gone" if name_of(reply.error.code) in GONE else "refused"
            log.error("%s %s: %s", reply.metadata.message_type, what, describe(reply.error.code))
            if self.account and request:
                self.account.receive_refusal(site, kind, request, reply.error.code)
            return False
        self.costs[site].bytes_up += size(reply.content)
        try:
            unpack(reply.content)
        except (KeyError, TypeError, ValueError) as error:
            log.error("%s dropped: its arrays cannot be read (%s)", reply.metadata.message_type, error)
            return False
        body = body_of(reply.content)
        self.costs[site].cpu_seconds += body["cpu_seconds"]
        if self.account and request:
            try:
                self.account.receive(site, kind, request, from_records(reply.content), body.get(HEAD))
            except BrokenChainError as error:
                log.error("%s dropped: %s", reply.metadata.message_type, error)
                return False
        return True

    def _replies(self, messages: Sequence[Message]) -> Iterator[tuple[str, Message]]:
        """Replies beside their sites, as they come; Flower's own, for a site that is gone, do not name it.

        Each is asked for by itself: of several that are there, Flower brings all into memory.
        """
        asked = {
            identifier: self.names[message.metadata.dst_node_id]
            for identifier, message in zip(self.grid.push_messages(messages), messages, strict=True)
        }
        deadline = time.monotonic() + self.deadline
        while asked and time.monotonic() < deadline:
            began = time.monotonic()
            for identifier, site in list(asked.items()):
                for reply in self.grid.pull_messages([identifier]):
                    del asked[identifier]
                    yield site, reply
            if asked:
                time.sleep(max(POLL_SECONDS, time.monotonic() - began))
        for site in asked.values():
            get_logger(site=site, stage="federate").error("no answer within %.0f s", self.deadline)


def _require_none(kind: str, silent: set[str]) -> None:
    if silent:
        raise DataError(f"{kind}: no answer from {', '.join(sorted(silent))}; the logs there say why")


def _kind(message: Message) -> str:
    """What a message is called in both sides' audits, such as ``contract``."""
    return message.metadata.message_type.rpartition(".")[2]
