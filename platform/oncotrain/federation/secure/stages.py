"""The order of a round's stages: each once, and none after a refusal."""

from collections.abc import Iterator
from contextlib import contextmanager

from oncotrain.errors import UserError


class Stages:
    """What is left of one round."""

    def __init__(self, *names: str) -> None:
        self._left = names

    @contextmanager
    def enter(self, name: str) -> Iterator[None]:
        """Do stage `name`. If the block raises, the round is over: nobody may try until something is accepted.

        Raises UserError if another stage is due.
        """
        left, self._left = self._left, ()
        if left[:1] != (name,):
            due = f"'{left[0]}' is" if left else "nothing more is"
            raise UserError(f"secure aggregation: asked for stage '{name}' where {due} due in this round")
        yield
        self._left = left[1:]
