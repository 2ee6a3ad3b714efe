"""A line with a delay: what comes in on loopback goes to another address, each byte so many seconds later, both ways.

python slow_line.py PORT HOST:PORT SECONDS
"""

import asyncio
import sys
from contextlib import suppress


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Everything from `reader` to `writer`, later but as fast as it came."""
    loop, waiting = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]](maxsize=1024)

    async def deliver() -> None:
        while True:
            due, piece = await waiting.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not piece:
                return
            writer.write(piece)
            await writer.drain()

    delivery = asyncio.create_task(deliver())
    with suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            await waiting.put((loop.time() + seconds, piece))
    await waiting.put((loop.time() + seconds, b""))
    with suppress(ConnectionError):
        await delivery
    writer.close()


async def main(port: int, to: str, seconds: float) -> None:
    """Serve until the process is ended."""
    host, _, there = to.rpartition(":")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(there))
        await asyncio.gather(carry(reader, far_writer, seconds), carry(far_reader, writer, seconds))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
