"""The upstream's side: refusals passed on, nothing sent before its 101, deaths told to the client (SPEC 1.4, 2.1)."""

import asyncio
import base64
import hashlib

from harness.backends import accept, answers
from harness.clients import Refused
from harness.raw import TEXT, frame, read_response
from harness.registry import case


async def refusal(client, url: str) -> Refused:
    """The refusal a client meets."""
    try:
        await client.open(url)
    except Refused as refused:
        return refused
    raise AssertionError("the handshake was accepted")


REFUSALS = [
    ("401", b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 5\r\n\r\nno go", 401, "no go"),
    ("403", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nforbidden", 403, "forbidden"),
    ("404 with a chunked body", b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n0\r\n\r\n", 404, "not"),
    ("500 without a body", b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 500, ""),
]

for name, response, status, body in REFUSALS:

    @case(f"the backend's {name} reaches the client as it is", needs=("node",))
    async def refused(lab, response=response, status=status, body=body):
        back = await lab.tcp(answers(response))
        gateway = await lab.gateway(back.url)
        for client in (await lab.npm(), await lab.python()):
            seen = await refusal(client, gateway.url)
            assert seen.status == status, (client.name, seen)
            assert seen.body == body, (client.name, seen.body)
        if status == 401:
            assert seen.headers["www-authenticate"] == "Bearer", seen.headers


@case("the backend's 302 reaches the client, which is not led past the gateway")
async def redirect(lab):
    back = await lab.tcp(answers(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"))
    gateway = await lab.gateway(back.url)
    raw, response = await lab.raw(gateway)
    assert response.status == 302
    assert response.headers["location"] == "/elsewhere"
    assert back.connections == 1


@case("a backend that answers 200 as if nothing was asked is no upgrade")
async def not_an_upgrade(lab):
    back = await lab.tcp(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
    gateway = await lab.gateway(back.url)
    raw, response = await lab.raw(gateway)
    assert response.status != 101
    assert response.status in (200, 502), response.status


for name, response in {
    "a wrong Sec-WebSocket-Accept": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: d3Jvbmc=\r\n\r\n",
    "no Upgrade header in its 101": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
    "bytes that are no HTTP": b"\x16\x03\x01\x00\x05hello there\r\n\r\n",
    "an extension nobody offered": None,
}.items():

    @case(f"a backend that answers with {name} gives 502")
    async def bad_handshake(lab, response=response):
        async def handler(tcp, reader, writer):
            if response is not None:
                await answers(response)(tcp, reader, writer)
                return
            head = await reader.readuntil(b"\r\n\r\n")
            key = next(line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
            digest = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Extensions: x-made-up\r\nSec-WebSocket-Accept: " + digest + b"\r\n\r\n")
            await writer.drain()

        back = await lab.tcp(handler)
        gateway = await lab.gateway(back.url)
        raw, answer = await lab.raw(gateway)
        assert answer.status == 502, answer


@case("a backend that is down gives 502 at once, and an event says so")
async def down(lab):
    back = await lab.tcp(answers(b""))
    await back.stop()
    gateway = await lab.gateway(back.url)
    raw, response = await lab.raw(gateway)
    assert response.status == 502, response
    await gateway.event(type="upstream_unreachable")


@case("a backend that never answers gives 504 after times.upstream_connect")
async def silent(lab):
    async def handler(tcp, reader, writer):
        await reader.read()

    back = await lab.tcp(handler)
    gateway = await lab.gateway(back.url, route={"times": {"upstream_connect": "500ms"}})
    raw, response = await lab.raw(gateway)
    assert response.status == 504, response


@case("nothing a client sends early reaches the backend before its 101 (smuggling)")
async def early_bytes(lab):
    seen = []

    async def handler(tcp, reader, writer):
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            seen.append(await asyncio.wait_for(reader.read(1024), 0.5))
        except TimeoutError:
            pass
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        # A client's second request must not come down a refused upgrade's connection.
        seen.append(await reader.read(1024))

    back = await lab.tcp(handler)
    gateway = await lab.gateway(back.url)
    raw = await lab.tcp_to(gateway)
    head = (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    await raw.send(head + b"GET /internal HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await raw.reader.read(65536)
    assert answer.startswith(b"HTTP/1.1 403"), answer
    assert await raw.ended()
    assert b"internal" not in b"".join(seen), seen
    assert back.connections == 1, "the second request must not have been served"


@case("early frames of a client reach the backend after its 101, in order")
async def early_frames(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url)
    raw = await lab.tcp_to(gateway)
    head = (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    await raw.send(head + frame(TEXT, b"first") + frame(TEXT, b"second"))
    assert (await read_response(raw.reader)).status == 101
    assert await raw.frame() == (TEXT, b"first")
    assert await raw.frame() == (TEXT, b"second")


@case("a backend that speaks right after its 101, in the same segment, is heard")
async def eager_backend(lab):
    async def handler(tcp, reader, writer):
        await accept(reader, writer, frame(TEXT, b"welcome", mask=None))
        await reader.read()

    back = await lab.tcp(handler)
    gateway = await lab.gateway(back.url)
    raw, response = await lab.raw(gateway)
    assert response.status == 101
    assert await raw.frame() == (TEXT, b"welcome")


@case("a backend that dies mid-way: the client reads 1014 or 1011, not silence", needs=("node",))
async def dies(lab):
    for back in (await lab.npm_echo(), await lab.py_echo()):
        gateway = await lab.gateway(back.url)
        for client in (await lab.npm(), await lab.python()):
            connection = await client.open(gateway.url)
            await connection.send("die")
            code, _ = await connection.closed()
            assert code in (1011, 1014), (client.name, back.name, code)


for name, bad, codes in [
    ("a masked frame", frame(TEXT, b"masked"), (1014, 1011, 1002)),
    ("a reserved opcode", frame(3, b"", mask=None), (1014, 1011, 1002)),
    ("invalid UTF-8", frame(TEXT, b"\xff\xfe", mask=None), (1014, 1011, 1007)),
    ("a frame that declares 2^62 bytes", frame(TEXT, b"", mask=None, length=1 << 62), (1014, 1011, 1009)),
]:

    @case(f"a backend that sends {name} is cut off; the client reads a close")
    async def bad_frames(lab, bad=bad, codes=codes):
        async def handler(tcp, reader, writer):
            await accept(reader, writer)
            writer.write(frame(TEXT, b"fine", mask=None) + bad)
            await writer.drain()
            await reader.read()

        back = await lab.tcp(handler)
        gateway = await lab.gateway(back.url)
        raw, response = await lab.raw(gateway)
        assert response.status == 101
        assert await raw.frame() == (TEXT, b"fine")
        code = await raw.close_code()
        assert code in codes, code


@case("forwarded_headers: the client's address as RFC 7239 has it, and no forged copy of it", needs=("node",))
async def forwarded(lab):
    back = await lab.npm_echo()
    proxied = {"listen": {"trusted_proxies": ["127.0.0.0/8"], "client_address": "forwarded"}}
    gateway = await lab.gateway(back.url, proxied, route={"forwarded_headers": "forwarded"})
    forged = {"Forwarded": 'for=198.51.100.9, for="[2001:db8::7]:4711";proto=https', "X-Forwarded-For": "198.51.100.9"}
    raw, response = await lab.raw(gateway, headers=forged)
    assert response.status == 101
    seen = (await back.seen())[-1]["headers"]
    assert seen["forwarded"] == f'for="[2001:db8::7]";proto=http;host="127.0.0.1"', seen
    assert "x-forwarded-for" not in seen, seen
    both = await lab.gateway(back.url, route={"forwarded_headers": "both"})
    await lab.raw(both, headers=forged)
    seen = (await back.seen(2))[-1]["headers"]
    assert seen["forwarded"].startswith("for=127.0.0.1;proto=http;") and seen["x-forwarded-for"] == "127.0.0.1", seen


@case("the client going away without a close is told to the backend")
async def client_vanishes(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url)
    raw, response = await lab.raw(gateway)
    await back.seen()
    raw.writer.transport.abort()
    code, _ = await back.closed()
    assert code in (1001, 1006, 1011, 1014), code


@case("plain HTTP: blocked unless the route says pass")
async def plain_http(lab):
    back = await lab.tcp(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"))
    gateway = await lab.gateway(back.url, route={"http": "block"})
    status, headers, body = await gateway.http("/")
    assert status == 426, status
    assert back.connections == 0
    gateway = await lab.gateway(back.url, route={"http": "pass"})
    status, headers, body = await gateway.http("/page?x=1", {"X-Portcullis-Subject": "root"})
    assert (status, body) == (200, "page")
    request = back.received[-1].decode()
    assert request.startswith("GET /page?x=1 HTTP/1.1"), request
    assert "root" not in request, request
