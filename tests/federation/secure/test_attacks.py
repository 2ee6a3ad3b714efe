"""What an active coordinator may try, and a site refuses; and what a site may try."""

from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from oncotrain.errors import DataError, UserError
from oncotrain.federation.secure.key_list import advertised
from oncotrain.federation.secure.messages import Advertisement, Confirmation
from oncotrain.federation.secure.roster import sign
from oncotrain.federation.secure.session import Session
from oncotrain.federation.secure.site import SecureSite
from support.secure import SITES, Round, key_of, roster_of, session_of

VALUES = {site: np.arange(4.0) for site in SITES}


def make() -> Round:
    return Round(session_of(), VALUES)


def advertisement_of(name: str, key: ec.EllipticCurvePrivateKey, session: Session) -> Advertisement:
    """Keys that `name` would advertise if `key` were its own."""
    others = dict(list(session.roster.keys.items())[:3])
    roster = replace(session.roster, keys={**others, name: key.public_key()})
    return SecureSite(name, key, replace(session, roster=roster)).advertise()


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def test_an_invented_participant_is_refused():
    one = make()
    keys = one.advertised()
    invented = advertisement_of("invented", key_of("invented"), one.session)
    with pytest.raises(UserError, match="'invented' is not on the roster"):
        one.sites["basel"].share([*keys, invented])


def test_keys_that_the_coordinator_made_for_a_site_of_the_roster_are_refused():
    one = make()
    forged = advertisement_of("delft", key_of("coordinator"), one.session)
    keys = [forged if key.site == "delft" else key for key in one.advertised()]
    with pytest.raises(UserError, match="the keys of delft do not have its signature for run run-1, round 1"):
        one.sites["basel"].share(keys)


@pytest.mark.parametrize("field", ["cipher_key", "mask_key", "seed_sha256"])
def test_every_field_of_the_keys_is_signed(field):
    one = make()
    keys = [
        key.model_copy(update={field: flipped(getattr(key, field))}) if key.site == "delft" else key
        for key in one.advertised()
    ]
    with pytest.raises(UserError, match="the keys of delft do not have its signature"):
        one.sites["basel"].share(keys)


@pytest.mark.parametrize(("run", "number"), [("run-1", 1), ("run-0", 2)])
def test_keys_of_another_round_or_run_are_refused(run, number):
    before = Round(session_of(run=run, number=number), VALUES).advertised()
    one = Round(session_of(number=2), VALUES)
    keys = [old if old.site == "delft" else new for old, new in zip(before, one.advertised(), strict=True)]
    with pytest.raises(UserError, match="the keys of delft do not have its signature for run run-1, round 2"):
        one.sites["basel"].share(keys)


def test_a_repeated_site_and_a_repeated_key_are_refused():
    one = make()
    keys = one.advertised()
    with pytest.raises(UserError, match="delft comes twice in the list of keys"):
        one.sites["basel"].share([*keys, keys[3]])
    stolen = keys[0].model_copy(update={"mask_key": keys[1].mask_key})
    stolen = stolen.model_copy(update={"signature": sign(key_of("aachen"), advertised(one.session, stolen))})
    with pytest.raises(UserError, match="a key comes twice"):
        one.sites["delft"].share([stolen, *keys[1:]])


def test_a_list_without_enough_sites_or_without_oneself_is_refused():
    one = make()
    keys = one.advertised()
    with pytest.raises(DataError, match=r"2 sites advertised keys \(aachen, basel\); the threshold is 3"):
        one.sites["basel"].share(keys[:2])
    with pytest.raises(UserError, match="does not have this site's own"):
        one.sites["essen"].share(keys[:4])


def test_a_share_changed_on_its_way_is_refused():
    one = make()
    sealed = one.routed()["basel"]
    sealed[0] = sealed[0].model_copy(update={"content": flipped(sealed[0].content)})
    with pytest.raises(UserError, match="the share from aachen was changed on its way"):
        one.sites["basel"].mask(sealed, VALUES["basel"])


def test_a_share_for_another_or_of_another_is_refused():
    one = make()
    sealed = one.routed()
    with pytest.raises(UserError, match="a share from 'aachen' is for another, or comes twice"):
        one.sites["basel"].mask(sealed["delft"], VALUES["basel"])
    relabelled = [share.model_copy(update={"recipient": "chu-grenoble"}) for share in sealed["aachen"]]
    with pytest.raises(UserError, match="the share from basel was changed"):
        one.sites["chu-grenoble"].mask(relabelled, VALUES["basel"])
    with pytest.raises(UserError, match="a share from 'aachen' is for another, or comes twice"):
        one.sites["essen"].mask([*sealed["essen"], sealed["essen"][0]], VALUES["basel"])


def test_sites_that_were_shown_different_key_lists_share_nothing():
    one = make()
    keys = one.listed()
    sealed = {name: site.share(keys if name != "essen" else keys[1:]) for name, site in one.sites.items()}
    for_basel = [share for shares in sealed.values() for share in shares if share.recipient == "basel"]
    with pytest.raises(UserError, match="the share from essen was changed"):
        one.sites["basel"].mask(for_basel, VALUES["basel"])


