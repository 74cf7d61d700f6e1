"""Every malformed frame gets its close code, an honest neighbour goes on, and memory does not grow (RFC 6455 5, 7, 8)."""

import os
import zlib

from harness.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_payload, frame
from harness.registry import case

# name, bytes, close code
MALFORMED = [
    ("an unmasked frame", frame(TEXT, b"hello", mask=None), 1002),
    ("an unmasked close", frame(CLOSE, close_payload(1000), mask=None), 1002),
    ("RSV1 without deflate", frame(TEXT, b"hello", rsv=4), 1002),
    ("RSV2", frame(TEXT, b"hello", rsv=2), 1002),
    ("RSV3", frame(TEXT, b"hello", rsv=1), 1002),
    *[(f"reserved opcode {opcode:#x}", frame(opcode, b""), 1002) for opcode in (3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF)],
    ("a length of 5 written in 16 bits", frame(TEXT, b"hello", width=16), 1002),
    ("a length of 5 written in 64 bits", frame(TEXT, b"hello", width=64), 1002),
    ("a length of 200 written in 64 bits", frame(TEXT, b"x" * 200, width=64), 1002),
    ("a length with the top bit set", frame(BINARY, b"", length=1 << 63, width=64), 1002),
    ("a length of 2^63-1", frame(BINARY, b"", length=(1 << 63) - 1), 1009),
    ("a length of 2^62", frame(BINARY, b"", length=1 << 62), 1009),
    ("a length of 4 GiB", frame(BINARY, b"", length=1 << 32), 1009),
    ("a length one past the limit", frame(BINARY, b"", length=(1 << 20) + 1), 1009),
    ("a fragmented ping", frame(PING, b"", fin=False), 1002),
    ("a fragmented close", frame(CLOSE, b"", fin=False), 1002),
    ("a ping of 126 bytes", frame(PING, b"x" * 126), 1002),
    ("a pong of 65536 bytes", frame(PONG, b"x" * 65536), 1002),
    ("a close of 126 bytes", frame(CLOSE, close_payload(1000, "x" * 124)), 1002),
    ("a close of one byte", frame(CLOSE, b"\x03"), 1002),
    *[(f"close code {code}", frame(CLOSE, close_payload(code)), 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)],
    ("a close reason that is not UTF-8", frame(CLOSE, close_payload(1000) + b"\xff\xfe"), 1007),
    ("a continuation of nothing", frame(CONTINUATION, b"hello"), 1002),
    ("a new message inside a fragmented one", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    ("invalid UTF-8", frame(TEXT, b"\xff"), 1007),
    ("an overlong sequence", frame(TEXT, b"\xc0\xaf"), 1007),
    ("a surrogate in UTF-8", frame(TEXT, b"\xed\xa0\x80"), 1007),
    ("a code point past U+10FFFF", frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
    ("UTF-8 cut off at the end of a message", frame(TEXT, b"abc\xe2\x82"), 1007),
    ("UTF-8 that is wrong across two fragments", frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION, b"\x28"), 1007),
    ("invalid UTF-8 in a fragment whose message has not ended", frame(TEXT, b"\xff\xff", fin=False), 1007),
    ("more fragments than the limit", frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"a", fin=False) * 200, 1008),
    ("empty fragments past the limit", frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 200, 1008),
    ("a flood of pings", frame(PING, b"x") * 200, 1008),
    ("a flood of pongs", frame(PONG, b"") * 200, 1008),
]

for name, data, code in MALFORMED:

    @case(f"{name}: closed with {code}, an honest neighbour goes on")
    async def malformed(lab, data=data, code=code):
        back = await lab.py_echo()
        gateway = await lab.gateway(back.url, route={"compression": {"enabled": False}})
        honest = await (await lab.python()).open(gateway.url)
        raw, response = await lab.raw(gateway)
        assert response.status == 101
        await raw.send(data)
        seen = await raw.close_code()
        assert seen == code, seen
        assert await raw.ended()
        await honest.send("still here")
        assert await honest.receive() == "still here"


def deflated(payload: bytes, *, cut: bool = True) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data[:-4] if cut else data


