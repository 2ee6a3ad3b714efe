"""What is read from HDFS, without one: hdfs-native's inner reader is stood in for."""

import io

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncotrain.lake.hdfs import ArrowReader, LostConnectionError


class Packets(io.BytesIO):
    """`content` as HDFS gives it: in packets of at most `size` bytes, of which `lost` never come."""

    def __init__(self, content: bytes, size: int = 7, lost: int = 0) -> None:
        super().__init__(content)
        self.content, self.size, self.lost = content, size, lost

    def file_length(self) -> int:
        return len(self.content)

    def read_range_stream(self, offset: int, length: int) -> list[bytes]:
        part = self.content[offset : offset + length - self.lost]
        return [part[at : at + self.size] for at in range(0, len(part), self.size)]


@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 80), st.integers(1, 9))
def test_a_buffer_is_what_read_would_give(content: bytes, start: int, size: int, packet: int) -> None:
    file, plain = ArrowReader(Packets(content, packet)), io.BytesIO(content)
    for each in (file, plain):
        each.seek(min(start, len(content)))
    assert file.read_buffer(size).to_pybytes() == plain.read(size)
    assert file.tell() == plain.tell()


def test_arrow_takes_the_buffer() -> None:
    file = ArrowReader(Packets(b"0123456789" * 4))
    file.read = None  # what would be asked otherwise
    with pa.PythonFile(file, mode="r") as arrow:
        arrow.seek(8)
        assert arrow.read_buffer(12).to_pybytes() == b"890123456789"


def test_a_buffer_that_stays_short_is_an_error() -> None:
    with pytest.raises(LostConnectionError, match="9 bytes came of 12"):
        ArrowReader(Packets(b"0123456789" * 4, lost=3)).read_buffer(12)
