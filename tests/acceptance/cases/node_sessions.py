"""Sessions of several gateways through Redis (SPEC 5.3, 14.1, 14.2)."""

import asyncio
import time

from harness.processes import until
from harness.registry import case

from cases.nodes import NEEDS, alone, closed_within_a_second, cli, met, nodes, opened, status
from cases.sessions import ask, bearing, issued

IDENTITY = {"sessions": {"enabled": True, "path": "/auth/session"}}


async def house(lab, count=3, redis=None, **sessions):
    config = {"identity": {"sessions": {**IDENTITY["sessions"], **sessions}}, "sources": {"failed_auth_rate": "off"}}
    return await nodes(lab, count, config=config, redis=redis)


async def good(lab, gateway, text) -> bool:
    return await status(lab, gateway, text) == 101


async def bad(lab, gateway, text) -> bool:
    return await status(lab, gateway, text) == 401


@case("a session issued on one node is good on the others at once, and its text is nowhere in Redis", needs=NEEDS, seconds=60)
async def at_once(lab):
    redis, gateways = await house(lab, max_per_user=50)
    token = await lab.token("--subject", "ada", "--role", "user", "--ttl", "1h")
    for turn in range(12):
        text = (await issued(gateways[turn % 3], token))["session"]
        # No look of a node's lies between: it asks.
        found = await asyncio.gather(*(status(lab, gateway, text) for gateway in gateways))
        assert found == [101, 101, 101], (turn, found)
    for key in await redis.keys():
        kind = (await redis.ask("TYPE", key))[1:].decode()
        reading = {"hash": ("HGETALL", key), "zset": ("ZRANGE", key, "0", "-1"), "string": ("GET", key)}[kind]
        held = str(await redis.ask(*reading))
        assert text not in held and text not in key and "pcs_" not in held, key
    assert await status(lab, gateways[0], "pcs_" + "A" * 43) == 401
    connection = await opened(lab, gateways[2], text)
    await connection.send("hello")
    assert await connection.receive() == "hello"
    _, out, _ = await cli(gateways[1], "session", "list", "--user", "ada")
    assert out.count("ada") >= 12, out


@case("a session revoked, ended or exchanged on one node closes within a second on all and is refused there", needs=NEEDS, seconds=60)
async def ended_everywhere(lab):
    _, gateways = await house(lab)
    token = await lab.token("--subject", "ada", "--ttl", "1h")
    first, second, third = [await issued(gateway, token) for gateway in gateways]

    async def everywhere(text):
        return [await opened(lab, gateway, text) for gateway in gateways]

    connections = await everywhere(first["session"])
    await cli(gateways[2], "session", "revoke", first["id"])
    await closed_within_a_second(connections, 4001)
    connections = await everywhere(second["session"])
    code, _, _ = await ask(gateways[0], bearing(second["session"]), "DELETE")
    assert code == 204
    await closed_within_a_second(connections, 4001)
    connections = await everywhere(third["session"])
    fresh = (await issued(gateways[1], third["session"]))["session"]
    await closed_within_a_second(connections, 4001)
    for gateway in gateways:
        for text in (first["session"], second["session"], third["session"]):
            assert await bad(lab, gateway, text), "it is dead"
        assert await good(lab, gateway, fresh)
    # Counted and told where it happened, once.
    counts = [await gateway.metric("portcullis_sessions_total", outcome="revoked") for gateway in gateways]
    assert counts == [0, 0, 1], counts


