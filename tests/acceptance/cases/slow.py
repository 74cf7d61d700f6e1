"""Slow clients are closed and honest ones served throughout (SPEC 7.6): slowhttptest's modes, and a reader that does not read."""

import asyncio
import contextlib
import re
import socket

from harness.backends import accept
from harness.processes import run, until
from harness.raw import TEXT, Raw, frame
from harness.registry import case

SECONDS = 20
CONNECTIONS = 200

for mode, flags in {
    "-H (slow headers)": ["-H", "-i", "5", "-x", "24"],
    "-B (slow body)": ["-B", "-i", "5", "-s", "8192", "-x", "10", "-t", "POST"],
    "-X (slow read)": ["-X", "-w", "1", "-y", "5", "-n", "5", "-z", "1", "-k", "3"],
}.items():

    @case(f"slowhttptest {mode}: slow connections are closed, an honest client is served throughout",
          needs=("slowhttptest",), seconds=90, suite=True)
    async def slowhttptest(lab, flags=flags):
        back = await lab.py_echo()
        gateway = await lab.gateway(back.url, {"listen": {"handshake_timeout": "3s"},
                                               "sources": {"connection_rate": "off", "connections_per_ip_max": "off"}})
        client = await lab.python()
        honest = await client.open(gateway.url)
        attack = asyncio.create_task(run(
            "slowhttptest", "-c", CONNECTIONS, *flags, "-r", "100", "-p", "3", "-l", SECONDS, "-u", f"http://127.0.0.1:{gateway.port}/",
            seconds=SECONDS + 40, ok=False))
        served, worst = 0, 0.0
        loop = asyncio.get_running_loop()
        while not attack.done():
            began = loop.time()
            await honest.send("still here")
            assert await honest.receive(5) == "still here"
            newcomer = await client.open(gateway.url)
            await newcomer.send("let me in")
            assert await newcomer.receive(5) == "let me in"
            await newcomer.close(1000)
            worst = max(worst, loop.time() - began)
            served += 1
            await asyncio.wait([attack], timeout=0.25)
        _, out, err = await attack
        # Where everything slow is refused at once, the attack is over in two seconds.
        assert served >= 5 and worst < 2, f"served {served} times, worst {worst:.2f} s"
        text = re.sub(r"\x1b\[[0-9;]*m", "", out + err)
        assert "service available:   NO" not in text, text[-1500:]
        # Nothing of the attack stays: the only connection left is the honest one.
        await until(lambda: connections_of(gateway.port) <= 4, "the slow connections are gone", 10)


def connections_of(port: int) -> int:
    """Established TCP connections on a local port, counted once."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return sum(1 for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01")


@case("a handshake sent one byte a second is ended after handshake_timeout", seconds=30)
async def slow_handshake(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"listen": {"handshake_timeout": "2s"}})
    raw = await lab.tcp_to(gateway)
    began = asyncio.get_running_loop().time()
    with contextlib.suppress(ConnectionError):
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n":
            await raw.send(bytes([byte]))
            if raw.reader.at_eof():
                break
            await asyncio.sleep(0.25)  # the attack itself: a byte at a time
            if asyncio.get_running_loop().time() - began > 8:
                break
    assert asyncio.get_running_loop().time() - began < 6, "the gateway kept waiting"
    assert await raw.ended()
    await gateway.event(**{"type": "handshake_timeout"})


@case("a connection that says nothing is ended after handshake_timeout")
async def silent(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"listen": {"handshake_timeout": "1s"}})
    raw = await lab.tcp_to(gateway)
    assert await raw.ended(5)


@case("plain HTTP that is passed: a body that never comes ends, with its place at the backend", seconds=40)
async def slow_passed_body(lab):
    async def handler(tcp, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        while await reader.read(1024):
            pass

    back = await lab.tcp(handler)
    gateway = await lab.gateway(back.url, route={"http": "pass", "times": {"upstream_connect": "2s", "write": "2s", "idle": "2s"}})
    raws = []
    for _ in range(20):
        raw = await lab.tcp_to(gateway)
        await raw.send(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx")
        raws.append(raw)
    for raw in raws:
        assert await raw.ended(10)


async def deaf(lab, gateway, path: str = "/", headers: dict | None = None) -> Raw:
    """A client that takes what its handshake is answered and then next to nothing."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", gateway.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=4096)
    raw = Raw(reader, writer)
    lab.stack.callback(raw.close)
    response = await raw.request(path, headers)
    assert response.status == 101
    return raw


