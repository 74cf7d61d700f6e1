"""Live video's limits and payload rules, line by line: `profiles/live.yaml` as its operators start it (SPEC 19, L).

The deployment's own Socket.IO is not here: these are its figures over plain WebSocket."""

import json

from harness import profiles
from harness.clients import Refused
from harness.lab import SECRET, Lab
from harness.processes import until
from harness.profiles import said
from harness.registry import case

ADMIN = "admin-token-of-forty-two-characters-or-so!"
HOME = "https://live.example.com"


async def house(lab, environment: str = "production", **sets):
    _, ports = await profiles.backend(lab, "live")
    sets = {"routes[0].upstream": f"ws://127.0.0.1:{ports['port']}", **sets}
    env = {"JWT_SECRET": SECRET, "ADMIN_TOKEN": ADMIN, "WHITE_LIST_URLS": HOME, "PORTCULLIS_ENV": environment}
    if environment == "development":
        # The variable would win over the file's list.
        del env["WHITE_LIST_URLS"]
    return await profiles.gateway(lab, "live", sets, env)


async def opened(lab, gateway, *roles: str, address: str = "203.0.113.1", origin: str = HOME, subject: str = "ada"):
    """An anonymous caller where no role is named."""
    headers = {"X-Forwarded-For": address, "Origin": origin}
    if roles:
        token = Lab.hs256({"sub": subject, "roles": list(roles), "exp": Lab.now() + 3600})
        headers["Authorization"] = f"Bearer {token}"
    return await (await lab.python()).open(gateway.url + "/live", headers=headers)


async def status(lab, gateway, *roles: str, **more) -> int:
    try:
        connection = await opened(lab, gateway, *roles, **more)
    except Refused as refused:
        return refused.status
    await connection.close(1000)
    return 101


def chat(text: str = "hello") -> dict:
    return {"type": "chat.send", "text": text}


for environment, count in (("production", 50), ("development", 100)):

    @case(f"{count} connections of an address in a minute in {environment}, the next is 429; another address is welcome", seconds=60)
    async def attempts(lab, environment=environment, count=count):
        gateway = await house(lab, environment)
        assert [await status(lab, gateway) for _ in range(count)] == [101] * count
        assert await status(lab, gateway) == 429
        assert await status(lab, gateway, address="203.0.113.2") == 101
        await gateway.event(type="connection_rate")


for environment, count in (("production", 100), ("development", 200)):

    @case(f"{count} messages of a caller in a minute in {environment}, whatever the connection; a moderator has twice as many", seconds=60)
    async def messages(lab, environment=environment, count=count):
        gateway = await house(lab, environment)
        for roles, subject, many in ((["user"], "ada", count), (["moderator"], "ben", 2 * count)):
            one, other = [await opened(lab, gateway, *roles, subject=subject) for _ in range(2)]
            for number in range(many):
                answer = await said([one, other][number % 2], type="stream.watch")
                assert answer["type"] == "stream.watch.done", (number, answer)
            refused = await said(other, type="stream.watch")
            assert refused["type"] == "error" and refused["retry_after_ms"] > 0, refused
        await gateway.event(type="message_rate")


@case("an event has a limit of its own, with a burst: of 40 lines of chat at once 20 pass, and watching goes on")
async def burst(lab):
    gateway = await house(lab)
    connection = await opened(lab, gateway, "user")
    for _ in range(40):
        await connection.send(json.dumps(chat()))
    answers = [json.loads(await connection.receive()) for _ in range(40)]
    passed = [answer for answer in answers if answer["type"] == "chat.send.done"]
    assert 20 <= len(passed) < 30, len(passed)
    assert (await said(connection, type="stream.watch"))["type"] == "stream.watch.done"


@case("anonymous callers: 1000 in production, 500 in development (here 3); one more is refused, who signs in is not")
async def anonymous(lab):
    for environment in ("production", "development"):
        gateway = await house(lab, environment, **{"sources.anonymous_connections_max": 3})
        held = [await opened(lab, gateway, address=f"203.0.113.{n}") for n in range(1, 4)]
        assert await status(lab, gateway, address="203.0.113.9") == 429
        assert await status(lab, gateway, "user", address="203.0.113.9") == 101
        await held[0].close(1000)

        async def free():
            return await status(lab, gateway, address="203.0.113.9") == 101

        await until(free, "a place is free again")
        await gateway.event(type="anonymous_full")


