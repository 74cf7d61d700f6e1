"""The external authorizer of a route (SPEC 4.4): what it is told, what it grants, and what happens when it is silent."""

import json

from harness.lab import SECRET, Lab
from harness.processes import until
from harness.providers import authorizes, document, endless, misbehaves, never
from harness.registry import case

CALM = {"failed_auth_rate": "off", "connection_rate": "off"}


def config(authorizer: dict, **route) -> dict:
    return {
        "identity": {"keys": [{"algorithm": "HS256", "secret": SECRET}]},
        "sources": CALM,
        "routes": [{"name": "room", "path": "/rooms/{room}", "authenticate": "required", "credentials": ["header"],
                    "authorizer": authorizer, **route}],
    }


def bearing(subject: str, **claims) -> dict:
    return {"Authorization": "Bearer " + Lab.hs256({"sub": subject, "exp": Lab.now() + 600, **claims})}


async def status(lab, gateway, headers: dict, path: str = "/rooms/r1") -> int:
    raw, response = await lab.raw(gateway, path, headers)
    raw.close()
    return response.status


@case("an authorizer is told who wants to be where, and what it grants reaches the backend and the rules of messages")
async def grants(lab):
    def decide(told):
        if told["params"]["room"] != "r1":
            return document({"allow": False, "reason": "not a member"})
        return document({"allow": True, "roles": ["owner"], "permissions": ["room.say"], "tenant": "acme"})

    server = await lab.tcp(authorizes(decide))
    back = await lab.py_echo()
    authorizer = {"url": server.http_url + "/authorize", "token": "authorizer-token-of-32-characters"}
    over = config(authorizer, upstream=back.url, inbound={"envelope": {}, "permissions": {"say": "room.say", "shout": "room.shout"}, "on_refuse": "close"})
    gateway = await lab.gateway_from({"environment": "development", **over})
    client = await lab.python()
    connection = await client.open(gateway.url + "/rooms/r1", headers=bearing("ada", roles=["user"]))
    await connection.send('{"type":"say"}')
    assert await connection.receive() == '{"type":"say"}'
    seen = (await back.seen())[0]["headers"]
    assert sorted(seen["x-portcullis-roles"].split(",")) == ["owner", "user"], seen
    assert seen["x-portcullis-tenant"] == "acme"
    head, told = server.received[0]
    assert "authorization: bearer authorizer-token-of-32-characters" in head.lower()
    assert told["principal"]["subject"] == "ada" and told["principal"]["roles"] == ["user"], told
    assert (told["route"], told["params"], told["path"], told["client_ip"]) == ("room", {"room": "r1"}, "/rooms/r1", "127.0.0.1"), told
    assert told["connection_id"] == seen["x-portcullis-connection-id"]
    token = bearing("ada")["Authorization"].split()[1]
    assert token.split(".")[2] not in json.dumps(told), "the authorizer was given the token"
    assert await status(lab, gateway, bearing("ada"), "/rooms/r2") == 403
    denied = await gateway.event(type="authorizer_denied")
    assert "not a member" in denied["detail"] and denied["check"] == "authorizer", denied
    assert len(back.requests) == 1, "a denied client reached the backend"
    everything = json.dumps(await gateway.events()) + "\n".join(gateway.child.lines)
    assert "authorizer-token-of-32" not in everything


@case("an authorizer is not asked about those whom a check before it refuses, and not again while it is remembered")
async def order(lab):
    server = await lab.tcp(authorizes(lambda told: document({"allow": True, "ttl": 60})))
    back = await lab.py_echo()
    gateway = await lab.gateway_from({"environment": "development", **config({"url": server.http_url, "cache_ttl": "1m"}, upstream=back.url, roles=["member"])})
    assert await status(lab, gateway, {}) == 401
    assert await status(lab, gateway, bearing("eve")) == 403, "not a member"
    assert server.received == []
    headers = bearing("ada", roles=["member"])
    for _ in range(3):
        assert await status(lab, gateway, headers) == 101
    assert len(server.received) == 1
    assert await status(lab, gateway, headers, "/rooms/r2") == 101, "another room is another question"
    assert len(server.received) == 2
    assert await gateway.metric("portcullis_outbound_requests_total", purpose="authorizer", outcome="answered") == 2


