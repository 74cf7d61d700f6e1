"""Backends behind the gateway: two echo servers nobody here wrote, and a TCP server that answers as a case wants.

Each keeps the request heads it saw, so that a case can say what reached it and what did not.
"""

import asyncio
import base64
import contextlib
import hashlib
import json

from websockets.asyncio.server import serve as websockets_serve

from harness.processes import Child, until
from harness.registry import HERE


class NpmEcho:
    """npm `ws` as an echo server."""

    name = "npm ws"

    def __init__(self, child: Child, port: int):
        self.child, self.port = child, port
        self.url = f"ws://127.0.0.1:{port}"

    @classmethod
    async def start(cls, **options) -> "NpmEcho":
        child = await Child.start("node", HERE / "node" / "echo.mjs", json.dumps(options), name="npm ws echo")
        found = await child.line(r'^\{"port":(\d+)\}')
        return cls(child, int(found[1]))

    def _said(self, key: str) -> list[dict]:
        return [record for line in self.child.lines if line.startswith("{") and key in (record := json.loads(line))]

    @property
    def requests(self) -> list[dict]:
        """Handshakes seen: url, headers (lower-case names), protocol, extensions."""
        return self._said("url")

    @property
    def closes(self) -> list[tuple[int, str]]:
        return [(record["closed"], record["reason"]) for record in self._said("closed")]

    async def seen(self, count: int = 1) -> list[dict]:
        return await until(lambda: len(self.requests) >= count and self.requests, f"{count} handshakes at the backend")

    async def closed(self) -> tuple[int, str]:
        return (await until(lambda: self.closes, "a close at the backend"))[0]

    async def stop(self) -> None:
        await self.child.stop()


class PyEcho:
    """Python `websockets` as an echo server."""

    name = "Python websockets"

    def __init__(self):
        self.requests: list[dict] = []
        self.closes: list[tuple[int, str]] = []
        self.server = None
        self.port = 0
        self.url = ""

    @classmethod
    async def start(cls, **options) -> "PyEcho":
        self = cls()
        options = {"max_size": None, "ping_interval": None, **options}
        self.server = await websockets_serve(self._serve, "127.0.0.1", 0, **options)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}"
        return self

    async def _serve(self, connection) -> None:
        headers = {name.lower(): value for name, value in connection.request.headers.raw_items()}
        self.requests.append({"url": connection.request.path, "headers": headers, "protocol": connection.subprotocol or ""})
        try:
            async for message in connection:
                words = message.split(" ", 2) if isinstance(message, str) else []
                if words[:1] == ["close"]:
                    await connection.close(int(words[1]), words[2] if len(words) > 2 else "")
                elif words == ["die"]:
                    connection.transport.abort()
                else:
                    await connection.send(message)
        except Exception:  # the client's end, seen as an error by the iterator
            pass
        if connection.close_code is not None:
            self.closes.append((connection.close_code, connection.close_reason or ""))

    async def seen(self, count: int = 1) -> list[dict]:
        return await until(lambda: len(self.requests) >= count and self.requests, f"{count} handshakes at the backend")

    async def closed(self) -> tuple[int, str]:
        return (await until(lambda: self.closes, "a close at the backend"))[0]

    async def stop(self) -> None:
        for connection in list(self.server.connections):
            connection.transport.abort()
        self.server.close()


class Tcp:
    """A TCP server that runs a case's own coroutine for each connection, and counts them."""

    def __init__(self, handler):
        self.handler = handler
        self.connections = 0
        self.received: list[bytes] = []
        self._tasks: set[asyncio.Task] = set()
        self._writers: list[asyncio.StreamWriter] = []

    @classmethod
    async def start(cls, handler, port: int = 0) -> "Tcp":
        self = cls(handler)
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=64 << 20)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}"
        self.http_url = f"http://127.0.0.1:{self.port}"
        return self

    async def _serve(self, reader, writer) -> None:
        self.connections += 1
        task = asyncio.current_task()
        self._tasks.add(task)
        self._writers.append(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self.handler(self, reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def stop(self) -> None:
        self.server.close()
        for task in list(self._tasks):
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()


def answers(response: bytes):
    """A handler that reads one request head and gives these bytes."""

    async def handler(tcp: Tcp, reader, writer) -> None:
        tcp.received.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(response)
        await writer.drain()

    return handler


def pages(routes: dict):
    """A handler for a small HTTP server: path → (status, content type, body) or a function that gives one."""

    async def handler(tcp: Tcp, reader, writer) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            tcp.received.append(head)
            found = routes.get(head.split()[1].decode().partition("?")[0], (404, "text/plain", "no such page"))
            status, kind, body = found() if callable(found) else found
            body = body.encode()
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()

    return handler


async def accept(reader, writer, extra: bytes = b"") -> bytes:
    """Reads a handshake and accepts it (RFC 6455 4.2.2); gives the request head."""
    head = await reader.readuntil(b"\r\n\r\n")
    key = next(line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
    digest = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                 + digest + b"\r\n\r\n" + extra)
    await writer.drain()
    return head