@case("a reader that takes nothing is closed within times.write, and memory stays bounded", seconds=60)
async def slow_reader(lab):
    sent = 0

    async def handler(tcp, reader, writer):
        nonlocal sent
        await accept(reader, writer)
        payload = frame(TEXT, b"x" * 65536, mask=None)
        for _ in range(4000):  # 250 MiB, if anyone took them
            writer.write(payload)
            await writer.drain()
            sent += len(payload)

    back = await lab.tcp(handler)
    gateway = await lab.gateway(back.url, route={"times": {"write": "2s"}, "queue_bytes_max": "256KiB"})
    before = gateway.child.rss_kib()
    await deaf(lab, gateway)
    event = await gateway.event(15, type="slow_reader")
    assert event["decision"] == "closed", event
    grown = gateway.child.rss_kib() - before
    assert grown < 16 << 10, f"{grown} KiB for one reader that does not read"
    assert sent < 64 << 20, f"the backend could send {sent} bytes that nobody took: no back-pressure"


@case("with queue_max a reader that takes nothing is closed as soon as so many messages wait; one that reads gets them all", seconds=60)
async def queue(lab):
    async def handler(tcp, reader, writer):
        await accept(reader, writer)
        await reader.readexactly(7)
        flood = frame(TEXT, b"x" * 20, mask=None) * 500
        for _ in range(2000):  # a million messages, 21 MiB
            writer.write(flood)
            await writer.drain()

    back = await lab.tcp(handler)
    route = {"times": {"write": "1h"}, "outbound": {"queue_max": 1000, "limits": []}, "queue_bytes_max": "1MiB"}
    gateway = await lab.gateway(back.url, route=route)
    raw = await deaf(lab, gateway)
    await raw.send(frame(TEXT, b"!"))
    event = await gateway.event(20, type="slow_reader")
    assert event["decision"] == "closed", event
    assert await gateway.metric("portcullis_refusals_total", reason="slow_reader") == 1

    async def patient(tcp, reader, writer):
        await accept(reader, writer)
        await reader.readexactly(7)
        for _ in range(200):
            writer.write(frame(TEXT, b"x" * 20, mask=None) * 100)
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    steady = await lab.tcp(patient)
    gateway = await lab.gateway(steady.url, route=route)
    raw, response = await lab.raw(gateway)
    await raw.send(frame(TEXT, b"!"))
    for number in range(20_000):
        assert await raw.frame() == (TEXT, b"x" * 20), number
    assert await gateway.metric("portcullis_refusals_total", reason="slow_reader") == 0


@case("back-pressure: a slow backend slows its client down, memory stays bounded, nothing is lost", seconds=60)
async def slow_backend(lab):
    counted: list[int] = []
    go = asyncio.Event()

    async def handler(tcp, reader, writer):
        await accept(reader, writer)
        await go.wait()
        while data := await reader.read(1 << 20):
            counted.append(len(data))

    back = await lab.tcp(handler)
    gateway = await lab.gateway(back.url, route={"inbound": {"limits": []}, "times": {"write": "30s"}})
    raw, response = await lab.raw(gateway)
    before = gateway.child.rss_kib()
    payload = frame(2, b"x" * 65536, mask=bytes(4))
    wanted = 256 << 20

    async def flood():
        for _ in range(wanted // 65536):
            await raw.send(payload)

    flooding = asyncio.create_task(flood())
    done, _ = await asyncio.wait([flooding], timeout=2)
    assert not done, f"256 MiB went somewhere though the backend reads nothing: {flooding.exception()}"
    grown = gateway.child.rss_kib() - before
    assert grown < 16 << 10, f"{grown} KiB held for a slow backend"
    go.set()
    await flooding
    await until(lambda: sum(counted) >= wanted, "all bytes at the backend", 20)
