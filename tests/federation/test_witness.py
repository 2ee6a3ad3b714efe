"""What one side accepts as the other's chain going on."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from oncotrain.federation.audit.heads import SignedHead, Signer
from oncotrain.federation.audit.witness import WITNESSED, BrokenChainError, Witness
from oncotrain.lake import audit
from oncotrain.lake.audit import Head

SITE = "uz-leuven"
SIGNER = Signer(SITE, ec.generate_private_key(ec.SECP384R1()))
KEY = SIGNER.key.public_key()


def head(number: int, sha256: str = "", signer: Signer = SIGNER) -> str:
    return signer.sign(Head(number, sha256 or f"{number:064x}")).model_dump_json()


@given(numbers=st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_heads_are_taken_as_long_as_the_chain_grows(numbers):
    witness, highest, caught = Witness(SITE, [], KEY), -1, False
    for number in numbers:
        caught = caught or number < highest
        if caught:
            with pytest.raises(BrokenChainError, match="its tail was cut") as error:
                witness.take(head(number))
            assert error.value.head is not None
            assert error.value.head.is_signed_by(KEY), "the evidence is whole"
        else:
            taken = witness.take(head(number))
            assert taken is not None
            assert taken.number == highest or number > highest
            highest = number


def test_another_head_of_the_same_number_is_refused_and_all_after_it():
    witness = Witness(SITE, [], KEY)
    witness.take(head(3))
    witness.take(head(3))
    for again in (head(3, "f" * 64), head(4), head(3)):
        with pytest.raises(BrokenChainError, match="line 4 of uz-leuven's audit was another one: rewritten"):
            witness.take(again)


def test_a_forged_head_spoils_nothing():
    witness = Witness(SITE, [], KEY)
    witness.take(head(3))
    with pytest.raises(BrokenChainError, match="not signed"):
        witness.take(head(0, signer=Signer(SITE, ec.generate_private_key(ec.SECP384R1()))))
    witness.take(head(4))


def test_an_earlier_runs_heads_are_remembered_by_the_own_chain(lake):
    for number in (7, 5):  # two runs at once note what they saw in any order
        audit.append(lake, "coordinator", {WITNESSED: SignedHead.model_validate_json(head(number)).model_dump()})
    audit.append(lake, "coordinator", {"action": "send"})
    witness = Witness(SITE, audit.read(lake, "coordinator"), KEY)
    witness.take(head(7))
    with pytest.raises(BrokenChainError, match="has 7 lines and had 8"):
        witness.take(head(6))
    Witness("chu-grenoble", audit.read(lake, "coordinator")).take(None)


def test_a_new_key_is_a_new_chain():
    """Another coordinator, whose chain has the same name."""
    other = Signer(SITE, ec.generate_private_key(ec.SECP384R1()))
    witness = Witness(SITE, [])
    witness.take(head(7))
    witness.take(head(2, signer=other))
    with pytest.raises(BrokenChainError):
        witness.take(head(6))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no head of uz-leuven's audit came"),
        ("", "is none"),
        ("{}", "is none"),
        (5, "is none"),
        (["x"], "is none"),
        (head(3)[:-5] + '"}', "is none|not signed with the key"),
        (head(3, signer=Signer(SITE, ec.generate_private_key(ec.SECP384R1()))), "not signed with the key known"),
        (head(3, signer=Signer("chu-grenoble", SIGNER.key)), "a head of another chain"),
    ],
    ids=["missing", "empty", "object", "number", "list", "cut", "wrong key", "other site"],
)
def test_what_is_not_signed_by_the_known_key_is_refused(text, message):
    with pytest.raises(BrokenChainError, match=message):
        Witness(SITE, [], KEY).take(text)


def test_where_no_key_is_known_nothing_need_come():
    assert Witness(SITE, []).take(None) is None