def test_a_set_of_survivors_shown_differently_to_two_groups_opens_nothing():
    """The coordinator's aim: the seed of essen from one group, its mask key from the other."""
    one = make()
    one.masked()
    everyone, without = list(SITES), list(SITES[:4])
    confirmed = {name: one.sites[name].confirm(everyone if name in SITES[2:] else without) for name in SITES}
    with pytest.raises(UserError, match="aachen did not sign the set of survivors that was shown here"):
        one.sites["essen"].open(confirmed.values())
    with pytest.raises(DataError, match=r"2 sites confirmed the survivors \(aachen, basel\); the threshold is 3"):
        one.sites["aachen"].open([confirmed["aachen"], confirmed["basel"]])


def test_sites_that_were_shown_different_sharers_open_nothing():
    one = make()
    sealed = one.routed()
    for name, site in one.sites.items():
        given = [share for share in sealed[name] if share.sender != "essen"] if name == "aachen" else sealed[name]
        site.mask(given, VALUES[name])
    confirmed = [site.confirm(SITES[:4]) for name, site in one.sites.items() if name != "essen"]
    with pytest.raises(UserError, match="aachen did not sign"):
        one.sites["basel"].open(confirmed)


def test_nobody_is_given_both_shares_of_one_site():
    one = make()
    masked = one.masked()
    survivors = one.coordinator.add({name: masked[name] for name in SITES[:4]})
    confirmed = one.coordinator.agree([one.sites[name].confirm(survivors) for name in survivors])
    opening = one.sites["aachen"].open(confirmed)
    assert opening.seeds.keys() == set(SITES[:4])
    assert opening.mask_keys.keys() == {"essen"}
    with pytest.raises(UserError, match="asked for stage 'open' where nothing more is due"):
        one.sites["aachen"].open(confirmed)


def test_a_second_set_of_survivors_is_not_confirmed():
    one = make()
    one.masked()
    one.sites["aachen"].confirm(SITES)
    with pytest.raises(UserError, match="asked for stage 'confirm' where 'open' is due"):
        one.sites["aachen"].confirm(SITES[:4])


def test_after_a_refusal_the_round_is_over_for_a_site():
    one = make()
    one.masked()
    with pytest.raises(UserError, match="invented among the survivors shared no secrets"):
        one.sites["aachen"].confirm([*SITES, "invented"])
    with pytest.raises(UserError, match="nothing more is due"):
        one.sites["aachen"].confirm(SITES)


def test_survivors_without_oneself_repeated_or_too_few_are_refused():
    one = make()
    one.masked()
    with pytest.raises(UserError, match="this site sent its update and is not among"):
        one.sites["aachen"].confirm(SITES[1:])
    with pytest.raises(UserError, match="comes twice among the survivors"):
        one.sites["basel"].confirm([*SITES, "basel"])
    with pytest.raises(DataError, match=r"2 sites sent masked updates \(delft, essen\)"):
        one.sites["delft"].confirm(["delft", "essen"])


def test_confirmations_of_an_earlier_round_and_repeated_ones_are_refused():
    rounds = [Round(session_of(number=number), VALUES) for number in (1, 2)]
    for one in rounds:
        one.masked()
    before, now = ([site.confirm(SITES) for site in one.sites.values()] for one in rounds)
    with pytest.raises(UserError, match="aachen did not sign the set of survivors"):
        rounds[1].sites["aachen"].open([before[0], *now[1:]])
    with pytest.raises(UserError, match="'basel' confirms the survivors twice"):
        rounds[1].sites["basel"].open([now[1], now[1], now[2]])
    with pytest.raises(UserError, match="'invented' confirms"):
        rounds[1].sites["delft"].open([*now, Confirmation(site="invented", signature=b"")])


def test_a_wrong_share_of_a_site_does_not_become_a_wrong_sum():
    one = make()
    masked = one.masked()
    survivors = one.coordinator.add({name: masked[name] for name in SITES[:4]})
    confirmed = one.coordinator.agree([one.sites[name].confirm(survivors) for name in survivors])
    openings = [one.sites[name].open(confirmed) for name in survivors]
    changed = flipped(openings[0].mask_keys["essen"])
    openings[0] = openings[0].model_copy(update={"mask_keys": {"essen": changed}})
    with pytest.raises(UserError, match="a share of essen's secret is wrong; it came from one of aachen, basel"):
        one.coordinator.total(openings)


def test_a_wrong_share_of_a_seed_does_not_become_a_wrong_sum():
    one = make()
    survivors = one.coordinator.add(one.masked())
    confirmed = one.coordinator.agree([site.confirm(survivors) for site in one.sites.values()])
    openings = [site.open(confirmed) for site in one.sites.values()]
    seeds = {**openings[0].seeds, "delft": flipped(openings[0].seeds["delft"])}
    openings[0] = openings[0].model_copy(update={"seeds": seeds})
    with pytest.raises(UserError, match="a share of delft's secret is wrong"):
        one.coordinator.total(openings)


def test_a_site_needs_its_own_key_of_the_roster():
    with pytest.raises(UserError, match="does not have this key for basel"):
        SecureSite("basel", key_of("aachen"), session_of())


@pytest.mark.parametrize("threshold", [2, 6])
def test_thresholds_that_do_not_protect_are_refused(threshold):
    with pytest.raises(UserError, match=rf"threshold is {threshold} with 5 sites on the roster; allowed are 3 to 5"):
        Session("run-1", 1, roster_of(SITES), session_of().settings.model_copy(update={"threshold": threshold}))
