"""Who may what: roles that inherit, permissions of routes and messages, tenants, guests (SPEC 4)."""

import json

from harness.backends import accept
from harness.lab import Lab
from harness.raw import TEXT, frame
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


TALK = {**KEYS, "access": {"roles": {"guest": {"allow": ["chat.read"]}, "user": {"allow": ["chat.write"]}}}}
PERMISSIONS = {"inbound": {"threats": {"mode": "off"}, "permissions": {
    "chat.*": "chat.write", "ping": "anyone", "conversation.*": "conversation.read:{/conversation_id}"}}}


def typed(message_type: str, **fields) -> str:
    return json.dumps({"type": message_type, **fields})


for client, needs in {"npm": ("node",), "python": ()}.items():

    @case(f"a message's permission: who lacks it is told, the backend never sees it, the socket stays up ({client})", needs=needs)
    async def message(lab, client=client):
        back = await lab.py_echo()
        gateway = await lab.gateway(back.url, TALK, route={**required("header"), **PERMISSIONS})
        user = await getattr(lab, client)()
        guest = await user.open(gateway.url, headers=bearer(["guest"]))
        await guest.send(typed("chat.send", text="hello"))
        reply = json.loads(await guest.receive())
        assert reply["code"] == "permission_denied" and reply["reference"], reply
        await guest.send(typed("ping"))
        assert await guest.receive() == typed("ping"), "an echo of the first message would have come before"
        writer = await user.open(gateway.url, headers=bearer(["user"]))
        await writer.send(typed("chat.send", text="hello"))
        assert await writer.receive() == typed("chat.send", text="hello")
        event = await gateway.event(id=reply["reference"])
        assert event["check"] == "permission" and event["message_type"] == "chat.send" and event["user"] == "u1", event
        assert "chat.write" in await gateway.explain(reply["reference"])


@case("on_refuse: close: a message without its permission ends the connection with 4003, and the backend never sees it")
async def message_closes(lab):
    back = await lab.py_echo()
    route = {**required("header"), "inbound": {**PERMISSIONS["inbound"], "on_refuse": "close"}}
    gateway = await lab.gateway(back.url, TALK, route=route)
    guest = await (await lab.python()).open(gateway.url, headers=bearer(["guest"]))
    await guest.send(typed("chat.send"))
    assert (await guest.closed())[0] == 4003


@case("a permission on the conversation that the message names")
async def resource(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, TALK, route={**required("header"), **PERMISSIONS})
    user = await (await lab.python()).open(gateway.url, headers=bearer(["user"], ["conversation.read:42"]))
    for conversation, passes in [("42", True), (42, True), ("43", False), ("*", False), (None, False), (["42"], False)]:
        message = typed("conversation.open", conversation_id=conversation)
        await user.send(message)
        answer = await user.receive()
        assert (answer == message) == passes, (conversation, answer)


@case("outbound: what a client may not hear never reaches it, what it may does, and the audit says so")
async def outbound(lab):
    said = [typed("news", n=1), typed("report.new", text="hidden words"), typed("conversation.said", conversation_id="7"),
            "no json", typed("conversation.said", conversation_id="8"), typed("news", n=2)]

    async def handler(tcp, reader, writer):
        await accept(reader, writer)
        writer.write(b"".join(frame(TEXT, text.encode(), mask=None) for text in said))
        await writer.drain()
        await reader.read()

    back = await lab.tcp(handler)
    gateway = await lab.gateway(back.url, TALK, route={**required("header"), "outbound": {"json": {"mode": "detect"}, "permissions": {
        "*": "chat.read", "report.*": "chat.moderate", "conversation.*": "conversation.read:{/conversation_id}"}}})
    guest = await (await lab.python()).open(gateway.url, headers=bearer(["guest"], ["conversation.read:7"]))
    assert [await guest.receive() for _ in range(3)] == [said[0], said[2], said[5]]
    for message_type in ("report.new", "conversation.said"):
        event = await gateway.event(type="permission_denied", message_type=message_type)
        assert event["decision"] == "dropped" and "hidden words" not in str(event), event
