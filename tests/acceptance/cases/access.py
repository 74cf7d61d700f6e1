"""Who may what: roles that inherit, permissions of routes and messages, tenants, guests (SPEC 4)."""

import json
import signal

from harness.backends import PyEcho, accept
from harness.gateway import merged
from harness.lab import Lab
from harness.processes import until
from harness.raw import TEXT, frame
from harness.registry import case

from cases.identity import KEYS, required


def bearer(roles: list[str] = (), permissions: list[str] = (), **claims) -> dict[str, str]:
    """The header of a caller with these roles and permissions."""
    claims = {"sub": "u1", "exp": Lab.now() + 600, "roles": list(roles), "permissions": list(permissions), **claims}
    return {"Authorization": f"Bearer {Lab.hs256(claims)}"}


class Recorder(PyEcho):
    """An echo server that keeps what it was told."""

    def __init__(self):
        super().__init__()
        self.heard: list[str | bytes] = []

    async def _serve(self, connection) -> None:
        async for message in connection:
            self.heard.append(message)
            await connection.send(message)


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
    back = lab.ending(await Recorder.start())
    route = {**required("header"), "inbound": {**PERMISSIONS["inbound"], "on_refuse": "close"}}
    gateway = await lab.gateway(back.url, TALK, route=route)
    guest = await (await lab.python()).open(gateway.url, headers=bearer(["guest"]))
    await guest.send(typed("ping"))
    assert await guest.receive() == typed("ping")
    await guest.send(typed("chat.send"))
    assert (await guest.closed())[0] == 4003
    assert back.heard == [typed("ping")], back.heard


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


TENANTS = {"inbound": {"envelope": {"tenant": ["/tenant", "/data/org"]}},
           "outbound": {"json": {"mode": "required"}, "envelope": {"tenant": ["/tenant"]}}}

for client, needs in {"npm": ("node",), "python": (), "chromium": ("node", "chromium")}.items():

    @case(f"a message to another tenant closes with 4003, a critical event, and the backend never sees it ({client})", needs=needs, seconds=40)
    async def tenants(lab, client=client):
        back = lab.ending(await Recorder.start())
        gateway = await lab.gateway(back.url, KEYS, route={**required("query"), **TENANTS})
        token = await lab.token("--subject", "u1", "--tenant", "acme", "--ttl", "1h")
        user = await getattr(lab, client)()
        own = typed("chat", tenant="acme", data={"org": "acme"})
        crossings = [typed("chat", tenant="other"), typed("chat", data={"org": "other"}), typed("chat", tenant=["acme"]),
                     '{"type":"chat","ten\\u0061nt":"other"}']
        for crossing in crossings:
            connection = await user.open(f"{gateway.url}/?token={token}")
            await connection.send(own)
            assert await connection.receive() == own
            await connection.send(crossing)
            assert (await connection.closed())[0] == 4003, crossing
        assert back.heard == [own] * len(crossings), back.heard
        event = await gateway.event(type="tenant_crossing")
        assert event["severity"] == "critical" and event["decision"] == "closed" and event["tenant"] == "acme", event


@case("outbound: a message for another tenant never reaches the client, and a critical event says so")
async def tenants_outbound(lab):
    said = [typed("chat", tenant="acme", n=1), typed("chat", tenant="other", text="their secret"), typed("chat", n=2),
            '[{"tenant":"other"}]', typed("chat", tenant="acme", n=3)]

    async def handler(tcp, reader, writer):
        await accept(reader, writer)
        writer.write(b"".join(frame(TEXT, text.encode(), mask=None) for text in said))
        await writer.drain()
        await reader.read()

    back = await lab.tcp(handler)
    gateway = await lab.gateway(back.url, KEYS, route={**required("header"), **TENANTS})
    connection = await (await lab.python()).open(gateway.url, headers=bearer(tenant="acme"))
    assert [await connection.receive() for _ in range(3)] == [said[0], said[2], said[4]]
    event = await gateway.event(type="tenant_crossing")
    assert event["severity"] == "critical" and event["decision"] == "dropped", event
    assert "their secret" not in str(event), event


@case("a route of one tenant refuses the others, and nothing is dialled for them")
async def tenant_route(lab):
    back = await lab.py_echo()
    config = {"identity": {**KEYS["identity"], "claims": {"tenants": "/orgs"}}}
    gateway = await lab.gateway(back.url, config, route={**required("header"), "tenant": "acme", "refuse_with": "close"})
    user = await lab.python()
    for claims in ({"tenant": "other"}, {"tenant": "Acme"}, {}):
        connection = await user.open(gateway.url, headers=bearer(["admin"], ["*"], **claims))
        assert (await connection.closed())[0] == 4003, claims
    assert back.requests == []
    for claims in ({"tenant": "acme"}, {"tenant": "other", "orgs": ["third", "acme"]}):
        connection = await user.open(gateway.url, headers=bearer(**claims))
        await connection.send("hello")
        assert await connection.receive() == "hello", claims
    assert (await gateway.event(type="tenant_crossing"))["severity"] == "critical"


