"""A route that answers with the gateway's figures in a shape of the operator's (SPEC 11.2)."""

import json

from harness.clients import Refused
from harness.lab import Lab
from harness.processes import until
from harness.registry import case

from cases.identity import KEYS

SHAPE = {
    "open": "{connections}", "known": "{authenticated_connections}", "guests": "{anonymous_connections}", "users": "{users}",
    "chat_users": "{users:chat}", "by": ["{connections_by_route}", "{connections_by_tenant}", "{connections_by_role}"],
    "refused": "{refusals}", "wrong_origin": "{refusals:origin_refused}", "why": "{refusals_by_reason}", "level": "{flood_level}",
    "locked": "{lockdown}", "up": "{uptime_seconds}", "most": "{connections_per_user_max:chat}", "unlimited": "{connections_per_user_max:open}",
    "fixed": {"text": "as it is"},
}


def bearer(subject: str, role: str, **claims) -> dict:
    return {"Authorization": "Bearer " + Lab.hs256({"sub": subject, "roles": [role], "exp": Lab.now() + 600, **claims})}


async def house(lab):
    back = await lab.npm_echo()
    routes = [
        {"name": "chat", "path": "/chat", "upstream": back.url, "authenticate": "required", "connections_per_user_max": 4},
        {"name": "open", "path": "/open", "upstream": back.url, "authenticate": "off"},
        {"name": "figures", "path": "/figures", "authenticate": "required", "roles": ["admin"], "statistics": {"shape": SHAPE}},
    ]
    config = {"environment": "development", **KEYS, "origins": {"allow": ["https://page.test"]}, "routes": routes}
    return back, await lab.gateway_from(config)


async def read(gateway) -> dict:
    status, _, text = await gateway.http("/figures", bearer("root", "admin"))
    assert status == 200, (status, text)
    return json.loads(text)


@case("figures are counted when somebody asks: connections, users, tenants, roles, refusals", needs=("node",))
async def figures(lab):
    back, gateway = await house(lab)
    npm = await lab.npm()
    held = [await npm.open(gateway.url + "/chat", headers=bearer("ada", "user", tenant="acme")) for _ in range(2)]
    await npm.open(gateway.url + "/chat", headers=bearer("ben", "moderator", tenant="acme"))
    await npm.open(gateway.url + "/open")
    raw, response = await lab.raw(gateway, "/chat", {"Origin": "https://elsewhere.test"})
    assert response.status == 403

    async def counted():
        told = await read(gateway)
        return told if told["open"] == 4 and told["wrong_origin"] == 1 else None

    told = await until(counted, "four connections and a refusal are counted")
    assert isinstance(told.pop("up"), int) and told.pop("refused") >= 1, told
    assert told.pop("why")["origin_refused"] == 1
    assert told == {
        "open": 4, "known": 3, "guests": 1, "users": 2, "chat_users": 2,
        "by": [{"chat": 3, "open": 1}, {"acme": 3}, {"user": 2, "moderator": 1, "guest": 1}],
        "wrong_origin": 1, "level": "normal", "locked": False, "most": 4, "unlimited": None,
        "fixed": {"text": "as it is"},
    }, told
    for connection in held:
        await connection.close(1000)

    async def gone():
        return (await read(gateway))["open"] == 2

    await until(gone, "those that closed are not counted")
    await gateway.cli("lockdown", "--for", "10m", "--state", gateway.folder / "state")

    async def locked():
        return (await read(gateway))["locked"]

    await until(locked, "the lockdown shows")
    assert len(back.requests) == 4, "the backend was asked for figures"


@case("the path of figures is no WebSocket, answers GET and HEAD, and only pages of allowed origins may read it", needs=("node",))
async def manners(lab):
    _, gateway = await house(lab)
    npm = await lab.npm()
    try:
        await npm.open(gateway.url + "/figures", headers=bearer("root", "admin"))
        raise AssertionError("a connection was opened")
    except Refused as refused:
        assert refused.status == 404, refused
    admin = bearer("root", "admin")
    for method, status, body in (("HEAD", 200, False), ("POST", 405, False), ("DELETE", 405, False), ("GET", 200, True)):
        answered, _, text = await gateway.http("/figures", {**admin, "Origin": "https://page.test"}, method)
        assert answered == status and bool(text) == body, (method, answered, text)
    preflight = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    for origin, may in (("https://page.test", True), ("https://elsewhere.test", False)):
        status, headers, _ = await gateway.http("/figures", {**preflight, "Origin": origin}, "OPTIONS")
        assert (status == 204) == may and headers.get("access-control-allow-origin") == (origin if may else None), (origin, status, headers)
        status, headers, text = await gateway.http("/figures", {**admin, "Origin": origin})
        assert (status == 200) == may and ("users" in text) == may, (origin, status, text)
        assert headers.get("access-control-allow-origin") == (origin if may else None), headers
