"""A Milvus server in a network of its own, reached through one port of 127.0.0.1.

    unshare -rn --pid --fork --kill-child --mount-proc python serve_milvus.py LISTENING milvus-server --data FOLDER

The server listens with a dozen ports on every address, so it gets a network that has nothing but a loopback. LISTENING is the
number of an inherited socket that listens in the network outside; what comes in by it is passed on to the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import subprocess
import sys

PORT = 19530
SET_FLAGS, UP_AND_RUNNING = 0x8914, 0x41  # SIOCSIFFLAGS; IFF_UP, IFF_RUNNING


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        answers, server = await asyncio.open_connection("127.0.0.1", PORT)
    except OSError:  # it has not started yet
        writer.close()
        return
    await asyncio.gather(copy(reader, server), copy(answers, writer))


async def serve(listening: int, command: list[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", UP_AND_RUNNING))
    forward = await asyncio.start_server(pass_on, sock=socket.socket(fileno=listening))
    server = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    await server.wait()
    forward.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2:]))
