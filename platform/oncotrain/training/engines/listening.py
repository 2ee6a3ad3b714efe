"""Horovod's servers, on the driver and in tasks, listen on the network that ranks talk over: not on all of a machine's.

One of them hands out where ranks are and asks nobody who he is. Horovod 0.28.1 has no setting for it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def listening_on(nic: str) -> Iterator[None]:
    """Meanwhile, whatever `horovod.spark.run` starts listens on the IPv4 address of the interface `nic` alone."""
    from horovod.runner.common.util import network
    from horovod.runner.http import http_server
    from horovod.spark import runner

    confine, make_mapper = _confine(nic), runner._make_mapper
    find_port = network.find_port
    confine()
    runner._make_mapper = lambda *arguments: _first(confine, make_mapper(*arguments))
    try:
        yield
    finally:
        network.find_port = http_server.find_port = find_port
        runner._make_mapper = make_mapper


def _first(confine: Callable[[], None], mapper: Callable[[int, Any], Any]) -> Callable[[int, Any], Any]:
    """What a Spark task does, after `confine`."""

    def confined(index: int, items: Any) -> Any:
        confine()
        return mapper(index, items)

    return confined


def _confine(nic: str) -> Callable[[], None]:
    """A function, pickled by value so that a task need not import torch, that confines Horovod in its process."""

    def confine() -> None:
        import socket

        import psutil
        from horovod.runner.common.util import network
        from horovod.runner.http import http_server

        [address, *_] = [each.address for each in psutil.net_if_addrs()[nic] if each.family == socket.AF_INET]

        def find_port(server_of: Callable[[tuple[str, int]], Any]) -> tuple[Any, int]:
            server = server_of((address, 0))
            return server, server.server_address[1]

        network.find_port = http_server.find_port = find_port

    return confine
