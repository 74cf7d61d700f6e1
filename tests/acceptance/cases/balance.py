"""Several backends of a route: which one a caller gets, and how an unwell one is kept out (SPEC 1.4)."""

import asyncio

from harness.backends import accept
from harness.processes import until
from harness.registry import case

from cases.identity import KEYS, required


def several(*backs, **route) -> dict:
    """A route to all of them."""
    return {"upstream": None, "upstreams": [back.url for back in backs], **route}


async def landed(lab, gateway, backs, path: str = "/", headers: dict | None = None) -> int:
    """Opens a connection; gives the position of the backend that saw it."""
    before = [len(back.requests) for back in backs]
    raw, response = await lab.raw(gateway, path, headers)
    assert response.status == 101, response
    found = [at for at, back in enumerate(backs) if len(back.requests) > before[at]]
    assert len(found) == 1, (before, found)
    raw.close()
    return found[0]


async def bearer(lab, subject: str) -> dict:
    return {"Authorization": f"Bearer {await lab.token('--subject', subject)}"}


@case("hashed by user: each keeps its backend from wherever it comes and after a restart; when a backend goes only its own users move")
async def by_user(lab):
    backs = [await lab.py_echo() for _ in range(3)]
    route = several(*backs, **required("header"), balance={"by": "consistent_hash", "on": "user"})
    gateway = await lab.gateway("", KEYS, route=route)
    users = {f"user-{number}": await bearer(lab, f"user-{number}") for number in range(12)}
    homes = {user: await landed(lab, gateway, backs, headers=headers) for user, headers in users.items()}
    assert len(set(homes.values())) > 1, homes
    for user, headers in users.items():
        assert await landed(lab, gateway, backs, headers=headers) == homes[user], user
    await gateway.stop()
    again = await lab.gateway("", KEYS, route=route)
    for user, headers in users.items():
        assert await landed(lab, again, backs, headers=headers) == homes[user], f"{user} moved with the restart"
    gone = homes["user-0"]
    await backs[gone].stop()
    for user, headers in users.items():
        now = await landed(lab, again, backs, headers=headers)
        assert now != gone and (now == homes[user] or homes[user] == gone), (user, homes[user], now)


@case("hashed by a parameter of the path: everybody in one room meets at one backend", needs=("node",))
async def by_room(lab):
    backs = [await lab.npm_echo() for _ in range(3)]
    gateway = await lab.gateway("", route=several(*backs, path="/room/{room}/{*rest}", balance={"by": "consistent_hash", "on": "{room}"}))
    met = set()
    for number in range(8):
        homes = set()
        for client in (await lab.npm(), await lab.python()):
            before = [len(back.requests) for back in backs]
            connection = await client.open(f"{gateway.url}/room/{number}/x")
            await connection.send("hello")
            homes |= {at for at, back in enumerate(backs) if len(back.requests) > before[at]}
            await connection.close(1000)
        assert len(homes) == 1, (number, homes)
        met |= homes
    assert len(met) > 1, "all rooms are at one backend"


@case("least connections: the next goes where the fewest are, also where two routes share a backend")
async def least(lab):
    backs = [await lab.py_echo() for _ in range(2)]
    routes = [{"name": "alone", "path": "/alone", "upstream": backs[0].url},
              {"name": "both", "path": "/both", "upstreams": [back.url for back in backs]}]
    gateway = await lab.gateway_from({"environment": "development", "routes": routes})
    held = [await lab.raw(gateway, "/alone") for _ in range(2)]
    for wanted in (1, 1):
        before = [len(back.requests) for back in backs]
        held.append(await lab.raw(gateway, "/both"))
        assert len(backs[wanted].requests) == before[wanted] + 1, "the one that the other route loads is spared"
    for back in backs:
        assert await gateway.metric("portcullis_upstream_connections_open", upstream=f"127.0.0.1:{back.port}") == 2