for name, data, codes in [
    ("a compressed message that is no deflate", frame(BINARY, b"\xff" * 40, rsv=4), (1002, 1007)),
    ("RSV1 on a continuation", frame(TEXT, deflated(b"a"), rsv=4, fin=False) + frame(CONTINUATION, b"", rsv=4), (1002,)),
    ("RSV1 on a ping", frame(PING, b"", rsv=4), (1002,)),
    ("compressed text that is not UTF-8", frame(TEXT, deflated(b"\xff\xfe"), rsv=4), (1007,)),
    ("a bomb of 100 MiB in 100 KiB", frame(BINARY, deflated(bytes(100 << 20)), rsv=4), (1009,)),
    ("a bomb in fragments", frame(BINARY, deflated(bytes(50 << 20))[:20000], rsv=4, fin=False)
     + frame(CONTINUATION, deflated(bytes(50 << 20))[20000:]), (1009,)),
]:

    @case(f"with deflate: {name} is closed, memory stays")
    async def malformed_deflate(lab, data=data, codes=codes):
        back = await lab.py_echo()
        gateway = await lab.gateway(back.url)

        async def attack() -> int:
            raw, response = await lab.raw(gateway, headers={"Sec-WebSocket-Extensions": "permessage-deflate"})
            assert "permessage-deflate" in response.headers.get("sec-websocket-extensions", "")
            await raw.send(data)
            code = await raw.close_code()
            assert code in codes, code
            raw.close()
            return gateway.child.rss_kib()

        before = gateway.child.rss_kib()
        first = await attack()
        assert first - before < 24 << 10, f"{first - before} KiB for one message"
        warm = [await attack() for _ in range(10)][-1]  # each worker thread has its own part of the heap
        last = [await attack() for _ in range(20)][-1]
        assert last - warm < 4 << 10, f"{last - warm} KiB more after twenty"


@case("2000 hostile connections leave the gateway's memory where it was", seconds=90)
async def memory(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"sources": {"connection_rate": "off"}, "audit": {"enabled": True}})
    honest = await (await lab.python()).open(gateway.url)

    async def round_of(count: int) -> None:
        for at in range(count):
            name, data, _ = MALFORMED[at % len(MALFORMED)]
            raw, response = await lab.raw(gateway)
            try:
                await raw.send(data)
                await raw.ended()
            except ConnectionError:
                pass
            raw.close()
        await honest.send("still here")
        assert await honest.receive() == "still here"

    await round_of(500)  # warms up: allocator arenas, the audit's pages
    warm = gateway.child.rss_kib()
    await round_of(1500)
    grown = gateway.child.rss_kib() - warm
    assert grown < 16 << 10, f"{grown} KiB more after 1500 hostile connections"


@case("100 connections that declare a megabyte and send one byte reserve nothing", seconds=60)
async def declared(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"sources": {"connection_rate": "off"}})
    raws = [(await lab.raw(gateway))[0] for _ in range(100)]
    before = gateway.child.rss_kib()
    for raw in raws:
        await raw.send(frame(BINARY, b"x", length=1 << 20))
    honest = await (await lab.python()).open(gateway.url)
    for _ in range(20):
        await honest.send("still here")
        assert await honest.receive() == "still here"
    grown = gateway.child.rss_kib() - before
    assert grown < 10 << 10, f"{grown} KiB for 100 declared megabytes"


@case("random bytes after the handshake never end the gateway", seconds=60)
async def noise(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"sources": {"connection_rate": "off"}})
    for _ in range(200):
        raw, response = await lab.raw(gateway)
        try:
            await raw.send(os.urandom(300))
        except ConnectionError:
            pass
        raw.close()
    honest = await (await lab.python()).open(gateway.url)
    await honest.send("still here")
    assert await honest.receive() == "still here"
    assert gateway.child.process.returncode is None
    assert not any("panicked" in line for line in gateway.child.lines)


@case("valid oddities pass: control frames between fragments, empty fragments, every byte by itself")
async def oddities(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url)
    raw, response = await lab.raw(gateway)
    await raw.send(frame(TEXT, "€".encode()[:1], fin=False) + frame(PING, b"p") + frame(CONTINUATION, b"", fin=False)
                   + frame(CONTINUATION, "€".encode()[1:]))
    assert await raw.frame() == (PONG, b"p")
    assert await raw.frame() == (TEXT, "€".encode())
    for byte in frame(TEXT, b"slowly"):
        await raw.send(bytes([byte]))
    assert await raw.frame() == (TEXT, b"slowly")
    await raw.send(frame(TEXT, b"zero mask", mask=bytes(4)))
    assert await raw.frame() == (TEXT, b"zero mask")
    await raw.send(frame(CLOSE, close_payload(1000)))
    assert await raw.close_code() == 1000
    assert await raw.ended()