@case("anonymous callers watch and chat; starting a stream takes a token; an event that is not on the list is refused to all")
async def events(lab):
    gateway = await house(lab)
    guest, user = await opened(lab, gateway), await opened(lab, gateway, "user")
    assert (await said(guest, **chat()))["type"] == "chat.send.done"
    assert (await said(guest, type="stream.start"))["type"] == "error"
    await gateway.event(type="guest_refused")
    assert (await said(user, type="stream.start"))["type"] == "stream.start.done"
    assert (await said(user, type="chat.delete"))["type"] == "error"
    assert (await said(user, type="stream.destroy"))["type"] == "error"


@case("10 KiB of text pass, a byte more does not; malformed JSON is refused; markup is cleaned; more than 1 MiB ends the connection")
async def payload(lab):
    gateway = await house(lab)
    connection = await opened(lab, gateway, "user")
    words = ("so it goes " * 1000)[:10 << 10]
    assert (await said(connection, **chat(words)))["text"] == words
    assert (await said(connection, **chat(words + "!")))["type"] == "error"
    await connection.send('{"type":"chat.send","text":')
    assert json.loads(await connection.receive())["type"] == "error"
    answer = await said(connection, **chat('<b>hi</b><img src=x onerror=alert(1)>'))
    assert answer["text"] == "<b>hi</b>", answer
    await connection.send(json.dumps(chat("x" * (1 << 20))))
    assert (await connection.closed())[0] == 1009


@case("the fifth violation of an address blocks it, for guests and for who signs in there; an operator lifts it", seconds=40)
async def suspicious(lab):
    gateway = await house(lab)
    connection = await opened(lab, gateway)
    for number in range(5):
        await connection.send(json.dumps(chat(f"{number}' UNION SELECT password FROM users--")))

    async def blocked():
        return await status(lab, gateway) == 403

    await until(blocked, "the address is blocked")
    assert await status(lab, gateway, "user") == 403
    assert await status(lab, gateway, address="203.0.113.2") == 101
    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
    lifted, _, _ = await gateway.admin("/api/security/unblock-ip", "POST", json.dumps({"ip": "203.0.113.1"}), headers)
    assert lifted == 204

    async def welcome():
        return await status(lab, gateway) == 101

    await until(welcome, "the address is let in")
    await gateway.event(type="threat_sqli")


@case("origins are those of WHITE_LIST_URLS; localhost is one in development only")
async def origins(lab):
    gateway = await house(lab)
    assert await status(lab, gateway) == 101
    for origin in ("http://localhost:3000", "https://live.example.com.evil.example"):
        assert await status(lab, gateway, origin=origin, address="203.0.113.3") == 403, origin
    gateway = await house(lab, "development")
    assert await status(lab, gateway, origin="http://localhost:5173") == 101
    assert await status(lab, gateway, origin="https://evil.example") == 403


@case("`/api/security/metrics` tells connections, blocks, failures and recent events to admins")
async def metrics(lab):
    gateway = await house(lab)
    path = "/api/security/metrics"

    def caller(role: str) -> dict:
        told = Lab.hs256({"sub": "root", "roles": [role], "exp": Lab.now() + 600})
        return {"Authorization": f"Bearer {told}", "X-Forwarded-For": "203.0.113.9"}

    await opened(lab, gateway)
    connection = await opened(lab, gateway, "user")
    assert (await said(connection, type="chat.delete"))["type"] == "error"
    assert (await gateway.http(path, {"X-Forwarded-For": "203.0.113.9"}))[0] == 401
    assert (await gateway.http(path, caller("moderator")))[0] == 403

    async def counted():
        status, _, text = await gateway.http(path, caller("admin"))
        assert status == 200, (status, text)
        told = json.loads(text)
        return told if told["connections"]["active"] == 2 and told["events"]["total"] == 3 else None

    told = await until(counted, "two connections and three refusals are counted")
    assert told["connections"] == {"active": 2, "anonymous": 1, "authenticated": 1, "by_role": {"guest": 1, "user": 1}}, told
    assert told["events"]["recent"] == 3 and sum(told["events"]["by_type"].values()) == 3, told
    assert (told["authentication_failures"], told["blocked_ips"], told["rate_limit_violations"]) == (1, 0, 0), told
    assert told["flood_level"] == "normal" and abs(told["timestamp"] - Lab.now()) < 60 and told["messages"] >= 1, told
