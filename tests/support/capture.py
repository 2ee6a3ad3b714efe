"""What went over the wire: packets as tcpdump wrote them, and the bytes inside TLS, by keys that the clients logged."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.hospitals import COORDINATOR, Hospitals


@dataclass(frozen=True)
class Capture:
    """A file of packets at the coordinator; complete once the context of `captured` is left."""

    file: Path
    keys: Path
    """Where processes log the secrets of their TLS connections."""

    @property
    def logging_keys(self) -> dict[str, str]:
        """Environment of a Python process whose connections `plain` is to decrypt."""
        return {"SSLKEYLOGFILE": str(self.keys), "PYTHONPATH": str(Path(__file__).parent / "keylog")}

    def conversations(self) -> set[tuple[str, str]]:
        """Of every packet but answers: the protocol, and the address (``host:port``) to which it was sent.

        A TCP packet counts where it opens a connection.
        """
        fields = ["ip.dst", "tcp.dstport", "udp.dstport", "ip.proto"]
        lines = self._tshark("-Y", "ip and (not tcp or (tcp.flags.syn == 1 and tcp.flags.ack == 0))", *_show(fields))
        found = set()
        for host, tcp, udp, protocol in (line.split("\t") for line in lines.splitlines()):
            name = "tcp" if tcp else "udp" if udp else f"protocol {protocol}"
            found.add((name, f"{host}:{tcp or udp}"))
        return found

    def plain(self) -> bytes:
        """Everything that was said inside TLS, connection after connection, each direction for itself."""
        streams = sorted({int(line) for line in self._tshark("-Y", "tls.app_data", *_show(["tcp.stream"])).split()})
        follow = [word for stream in streams for word in ("-z", f"follow,tls,raw,{stream}")]
        return b"\n".join(_directions(self._tshark("-q", *follow))) if follow else b""

    def _tshark(self, *options: str) -> str:
        command = ["tshark", "-r", str(self.file), "-o", f"tls.keylog_file:{self.keys}", *options]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def captured(network: Hospitals, file: Path) -> Iterator[Capture]:
    """Write down every packet that the coordinator's machine sends or receives, but for those to itself."""
    keys = file.with_suffix(".keys")
    keys.touch()
    log = file.with_suffix(".log")
    command = ["tcpdump", "-i", "any", "-s", "0", "-B", "65536", "-U", "-w", str(file), "not", "host", "127.0.0.1"]
    with log.open("wb") as stderr:
        process = subprocess.Popen([*network.inside(COORDINATOR), *command], stderr=stderr)
    try:
        while "listening on" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield Capture(file, keys)
    finally:
        time.sleep(1)  # what has just been sent is on its way to the file
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert "0 packets dropped by kernel" in log.read_text(), log.read_text()


def _show(fields: list[str]) -> list[str]:
    return ["-T", "fields", *(word for field in fields for word in ("-e", field))]


def _directions(text: str) -> Iterator[bytes]:
    """tshark indents what the second party says by a tab; a chunk is a line of hexadecimal digits."""
    said: tuple[list[str], list[str]] = ([], [])
    for line in text.splitlines():
        digits = line.strip()
        if digits and set(digits) <= set("0123456789abcdef"):
            said[line.startswith("\t")].append(digits)
        elif line.startswith("==="):
            yield from (bytes.fromhex("".join(chunks)) for chunks in said)
            said = ([], [])
