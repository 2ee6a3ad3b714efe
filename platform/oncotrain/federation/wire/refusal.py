"""Why a site did not answer, as a number: the text of an exception may carry paths and identifiers, so it stays."""

from enum import IntEnum


class Refusal(IntEnum):
    """Error codes of a site's replies, outside the range of Flower's own."""

    APP = 1001
    """The message is of an app that is not on the site's list."""
    CONFIGURATION = 1002
    """The site's configuration, task or plan does not allow what was asked."""
    DATA = 1003
    """The site's lake lacks what was asked, or rows are missing."""
    FAILED = 1004
    """Anything else; the site's own log says what."""
    AUDIT = 1005
    """The other side's audit chain was cut or rewritten, or its head bears no valid signature."""
    PRIVACY_BUDGET = 1006
    """The round would spend more of the patients' privacy than the run or the site allows."""
    POLICY = 1007
    """The site's floor does not allow the run."""
    RANK = 1008
    """A rank of the site's training was lost; they are started again, and the next round finds them there."""
    RESTARTED = 1009
    """The site's client was killed before it answered, and is there again."""


FLOWER = "FLOWER"
"""Name of Flower's own codes: it answers for a site that is gone."""
GONE = (FLOWER, Refusal.RESTARTED.name)
"""Names of codes that come of a site which was gone when it should have answered."""


def name_of(code: int) -> str:
    """The name of a code; FLOWER for Flower's own."""
    return {refusal.value: refusal.name for refusal in Refusal}.get(code, FLOWER)


def describe(code: int) -> str:
    """Name and number of a code, Flower's own codes included."""
    return f"{name_of(code)} ({code})"


def type_and_place(error: BaseException) -> str:
    """What exception was raised where, without its text, which may quote data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"
    return f"{type(error).__name__} in {place}"
