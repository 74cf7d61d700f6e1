"""Clients nobody here wrote, behind one face: npm `ws`, Python `websockets`, Chromium.

`open` gives a Connection or raises Refused; a Connection sends, receives, pings, closes and tells how it was closed.
"""

import asyncio
import base64
import dataclasses
import itertools
import json

import websockets
from websockets.asyncio.client import connect as websockets_connect

from harness.processes import Child
from harness.registry import HERE


@dataclasses.dataclass
class Refused(Exception):
    """The handshake was answered with something other than 101. `status` is None where the client cannot see it."""

    status: int | None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: str = ""


class Program:
    """A Node program that answers one JSON line for each JSON line."""

    def __init__(self, child: Child):
        self.child = child
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future] = {}
        self._pump = asyncio.create_task(self._read())

    async def _read(self) -> None:
        at = 0
        while True:
            try:
                await self.child.line(r'^\{.*"call":', seconds=3600, after=at)
            except AssertionError as error:
                for future in self._waiting.values():
                    if not future.done():
                        future.set_exception(error)
                return
            while at < len(self.child.lines):
                line, at = self.child.lines[at], at + 1
                if line.startswith("{") and '"call":' in line:
                    answer = json.loads(line)
                    future = self._waiting.pop(answer.pop("call"), None)
                    if future and not future.done():
                        future.set_result(answer)

    async def call(self, op: str, seconds: float = 15, **arguments):
        """One request and its answer."""
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        self.child.process.stdin.write(json.dumps({"call": number, "op": op, **arguments}).encode() + b"\n")
        await self.child.process.stdin.drain()
        answer = await asyncio.wait_for(future, seconds)
        if "failed" in answer:
            raise AssertionError(f"{self.child.name} {op}: {answer['failed']}")
        return answer

    async def stop(self) -> None:
        self._pump.cancel()
        await self.child.stop()


class NpmWs:
    """npm `ws`."""

    name = "npm ws"

    def __init__(self, program: Program):
        self.program = program

    async def open(self, url: str, *, protocols=(), headers=None, deflate=None) -> "NpmConnection":
        answer = await self.program.call("open", url=url, protocols=list(protocols), headers=headers or {}, deflate=deflate)
        if "refused" in answer:
            raise Refused(answer["refused"], answer["headers"], answer["body"])
        if "error" in answer:
            raise ConnectionError(answer["error"])
        return NpmConnection(self.program, answer)


class NpmConnection:
    def __init__(self, program: Program, opened: dict):
        self.program, self.id = program, opened["id"]
        self.protocol, self.extensions = opened["protocol"], opened["extensions"]

    async def send(self, data: str | bytes) -> None:
        if isinstance(data, str):
            await self.program.call("send", id=self.id, text=data)
        else:
            await self.program.call("send", id=self.id, binary=base64.b64encode(data).decode())

    async def send_fragments(self, parts: list[str]) -> None:
        await self.program.call("send", id=self.id, fragments=parts)

    async def _event(self, seconds: float) -> dict:
        return await self.program.call("next", seconds, id=self.id)

    async def receive(self, seconds: float = 10) -> str | bytes:
        event = await self._event(seconds)
        if "closed" in event:
            raise AssertionError(f"closed with {event['closed']} {event['reason']!r} where a message was due")
        return event["text"] if "text" in event else base64.b64decode(event["binary"])

    async def ping(self, seconds: float = 10) -> None:
        await self.program.call("ping", id=self.id, text="are you there")
        event = await self._event(seconds)
        assert event.get("pong") == "are you there", event

    async def close(self, code: int, reason: str = "") -> None:
        await self.program.call("close", id=self.id, code=code, reason=reason)

    async def closed(self, seconds: float = 10) -> tuple[int, str]:
        """Waits for the close, passing over messages: code and reason."""
        while True:
            event = await self._event(seconds)
            if "closed" in event:
                return event["closed"], event["reason"]


class PyWebsockets:
    """Python `websockets`."""

    name = "Python websockets"

    def __init__(self):
        self.connections: list = []

    async def open(self, url: str, *, protocols=(), headers=None, deflate=True) -> "PyConnection":
        try:
            connection = await websockets_connect(
                url,
                subprotocols=list(protocols) or None,
                additional_headers=headers or None,
                compression="deflate" if deflate else None,
                max_size=None,
                proxy=None,
                ping_interval=None,
            )
        except websockets.InvalidStatus as refusal:
            response = refusal.response
            raise Refused(response.status_code, {k.lower(): v for k, v in response.headers.raw_items()},
                          (response.body or b"").decode(errors="replace")) from None
        self.connections.append(connection)
        return PyConnection(connection)

    async def stop(self) -> None:
        for connection in self.connections:
            connection.transport.abort()