for client, needs in {"npm": ("node",), "python": ()}.items():

    @case(f"an anonymous caller says the types of the list and nothing else; signed in, it says more ({client})", needs=needs)
    async def guests(lab, client=client):
        back = lab.ending(await Recorder.start())
        gateway = await lab.gateway(back.url, KEYS, route={"authenticate": "optional", "credentials": ["header"], "inbound": {"guest_types": ["ping", "lobby.*"]}})
        user = await getattr(lab, client)()
        guest = await user.open(gateway.url)
        for text in (typed("chat.send"), "hello", typed("pingpong")):
            await guest.send(text)
            assert json.loads(await guest.receive())["code"] == "guest_refused", text
        for text in (typed("ping"), typed("lobby.wave")):
            await guest.send(text)
            assert await guest.receive() == text
        known = await user.open(gateway.url, headers=bearer())
        await known.send(typed("chat.send"))
        assert await known.receive() == typed("chat.send")
        assert back.heard == [typed("ping"), typed("lobby.wave"), typed("chat.send")], back.heard
        assert (await gateway.event(type="guest_refused"))["check"] == "guest"


@case("anonymous connections are capped in all: one more is 4008, who signs in is let in, and who leaves makes room")
async def guests_capped(lab):
    back = await lab.py_echo()
    over = merged(KEYS, {"sources": {"anonymous_connections_max": 2}})
    gateway = await lab.gateway(back.url, over, route={"authenticate": "optional", "credentials": ["header"], "refuse_with": "close"})
    user = await lab.python()

    async def echoes(headers=None) -> bool:
        connection = await user.open(gateway.url, headers=headers)
        held.append(connection)
        await connection.send("hello")
        try:
            return await connection.receive() == "hello"
        except Exception:
            return False

    held = []
    assert await echoes() and await echoes()
    refused = await user.open(gateway.url)
    assert (await refused.closed())[0] == 4008
    assert len(back.requests) == 2, "a refused one reached the backend"
    assert (await gateway.event(type="anonymous_full"))["check"] == "anonymous"
    assert await gateway.metric("portcullis_anonymous_connections_open") == 2
    assert await echoes(bearer())
    await held[0].close(1000)
    await until(echoes, "there is room for another guest")


@case("a second factor is demanded by route, by role and by message type, and read from amr, acr or a claim")
async def second_factor(lab):
    back = await lab.py_echo()
    config = {**KEYS, "access": {"roles": {"moderator": {"mfa": True}}},
              "routes": [{"name": "safe", "path": "/safe", "upstream": back.url, "mfa": True, **required("header")},
                         {"name": "chat", "path": "/chat", "upstream": back.url, **required("header"), "inbound": {"mfa_types": ["wallet.*"]}}]}
    config["identity"] = {**KEYS["identity"], "mfa": {"acr": ["urn:level:2"], "claim": "/factors/second"}}
    gateway = await lab.gateway_from({"environment": "development", **config})
    for path, roles, claims, status in [
        ("/safe", ["user"], {}, 403),
        ("/safe", ["user"], {"amr": ["pwd"]}, 403),
        ("/safe", ["user"], {"acr": "urn:level:1"}, 403),
        ("/safe", ["user"], {"factors": {"second": "true"}}, 403),
        ("/safe", ["user"], {"amr": ["pwd", "mfa"]}, 101),
        ("/safe", ["user"], {"acr": "urn:level:2"}, 101),
        ("/safe", ["user"], {"factors": {"second": True}}, 101),
        ("/chat", ["user"], {}, 101),
        ("/chat", ["moderator"], {}, 403),
        ("/chat", ["admin"], {}, 403),
        ("/chat", ["admin"], {"amr": ["mfa"]}, 101),
    ]:
        raw, response = await lab.raw(gateway, path, headers=bearer(roles, **claims))
        assert response.status == status, (path, roles, claims, response.status)
        raw.close()
    assert (await gateway.event(type="mfa_required"))["check"] == "mfa"
    client = await lab.python()
    plain = await client.open(gateway.url + "/chat", headers=bearer(["user"]))
    await plain.send(typed("wallet.pay"))
    assert json.loads(await plain.receive())["code"] == "mfa_required"
    await plain.send(typed("chat.send"))
    assert await plain.receive() == typed("chat.send")
    strong = await client.open(gateway.url + "/chat", headers=bearer(["user"], amr=["mfa"]))
    await strong.send(typed("wallet.pay"))
    assert await strong.receive() == typed("wallet.pay")


@case("a reload gives and takes permissions on open connections: messages first, then the route itself", seconds=40)
async def reload(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {**KEYS, "access": {"roles": {"user": {"allow": ["chat.join"]}}}},
                                route={**required("header"), "permission": "chat.join", "inbound": {"permissions": {"ping": "anyone", "chat.send": "chat.write"}}})
    user = await (await lab.python()).open(gateway.url, headers=bearer(["user"]))
    other = await (await lab.python()).open(gateway.url, headers=bearer([], ["chat.join"]))

    async def says(connection) -> str:
        await connection.send(typed("chat.send"))
        return json.loads(await connection.receive())["type"]

    assert await says(user) == "error"
    gateway.config["access"]["roles"]["user"]["allow"] = ["chat.join", "chat.write"]
    gateway.rewrite({})
    gateway.child.signal(signal.SIGHUP)

    async def may():
        return await says(user) == "chat.send"

    await until(may, "the permission takes effect", 10)
    gateway.config["access"]["roles"]["user"]["allow"] = []
    gateway.rewrite({})
    gateway.child.signal(signal.SIGHUP)
    assert (await user.closed())[0] == 4003
    await other.send(typed("ping"))
    assert await other.receive() == typed("ping"), "whose token carries the permission stays"
    event = await gateway.event(type="permission_denied", check="permission", decision="closed")
    assert event["user"] == "u1", event
