"""Identity providers: npm `oidc-provider`, and one that misbehaves in every way we know."""

import asyncio
import json

from harness.clients import Program, start_node

GATE_SECRET = "gate-secret-of-enough-characters"


class OidcProvider:
    """npm `oidc-provider` on a loopback port."""

    def __init__(self, program: Program, issuer: str):
        self.program, self.issuer = program, issuer

    @classmethod
    async def start(cls) -> "OidcProvider":
        program = await start_node("oidc.mjs", GATE_SECRET, name="oidc-provider")
        found = await program.child.line(r'^\{"ready":"([^"]+)"\}', 20)
        return cls(program, found[1])

    async def call(self, op: str, **arguments):
        return await self.program.call(op, **arguments)

    async def token(self, resource: str = "urn:jwt") -> str:
        return (await self.call("token", resource=resource))["token"]

    async def user(self, subject: str, seconds: int = 600) -> str:
        return (await self.call("user", subject=subject, seconds=seconds))["token"]

    async def stop(self) -> None:
        await self.program.stop()


def misbehaves(paths: dict):
    """A handler for `Lab.tcp`: path → bytes of the answer, or a coroutine function that takes the writer."""

    async def handler(tcp, reader, writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        tcp.received.append(head)
        answer = paths.get(head.split()[1].decode(), b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        if callable(answer):
            return await answer(writer)
        writer.write(answer)
        await writer.drain()

    return handler


def document(body, status: str = "200 OK", headers: str = "") -> bytes:
    """An answer with a JSON body, or with these bytes."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def never(writer) -> None:
    """Takes the request and says nothing."""
    await asyncio.Event().wait()


def endless(count: int):
    """Bytes without a length, as many as are taken."""

    async def answer(writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        for _ in range(count):
            writer.write(b'"' + b"x" * 65534 + b'"')
            await writer.drain()

    return answer


def authorizes(decide):
    """A handler of an external authorizer: `decide` takes what it was told and gives an answer's bytes or a coroutine function."""

    async def handler(tcp, reader, writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length:"))
        tcp.received.append((head, json.loads(await reader.readexactly(length))))
        answer = decide(tcp.received[-1][1])
        if callable(answer):
            return await answer(writer)
        writer.write(answer)
        await writer.drain()

    return handler
