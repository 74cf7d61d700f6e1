"""A gateway's life: live reload, draining, `kill -9`, heartbeats and timeouts (SPEC 1.6, 1.7, 10.3, 13.4)."""

import asyncio
import json
import signal
import time

from harness.backends import accept
from harness.clients import Refused
from harness.processes import until
from harness.raw import CLOSE, PING, TEXT, frame
from harness.registry import case

def config(upstream: str, rate: str) -> dict:
    return {"environment": "development", "routes": [{"name": "main", "path": "/{*rest}", "upstream": upstream,
            "inbound": {"limits": [{"name": "only", "per": "connection", "rate": rate}]}}]}


async def types(connection, count: int) -> list[str]:
    """What comes back of `count` messages."""
    for number in range(count):
        await connection.send(json.dumps({"type": "chat", "n": number}))
    return [json.loads(await connection.receive())["type"] for _ in range(count)]


for how in ("SIGHUP", "file change"):

    @case(f"reload by {how}: the new limit applies to a live connection, which is not dropped", seconds=40)
    async def reload(lab, how=how):
        back = await lab.py_echo()
        gateway = await lab.gateway_from(config(back.url, "1000/s"))
        connection = await (await lab.python()).open(gateway.url)
        assert await types(connection, 30) == ["chat"] * 30
        # SIGHUP has to work where the watcher sees nothing, so its file is the same file, reached either way.
        gateway.config["routes"] = config(back.url, "3/60s")["routes"]
        gateway.rewrite({})
        if how == "SIGHUP":
            gateway.child.signal(signal.SIGHUP)
        await gateway.event(10, type="config_reloaded")

        async def limited():
            return "error" in await types(connection, 5)

        await until(limited, "the new limit", 10)
        gateway.config["routes"] = config(back.url, "1000/s")["routes"]
        gateway.rewrite({})
        if how == "SIGHUP":
            gateway.child.signal(signal.SIGHUP)

        async def free():
            return await types(connection, 20) == ["chat"] * 20

        await until(free, "the limit is lifted again", 10)
        assert len(back.requests) == 1, "the connection was made again"


@case("a broken file keeps the old policy, says where it is broken, and a good one takes over again", seconds=40)
async def broken_reload(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway_from(config(back.url, "1000/s"))
    connection = await (await lab.python()).open(gateway.url)
    assert await types(connection, 3) == ["chat"] * 3
    lines = len(gateway.child.lines)
    gateway.write_text('environment: development\nroutes:\n  - name: main\n    pth: "/{*rest}"\n')
    gateway.child.signal(signal.SIGHUP)
    await gateway.event(10, type="config_refused")
    await gateway.said("pth", after=lines)
    assert await types(connection, 30) == ["chat"] * 30
    await (await lab.python()).open(gateway.url)
    gateway.config["routes"] = config(back.url, "2/60s")["routes"]
    gateway.rewrite({})
    gateway.child.signal(signal.SIGHUP)

    async def limited():
        return "error" in await types(connection, 4)

    await until(limited, "the repaired file's limit", 10)


@case("a configuration with an error is refused at start, with file, line, column and the nearest key")
async def broken_start(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url)
    file = lab.folder / "bad.yaml"
    file.write_text(f"environment: development\nroutes:\n  - name: main\n    path: /ws\n    upstream: {back.url}\n    conections_per_user_max: 3\n")
    code, out, err = await gateway.cli("check", file, ok=False)
    text = out + err
    assert code == 3, (code, text)
    assert "bad.yaml:6:5" in text or ("bad.yaml" in text and "6" in text), text
    assert "connections_per_user_max" in text, text
    code, out, err = await gateway.cli("serve", "--config", file, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", ok=False)
    assert code != 0 and "connections_per_user_max" in out + err


@case("--preset production refuses to start without authentication and a TLS decision, and says what to give")
async def production(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url)
    code, out, err = await gateway.cli("serve", "--preset", "production", "--upstream", back.url, "--listen", "127.0.0.1:0",
                                       "--admin", "127.0.0.1:0", ok=False)
    assert code != 0
    text = out + err
    assert "identity.keys" in text or "identity.jwks" in text, text
    assert "tls" in text, text


@case("SIGTERM drains: no new connections, 1001 or 1012 to all, the backend told, exit 0 in time", needs=("node",), seconds=40)
async def drain(lab):
    back = await lab.npm_echo()
    gateway = await lab.gateway(back.url, {"listen": {"drain_timeout": "5s"}})
    clients = [await lab.npm(), await lab.python()]
    connections = [await client.open(gateway.url) for client in clients for _ in range(10)]
    for connection in connections:
        await connection.send("hello")
        assert await connection.receive() == "hello"
    started = time.monotonic()
    gateway.child.signal(signal.SIGTERM)
    codes = {(await connection.closed(8))[0] for connection in connections}
    assert codes <= {1001, 1012}, codes
    assert await gateway.child.exit(8) == 0
    assert time.monotonic() - started < 7
    seen = await until(lambda: len(back.closes) >= 20 and back.closes, "the backend's closes")
    assert {code for code, _ in seen} <= {1001, 1012}, seen


@case("SIGTERM with clients that never answer still ends within the drain time, exit 0", seconds=40)
async def drain_stubborn(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"listen": {"drain_timeout": "2s"}})
    for _ in range(5):
        raw, response = await lab.raw(gateway)
        assert response.status == 101
    started = time.monotonic()
    gateway.child.signal(signal.SIGTERM)
    assert await gateway.child.exit(10) == 0
    assert time.monotonic() - started < 5


@case("while draining, new connections are refused and /ready says no", seconds=30)
async def drain_refuses(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"listen": {"drain_timeout": "4s"}})
    raw, response = await lab.raw(gateway)  # keeps the drain going
    gateway.child.signal(signal.SIGTERM)
    assert await raw.close_code() in (1001, 1012)
    try:
        late, response = await lab.raw(gateway)
        assert response.status == 503, response
    except (ConnectionError, EOFError):
        pass  # the listener is closed already: as good a refusal
    try:
        status, _, _ = await gateway.admin("/ready")
        assert status == 503, status
    except OSError:
        pass


