"""One-time tickets: fetched with a credential, good for seconds and one connection (SPEC 3.1)."""

import asyncio
import http.client
import json

from harness.clients import Refused
from harness.registry import case

from cases.identity import KEYS

ROUTES = [
    {"name": "chat", "path": "/ws/{user_id}", "authenticate": "required", "credentials": ["header", "query"], "bind": {"user_id": "subject"}},
    {"name": "admin", "path": "/admin", "authenticate": "required", "credentials": ["header", "query"], "roles": ["admin"]},
]


async def house(lab, ttl="5s", **over):
    back = await lab.npm_echo()
    routes = [{**route, "upstream": back.url} for route in ROUTES]
    identity = {**KEYS["identity"], "tickets": {"path": "/auth/ticket", "ttl": ttl}}
    return back, await lab.gateway_from({"environment": "development", "identity": identity, "routes": routes, **over})


async def ask(gateway, target, headers, method="POST"):
    """Status, headers and body of a request for a ticket."""

    def blocking():
        host, port = gateway.url.removeprefix("ws://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.request(method, f"/auth/ticket?for={target}", headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()

    return await asyncio.to_thread(blocking)


async def ticket(gateway, target, token) -> str:
    status, headers, body = await ask(gateway, target, {"Authorization": f"Bearer {token}"})
    assert status == 201 and headers["cache-control"] == "no-store", (status, body)
    return json.loads(body)["ticket"]


async def opened(lab, gateway, path, client="python"):
    user = await getattr(lab, client)()
    return await user.open(gateway.url + path)


async def status_of(lab, gateway, path) -> int:
    try:
        connection = await opened(lab, gateway, path)
    except Refused as refused:
        return refused.status
    await connection.close(1000)
    return 101


@case("a ticket opens one connection as its owner, from the URL; the backend never sees it and a second use is refused", needs=("node",))
async def once(lab):
    back, gateway = await house(lab)
    token = await lab.token("--subject", "ada", "--ttl", "1h")
    text = await ticket(gateway, "/ws/ada", token)
    connection = await opened(lab, gateway, f"/ws/ada?room=1&token={text}", "npm")
    await connection.send("hello")
    assert await connection.receive() == "hello"
    seen = (await back.seen())[0]
    assert text not in json.dumps(seen) and seen["headers"]["x-portcullis-subject"] == "ada", seen
    assert await status_of(lab, gateway, f"/ws/ada?token={text}") == 401
    assert text not in "\n".join(gateway.child.lines)
    await gateway.event(type="ticket_issued", user="ada")
    await gateway.event(type="ticket_invalid")


@case("a ticket is bound to its route and ends by itself; nobody gets one for a route that would refuse them")
async def bound(lab):
    _, gateway = await house(lab, ttl="1s")
    ada = await lab.token("--subject", "ada", "--role", "admin", "--ttl", "1h")
    text = await ticket(gateway, "/ws/ada", ada)
    assert await status_of(lab, gateway, f"/admin?token={text}") == 401
    await gateway.event(type="ticket_foreign")
    assert await status_of(lab, gateway, f"/ws/ada?token={text}") == 401, "it is gone once it was shown"
    text = await ticket(gateway, "/ws/ada", ada)
    await asyncio.sleep(1.2)
    assert await status_of(lab, gateway, f"/ws/ada?token={text}") == 401, "it has ended"
    bob = {"Authorization": f"Bearer {await lab.token('--subject', 'bob', '--ttl', '1h')}"}
    for target, headers, expected in [("/admin", bob, 403), ("/ws/ada", bob, 403), ("/ws/bob", {}, 401), ("/nowhere", bob, 404), ("", bob, 400)]:
        status, _, body = await ask(gateway, target, headers)
        assert status == expected and "pct_" not in body, (target, status, body)
    status, headers, _ = await ask(gateway, "/ws/bob", bob, "GET")
    assert status == 405 and headers["allow"] == "POST, OPTIONS"


@case("a page of an allowed origin may fetch tickets, another page may not and is told nothing")
async def origins(lab):
    _, gateway = await house(lab, origins={"allow": ["https://app.example"]})
    token = {"Authorization": f"Bearer {await lab.token('--subject', 'ada', '--ttl', '1h')}"}
    for origin, preflight, fetched in [("https://app.example", 204, 201), ("https://evil.example", 403, 403)]:
        wish = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        status, headers, _ = await ask(gateway, "/ws/ada", wish, "OPTIONS")
        assert status == preflight, (origin, status)
        allowed = origin if preflight == 204 else None
        assert headers["access-control-allow-origin"] == allowed
        status, headers, body = await ask(gateway, "/ws/ada", {**token, "Origin": origin})
        assert status == fetched and headers["access-control-allow-origin"] == allowed, (origin, status, body)