@case("an authorizer that is silent denies, unless the route says `on_failure: allow`; a denial always denies", seconds=60)
async def silent(lab):
    paths = {
        "/slow": never,
        "/error": document({"allow": True}, "500 Oops"),
        "/huge": endless(160),
        "/moved": document(b"", "307 Temporary Redirect", "Location: /open\r\n"),
        "/open": document({"allow": True}),
        "/no": document({}, "403 Forbidden"),
        "/nonsense": document(b"<html>"),
        "/text": document({"allow": "true"}),
    }
    server = await lab.tcp(misbehaves(paths))
    gone = await lab.tcp(misbehaves({}))
    await gone.stop()
    back = await lab.py_echo()
    silent = [server.http_url + path for path in ("/slow", "/error", "/huge", "/moved")] + [gone.http_url]
    answers = {"/no": 403, "/nonsense": 503, "/text": 503}
    for on_failure in ("deny", "allow"):
        routes = []
        for number, url in enumerate([*silent, *(server.http_url + path for path in answers)]):
            authorizer = {"url": url, "timeout": "300ms", "on_failure": on_failure}
            routes.append({"name": f"r{number}", "path": f"/{number}", "authenticate": "required", "credentials": ["header"],
                           "upstream": back.url, "authorizer": authorizer})
        gateway = await lab.gateway_from({"environment": "development", **config({}), "routes": routes})
        for number, url in enumerate(silent):
            wanted = 101 if on_failure == "allow" else 503
            assert await status(lab, gateway, bearing("ada"), f"/{number}") == wanted, (url, on_failure)
        for number, (path, wanted) in enumerate(answers.items(), len(silent)):
            assert await status(lab, gateway, bearing("ada"), f"/{number}") == wanted, (path, on_failure)
        observed = len(silent) if on_failure == "allow" else 0

        async def told():
            events = [event for event in await gateway.events() if event.get("type") == "authorizer_unavailable"]
            seen = [event for event in events if event["decision"] == "observed"]
            return len(events) == len(silent) + 2 and len(seen) == observed

        await until(told, f"an event for each silence with on_failure: {on_failure}")


@case("a renewed credential is put to the authorizer again: its grants stay, and a right that is gone ends the connection")
async def renewal(lab):
    members = {"ada"}

    def decide(told):
        return document({"allow": told["principal"]["subject"] in members, "permissions": ["room.say"], "tenant": "acme"})

    server = await lab.tcp(authorizes(decide))
    back = await lab.py_echo()
    over = config({"url": server.http_url, "cache_ttl": "0s"}, upstream=back.url, notices={"refresh": True},
                  inbound={"envelope": {}, "permissions": {"say": "room.say"}})
    gateway = await lab.gateway_from({"environment": "development", **over})
    client = await lab.python()
    connection = await client.open(gateway.url + "/rooms/r1", headers=bearing("ada"))
    other = await client.open(gateway.url + "/rooms/r1", headers=bearing("ada"))

    async def renew(one) -> None:
        token = Lab.hs256({"sub": "ada", "exp": Lab.now() + 900})
        await one.send(json.dumps({"type": "auth.refresh", "token": token}))

    await renew(connection)
    assert json.loads(await connection.receive())["type"] == "auth.refreshed"
    await connection.send('{"type":"say"}')
    assert await connection.receive() == '{"type":"say"}', "the authorizer's permission was lost"
    assert len(server.received) == 3 and server.received[2][1]["connection_id"] == server.received[0][1]["connection_id"]
    members.clear()
    await renew(other)
    assert (await other.closed())[0] == 4003
    await gateway.event(type="authorizer_denied")


@case("a renewal that the authorizer does not answer leaves the connection as it was and says so; its own end still comes")
async def unanswered(lab):
    open_doors = document({"allow": True})
    server = await lab.tcp(misbehaves({"/": open_doors}))
    back = await lab.py_echo()
    over = config({"url": server.http_url + "/", "cache_ttl": "0s", "timeout": "300ms"}, upstream=back.url, notices={"refresh": True})
    gateway = await lab.gateway_from({"environment": "development", **over})
    client = await lab.python()

    def token(seconds) -> str:
        return Lab.hs256({"sub": "ada", "exp": Lab.now() + seconds})

    # Past the leeway of clocks nothing is forgiven: the first credential ends by itself.
    connection = await client.open(gateway.url + "/rooms/r1", headers={"Authorization": f"Bearer {token(4)}"})
    server.handler = misbehaves({"/": never})
    await connection.send(json.dumps({"type": "auth.refresh", "token": token(900)}))
    answer = json.loads(await connection.receive())
    assert answer["type"] == "error" and answer["code"] == "authorizer_unavailable" and answer["retry_after_ms"] == 5000, answer
    await connection.send('{"type":"say"}')
    assert await connection.receive() == '{"type":"say"}', "the connection stays"
    await gateway.event(type="authorizer_unavailable", decision="replied", user="ada")
    assert (await connection.closed(8))[0] == 4001, "until its credential ends"