@case("`kill -9` loses no event that the audit had shown, and the audit opens again", seconds=60)
async def kill(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route={"inbound": {"threats": {"mode": "block"}}})
    client = await lab.python()
    references = []
    for _ in range(20):  # a connection may write 20 events a second
        connection = await client.open(gateway.url)
        for number in range(10):
            await connection.send(json.dumps({"type": "chat", "n": number, "text": "' OR '1'='1' -- "}))
            references.append(json.loads(await connection.receive())["reference"])
    shown = {}

    async def all_shown():
        shown.update({event["id"]: event for event in await gateway.events("--type", "threat_sqli")})
        return len(shown) >= 200

    await until(all_shown, "200 events in the audit", 10)
    for number in range(50):  # the writer is at work when it is killed
        await connection.send(json.dumps({"type": "chat", "n": number, "text": "' OR '1'='1' -- "}))
    gateway.child.signal(signal.SIGKILL)
    await gateway.child.exit()
    left = {event["id"]: event for event in await gateway.events("--type", "threat_sqli")}
    assert set(shown) <= set(left), f"{len(set(shown) - set(left))} acknowledged events are gone"
    assert set(references) <= set(left)
    again = await lab.gateway(back.url, flags=["--state", str(gateway.folder / "state")])
    assert (await gateway.explain(references[0])).count("threat_sqli")
    connection = await (await lab.python()).open(again.url)
    await connection.send("hello")
    assert await connection.receive() == "hello"


@case("the gateway pings both legs, and a leg that is dead is closed", seconds=30)
async def heartbeats(lab):
    pinged = asyncio.Event()

    async def handler(tcp, reader, writer):
        await accept(reader, writer)
        while data := await reader.read(4096):
            if data[0] & 0x0F == PING:
                pinged.set()

    back = await lab.tcp(handler)
    gateway = await lab.gateway(back.url, route={"times": {"ping_interval": "300ms", "dead_after": "2s"}})
    raw, response = await lab.raw(gateway)
    opcode, payload = await raw.frame(3)
    assert opcode == PING
    await asyncio.wait_for(pinged.wait(), 3)
    code = await raw.close_code(6)  # never answers: dead
    assert code in (1001, 1011, 1014, None), code
    await gateway.event(**{"type": "heartbeat_lost"})


@case("a client that answers pings lives past dead_after", seconds=30)
async def alive(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route={"times": {"ping_interval": "300ms", "dead_after": "1s"}})
    client = await lab.python()
    connection = await client.open(gateway.url)
    try:
        await connection.receive(3)
    except TimeoutError:
        pass  # as it should be: nothing was said, and nothing ended
    await connection.send("still here")
    assert await connection.receive() == "still here"


for key, span, reason in (("idle", "700ms", "idle_timeout"), ("lifetime", "1s", "lifetime_reached")):

    @case(f"times.{key} closes with 1001")
    async def timeouts(lab, key=key, span=span, reason=reason):
        back = await lab.py_echo()
        gateway = await lab.gateway(back.url, route={"times": {key: span, "ping_interval": "200ms"}})
        connection = await (await lab.python()).open(gateway.url)
        await connection.send("hello")
        assert await connection.receive() == "hello"
        assert (await connection.closed(5))[0] == 1001
        await gateway.event(**{"type": reason})


@case("the half-close: after a client's Close the backend's last messages still arrive")
async def half_close(lab):
    async def handler(tcp, reader, writer):
        await accept(reader, writer)
        head = await reader.readexactly(2)
        while head[0] & 0x0F != CLOSE:
            await reader.readexactly(4 + (head[1] & 0x7F))
            head = await reader.readexactly(2)
        body = await reader.readexactly(4 + (head[1] & 0x7F))
        writer.write(frame(TEXT, b"last words", mask=None))
        payload = bytes(byte ^ body[at % 4] for at, byte in enumerate(body[4:]))
        writer.write(frame(CLOSE, payload, mask=None))
        await writer.drain()

    back = await lab.tcp(handler)
    gateway = await lab.gateway(back.url)
    raw, response = await lab.raw(gateway)
    await raw.send(frame(CLOSE, b"\x03\xe8"))
    seen = []
    while True:
        opcode, payload = await raw.frame()
        seen.append((opcode, payload))
        if opcode == CLOSE:
            break
    assert seen[-1] == (CLOSE, b"\x03\xe8"), seen


@case("capacity is given back: 300 connections come and go, none stays counted", seconds=60)
async def given_back(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"sources": {"connection_rate": "off", "connections_per_ip_max": 40}})
    client = await lab.python()
    for round_number in range(10):
        connections: list = []

        async def one_more():
            try:
                connections.append(await client.open(gateway.url))
            except Refused:
                pass  # those of the last round may still be counted for a moment
            return len(connections) == 30

        await until(one_more, f"30 connections in round {round_number}", 10)
        for connection in connections:
            connection.connection.transport.abort()
