"""Who may what: roles that inherit, permissions of routes and messages, tenants, guests (SPEC 4)."""

from harness.lab import Lab
from harness.registry import case

from cases.identity import KEYS, required


def bearer(roles: list[str] = (), permissions: list[str] = (), **claims) -> dict[str, str]:
    """The header of a caller with these roles and permissions."""
    claims = {"sub": "u1", "exp": Lab.now() + 600, "roles": list(roles), "permissions": list(permissions), **claims}
    return {"Authorization": f"Bearer {Lab.hs256(claims)}"}


LADDER = {**KEYS, "access": {
    "roles": {"user": {"allow": ["chat.join", "room.join:*"]}, "contractor": {"inherits": ["user"], "deny": ["room.join:vault"]}},
    "permissions": {"staff.join": ["moderator"]}}}

for client, needs in {"npm": ("node",), "python": ()}.items():

    @case(f"the route's permission: a role that may is in, one that may not reads 4003 ({client})", needs=needs)
    async def route(lab, client=client):
        back = await lab.py_echo()
        gateway = await lab.gateway(back.url, LADDER, route={**required("header"), "permission": "staff.join", "refuse_with": "close"})
        user = await getattr(lab, client)()
        for role in ("user", "guest", "stranger"):
            connection = await user.open(gateway.url, headers=bearer([role]))
            assert (await connection.closed())[0] == 4003, role
        assert back.requests == [], "the backend was dialled"
        for held in ({"roles": ["moderator"]}, {"roles": ["admin"]}, {"permissions": ["staff.*"]}):
            connection = await user.open(gateway.url, headers=bearer(**held))
            await connection.send("hello")
            assert await connection.receive() == "hello", held
        event = await gateway.event(type="permission_denied")
        assert event["check"] == "permission" and "staff.join" in event["detail"], event


@case("a permission on the room that the path names, and a denial that wins over role and token")
async def room(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway_from({"environment": "development", **LADDER, "routes": [
        {"name": "room", "path": "/room/{room}", "upstream": back.url, "permission": "room.join:{room}", **required("header")}]})
    for held, path, status in [
        ({"roles": ["user"]}, "/room/vault", 101),
        ({"roles": ["contractor"]}, "/room/lobby", 101),
        ({"roles": ["contractor"]}, "/room/vault", 403),
        ({"roles": ["contractor", "user"], "permissions": ["*", "room.join:vault"]}, "/room/vault", 403),
        ({"permissions": ["room.join:7"]}, "/room/7", 101),
        ({"permissions": ["room.join:7"]}, "/room/8", 403),
        ({"roles": ["user"]}, "/room/%2A", 403),
        ({}, "/room/lobby", 403),
    ]:
        raw, response = await lab.raw(gateway, path, headers=bearer(**held))
        assert response.status == status, (held, path, response.status)
        raw.close()


@case("a route that asks for a role takes one that inherits it")
async def inherited(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, LADDER, route={**required("header"), "roles": ["user"]})
    for role, status in (("guest", 403), ("user", 101), ("contractor", 101), ("admin", 101)):
        raw, response = await lab.raw(gateway, headers=bearer([role]))
        assert response.status == status, (role, response.status)
        raw.close()