@case("the sessions of a user are counted over three nodes: the oldest leaves, or the newest is refused, also of six at once", needs=NEEDS, seconds=60)
async def counted(lab):
    for when_full in ("oldest_leaves", "refuse"):
        _, gateways = await house(lab, max_per_user=2, when_full=when_full)
        token = await lab.token("--subject", "ada", "--ttl", "1h")
        first = (await issued(gateways[0], token))["session"]
        connection = await opened(lab, gateways[2], first)
        await asyncio.sleep(1.1)  # ages are whole seconds
        second = (await issued(gateways[1], token))["session"]
        assert await good(lab, gateways[2], second)
        code, _, body = await ask(gateways[2], bearing(token))
        if when_full == "refuse":
            assert code == 429 and body["code"] == "sessions_full", body
            assert await good(lab, gateways[0], first)
        else:
            assert code == 201, body
            await closed_within_a_second([connection], 4001)
        other = await lab.token("--subject", "bob", "--ttl", "1h")
        answers = await asyncio.gather(*(ask(gateway, bearing(other)) for gateway in gateways * 2))
        texts = [body["session"] for code, _, body in answers if code == 201]
        assert texts, answers

        async def two() -> bool:
            found = [[await status(lab, gateway, text) for text in texts] for gateway in gateways]
            return found[0] == found[1] == found[2] and 1 <= found[0].count(101) <= 2

        await until(two, "every node holds the same two", 5)


@case("a session that is used on one node is idle on none, and one that nobody uses ends on all", needs=NEEDS, seconds=60)
async def idle(lab):
    _, gateways = await house(lab, idle_timeout="3s", lifetime="10m")
    token = await lab.token("--subject", "ada", "--ttl", "1h")
    busy, quiet = [(await issued(gateways[0], token))["session"] for _ in range(2)]
    silent = await opened(lab, gateways[1], quiet)
    talker = await opened(lab, gateways[0], busy)
    began = time.monotonic()
    while time.monotonic() - began < 5:
        await talker.send("still here")
        assert await talker.receive() == "still here"
        await asyncio.sleep(0.25)
    code, _ = await silent.closed(1)
    assert code == 4001, code
    for gateway in gateways:
        assert await good(lab, gateway, busy) and await bad(lab, gateway, quiet)
    await talker.close(1000)
    await asyncio.sleep(4.5)
    for gateway in gateways:
        assert await bad(lab, gateway, busy)


@case("without Redis known sessions go on everywhere and new ones on their node; a Redis that comes back empty holds them all, and no ended one", needs=NEEDS, seconds=90)
async def without(lab):
    redis, gateways = await house(lab)
    token = await lab.token("--subject", "ada", "--ttl", "1h")
    known, doomed, ended = [(await issued(gateways[0], token)) for _ in range(3)]
    for gateway in gateways:
        for session in (known, doomed, ended):
            assert await good(lab, gateway, session["session"])
    await cli(gateways[1], "session", "revoke", ended["id"])
    for gateway in gateways:
        await until(lambda gateway=gateway: bad(lab, gateway, ended["session"]), "it is ended everywhere", 3)
    connection = await opened(lab, gateways[1], known["session"])
    await redis.kill()
    for gateway in gateways:
        await alone(gateway)
    new = (await issued(gateways[2], await lab.token("--subject", "bob", "--ttl", "1h")))["session"]
    assert [await status(lab, gateway, new) for gateway in gateways] == [401, 401, 101]
    await cli(gateways[2], "session", "revoke", doomed["id"])
    await until(lambda: bad(lab, gateways[2], doomed["session"]), "it is ended on its node", 3)
    for gateway in gateways:
        assert await good(lab, gateway, known["session"])
    await connection.send("still here")
    assert await connection.receive() == "still here"
    # It kept nothing on disk.
    await redis.begin()
    for gateway in gateways:
        await met(gateway)
        await until(lambda gateway=gateway: good(lab, gateway, new), "the new one is good everywhere", 3)
        await until(lambda gateway=gateway: bad(lab, gateway, doomed["session"]), "what was ended meanwhile is ended", 3)
        assert await bad(lab, gateway, ended["session"]) and await good(lab, gateway, known["session"])
    assert await redis.ask("FLUSHALL") == b"+OK"

    async def refilled() -> bool:
        return int((await redis.ask("HLEN", "{portcullis:sessions}:entries"))[1:]) == 4

    await until(refilled, "two in force and two marks are in Redis again", 5)
    _, late = await house(lab, 1, redis=redis)
    for text, expected in ((known["session"], 101), (new, 101), (doomed["session"], 401), (ended["session"], 401)):
        assert await status(lab, late[0], text) == expected