class Moody:
    """A WebSocket backend with a page that says how it feels."""

    def __init__(self, lab):
        self.lab, self.well, self.requests, self.asked = lab, True, [], []

    async def start(self) -> "Moody":
        self.tcp = await self.lab.tcp(self.serve)
        self.url, self.port = self.tcp.url, self.tcp.port
        return self

    async def serve(self, tcp, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if b"upgrade: websocket" not in head.lower():
            self.asked.append(head)
            status = b"200 OK" if self.well else b"503 Busy"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
            return await writer.drain()
        self.requests.append(head)
        again = asyncio.StreamReader()
        again.feed_data(head)
        await accept(again, writer)
        await reader.read()


ASKED = {"check": "http", "path": "/health?deep=1", "interval": "100ms", "unhealthy_after": 2, "healthy_after": 2}


async def health(gateway, back, wanted: float) -> None:
    async def it_is() -> bool:
        return await gateway.metric("portcullis_upstream_up", upstream=f"127.0.0.1:{back.port}") == wanted

    await until(it_is, f"the backend's health is {wanted}", 10)


@case("a backend whose health page fails gets no new connections, its open ones stay, and it is back when it is well; events, metric and the health report say so")
async def page(lab):
    moody, steady = await Moody(lab).start(), await lab.py_echo()

    # The steady one is asked too, and has no such page: Python `websockets` answers 426 or 400 to plain HTTP.
    gateway = await lab.gateway_from({"environment": "development", "routes": [
        {"name": "main", "path": "/{*rest}", "upstreams": [moody.url, steady.url], "health": {**ASKED}}]})
    await health(gateway, steady, 0)
    event = await gateway.event(type="upstream_unhealthy")
    assert f"127.0.0.1:{steady.port}" in event["detail"] and "it answered 4" in event["detail"], event
    await health(gateway, moody, 1)
    assert b"GET /health?deep=1 HTTP/1.1" in moody.asked[0] and b"portcullis-health" in moody.asked[0], moody.asked[0]
    first, response = await lab.raw(gateway)
    assert response.status == 101 and len(moody.requests) == 1
    for _ in range(3):
        await lab.raw(gateway)
    assert len(moody.requests) == 4 and not steady.requests, "an unwell one gets nothing while another is well"
    moody.well = False
    await health(gateway, moody, 0)
    _, _, report = await gateway.admin("/api/security/health")
    assert f"127.0.0.1:{moody.port}" in report and "degraded" in report, report
    raw, response = await lab.raw(gateway)
    assert response.status == 101, "when none is well, all are tried"
    moody.well = True
    await health(gateway, moody, 1)
    event = await gateway.event(type="upstream_healthy")
    assert f"127.0.0.1:{moody.port}" in event["detail"], event
    await first.send(b"\x81\x80\0\0\0\0")
    count = len(moody.requests)
    await lab.raw(gateway)
    assert len(moody.requests) == count + 1
    assert await gateway.metric("portcullis_outbound_requests_total", purpose="health_check", outcome="failed") >= 2


@case("asked by a handshake: a backend that does not speak WebSocket is unwell at its first answer, one that does is well")
async def shaken(lab):
    async def no_upgrade(tcp, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await writer.drain()

    page, echo = await lab.tcp(no_upgrade), await lab.py_echo()
    gateway = await lab.gateway("", route=several(page, echo, health={"check": "handshake", "interval": "100ms"}))
    event = await gateway.event(type="upstream_unhealthy")
    assert "it answered 200" in event["detail"], event
    await health(gateway, page, 0)
    await health(gateway, echo, 1)
    for _ in range(3):
        raw, response = await lab.raw(gateway)
        assert response.status == 101


@case("asked by a connection: a backend that is gone is known before a client comes, survives a reload, and is taken again when it is back")
async def connected(lab):
    gone, stays = await lab.tcp(accept_one), await lab.py_echo()
    port = gone.port
    config = {"environment": "development", "routes": [
        {"name": "main", "path": "/{*rest}", "upstreams": [gone.url, stays.url],
         "health": {"interval": "100ms", "unhealthy_after": 1, "healthy_after": 1}}]}
    gateway = await lab.gateway_from(config)
    await health(gateway, gone, 1)
    await gone.stop()
    await health(gateway, gone, 0)
    gateway.rewrite({"audit": {"retention": "8d"}})
    await gateway.event(type="config_reloaded")
    assert await gateway.metric("portcullis_upstream_up", upstream=f"127.0.0.1:{port}") == 0
    raw, response = await lab.raw(gateway)
    assert response.status == 101
    assert not [event for event in await gateway.events() if event["type"] == "upstream_unreachable"], "no client was sent there"
    back = lab.ending(await type(gone).start(accept_one, port))
    await health(gateway, back, 1)
    await gateway.event(type="upstream_healthy")


@case("a backend that accepts and says nothing is unwell after the time-out, and its questions do not pile up")
async def silent(lab):
    async def hush(tcp, reader, writer):
        await reader.read()

    quiet, echo = await lab.tcp(hush), await lab.py_echo()
    gateway = await lab.gateway("", route=several(quiet, echo, health={"check": "handshake", "interval": "200ms", "timeout": "200ms"}))
    event = await gateway.event(type="upstream_unhealthy")
    assert "no answer within 200 ms" in event["detail"], event
    raw, response = await lab.raw(gateway)
    assert response.status == 101
    assert len(quiet._tasks) <= 2, "each question is over before the next"


async def accept_one(tcp, reader, writer):
    await accept(reader, writer)
    await reader.read()