class PyConnection:
    def __init__(self, connection):
        self.connection = connection
        self.protocol = connection.subprotocol or ""
        self.extensions = connection.response.headers.get("Sec-WebSocket-Extensions", "")

    async def send(self, data: str | bytes) -> None:
        await self.connection.send(data)

    async def send_fragments(self, parts: list[str]) -> None:
        await self.connection.send(parts)

    async def receive(self, seconds: float = 10) -> str | bytes:
        return await asyncio.wait_for(self.connection.recv(), seconds)

    async def ping(self, seconds: float = 10) -> None:
        await asyncio.wait_for(await self.connection.ping("are you there"), seconds)

    async def close(self, code: int, reason: str = "") -> None:
        await self.connection.close(code, reason)

    async def closed(self, seconds: float = 10) -> tuple[int, str]:
        async with asyncio.timeout(seconds):
            try:
                while True:
                    await self.connection.recv()
            except websockets.ConnectionClosed as closed:
                return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


# What a browser page does with a socket: open it, keep what comes, tell the first thing that ends it.
_BROWSER_OPEN = """({ url, protocols }) => new Promise((resolve) => {
  window.sockets ??= [];
  const socket = new WebSocket(url, protocols);
  const state = { socket, events: [] };
  socket.binaryType = 'arraybuffer';
  const base64 = (buffer) => btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(''));
  socket.onopen = () => {
    window.sockets.push(state);
    resolve({ id: window.sockets.length - 1, protocol: socket.protocol, extensions: socket.extensions });
  };
  socket.onmessage = ({ data }) => state.events.push(typeof data === 'string' ? { text: data } : { binary: base64(data) });
  socket.onclose = ({ code, reason }) => { state.events.push({ closed: code, reason }); resolve({ refused: code }); };
})"""


class Chromium:
    """Chromium, on a page that a plain HTTP server gave it."""

    name = "Chromium"

    def __init__(self, program: Program, page: int):
        self.program, self.page = program, page

    async def evaluate(self, script: str, argument=None, seconds: float = 15):
        return (await self.program.call("evaluate", seconds, id=self.page, script=script, argument=argument)).get("value")

    async def open(self, url: str, *, protocols=(), headers=None, deflate=None) -> "ChromiumConnection":
        assert not headers, "a page cannot set headers"
        answer = await self.evaluate(_BROWSER_OPEN, {"url": url, "protocols": list(protocols)})
        if "refused" in answer:
            raise Refused(None)
        return ChromiumConnection(self, answer)


class ChromiumConnection:
    def __init__(self, browser: Chromium, opened: dict):
        self.browser, self.id = browser, opened["id"]
        self.protocol, self.extensions = opened["protocol"], opened["extensions"]

    async def send(self, data: str | bytes) -> None:
        if isinstance(data, str):
            await self.browser.evaluate("([id, text]) => { sockets[id].socket.send(text); }", [self.id, data])
        else:
            await self.browser.evaluate(
                "([id, data]) => { sockets[id].socket.send(Uint8Array.from(atob(data), (c) => c.charCodeAt(0))); }",
                [self.id, base64.b64encode(data).decode()])

    async def _event(self, seconds: float) -> dict:
        script = """([id, ms]) => new Promise((resolve, reject) => {
          const start = performance.now();
          (function look() {
            const event = sockets[id].events.shift();
            if (event) resolve(event);
            else if (performance.now() - start > ms) reject(new Error(`nothing came within ${ms} ms`));
            else setTimeout(look, 5);
          })();
        })"""
        return await self.browser.evaluate(script, [self.id, int(seconds * 1000)], seconds + 5)

    async def receive(self, seconds: float = 10) -> str | bytes:
        event = await self._event(seconds)
        if "closed" in event:
            raise AssertionError(f"closed with {event['closed']} {event['reason']!r} where a message was due")
        return event["text"] if "text" in event else base64.b64decode(event["binary"])

    async def close(self, code: int, reason: str = "") -> None:
        await self.browser.evaluate("([id, code, reason]) => { sockets[id].socket.close(code, reason); }", [self.id, code, reason])

    async def closed(self, seconds: float = 10) -> tuple[int, str]:
        while True:
            event = await self._event(seconds)
            if "closed" in event:
                return event["closed"], event["reason"]


async def start_node(script: str, *arguments, name: str) -> Program:
    """Starts one of node/*.mjs."""
    return Program(await Child.start("node", HERE / "node" / script, *arguments, name=name, stdin=True))
