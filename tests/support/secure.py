"""Rounds of secure aggregation in one process, with sites that drop out where a test says."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from oncotrain.config.secure_aggregation import SecureAggregation
from oncotrain.federation.secure.coordinator import SecureSum
from oncotrain.federation.secure.messages import Advertisement, SealedShare
from oncotrain.federation.secure.roster import Roster, make_roster, read_roster
from oncotrain.federation.secure.session import Session
from oncotrain.federation.secure.site import SecureSite

STAGES = ("advertise", "share", "mask", "confirm", "open")
SITES = ("aachen", "basel", "chu-grenoble", "delft", "essen")


@cache
def key_of(name: str) -> ec.EllipticCurvePrivateKey:
    """The long-term key of a site, or of the consortium."""
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(name.encode()).digest()), ec.SECP384R1())


def openssh(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


@cache
def roster_of(names: tuple[str, ...]) -> Roster:
    content = make_roster({name: openssh(key_of(name)) for name in names}, key_of("consortium"))
    return read_roster(content, key_of("consortium").public_key(), "roster.json")


def session_of(names: tuple[str, ...] = SITES, number: int = 1, run: str = "run-1", **settings: float) -> Session:
    chosen = SecureAggregation.model_validate({"threshold": len(names) // 2 + 1, **settings})
    return Session(run, number, roster_of(names), chosen)


@dataclass
class Round:
    """Sites and coordinator of one round, and what passed between them."""

    session: Session
    values: Mapping[str, np.ndarray]
    """float64, 1-D, by site."""
    drops: Mapping[str, str] = field(default_factory=dict)
    """Site -> the first stage at which it is gone; not there: it stays."""

    def __post_init__(self) -> None:
        length = len(next(iter(self.values.values())))
        self.coordinator = SecureSum(self.session, length)
        self.sites = {name: SecureSite(name, key_of(name), self.session) for name in self.values}

    def there(self, stage: str) -> dict[str, SecureSite]:
        gone = {name for name, since in self.drops.items() if STAGES.index(since) <= STAGES.index(stage)}
        return {name: site for name, site in self.sites.items() if name not in gone}

    def advertised(self) -> list[Advertisement]:
        return [site.advertise() for site in self.there("advertise").values()]

    def listed(self) -> list[Advertisement]:
        return self.coordinator.keys(self.advertised())

    def routed(self) -> dict[str, list[SealedShare]]:
        keys = self.listed()
        return self.coordinator.route({name: site.share(keys) for name, site in self.there("share").items()})

    def masked(self) -> dict[str, np.ndarray]:
        sealed = self.routed()
        return {name: site.mask(sealed[name], self.values[name]) for name, site in self.there("mask").items()}

    def total(self) -> np.ndarray:
        survivors = self.coordinator.add(self.masked())
        confirmed = self.coordinator.agree([site.confirm(survivors) for site in self.there("confirm").values()])
        return self.coordinator.total([site.open(confirmed) for site in self.there("open").values()])
