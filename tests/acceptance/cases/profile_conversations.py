"""The conversations profile, line by line: `profiles/conversations.yaml` as its operators start it (SPEC 19, P)."""

import json

from harness import profiles
from harness.clients import Refused
from harness.lab import SECRET, Lab
from harness.processes import until
from harness.registry import case

ENV = {"JWT_SECRET": SECRET, "AUTHORIZER_TOKEN": "authorizer-token-of-32-characters"}


async def house(lab, **more):
    back, ports = await profiles.backend(lab, "conversations", "--authorizer-port", "0", env=ENV)
    sets = {f"routes[{at}].upstream": f"ws://127.0.0.1:{ports['port']}" for at in range(3)}
    sets |= {f"routes[{at}].authorizer.url": f"http://127.0.0.1:{ports['authorizer']}/authorize" for at in range(2)}
    return back, await profiles.gateway(lab, "conversations", {**sets, **more}, ENV)


def token(subject: str, *roles: str, **claims) -> str:
    return Lab.hs256({"sub": subject, "roles": list(roles), "exp": Lab.now() + 600, **claims})


def bearer(subject: str, *roles: str) -> dict:
    return {"Authorization": f"Bearer {token(subject, *roles)}"}


async def told(connection) -> dict:
    return json.loads(await connection.receive())


async def opened(lab, gateway, path: str, headers: dict, client: str = "python"):
    """An open connection, past its first message."""
    user = await getattr(lab, client)()
    connection = await user.open(gateway.url + path, headers=headers)
    first = await told(connection)
    assert first["type"] == "connected", first
    return connection


async def closed(lab, gateway, path: str, headers: dict | None = None, client: str = "python") -> int:
    """The code that a handshake on this path is closed with at once."""
    user = await getattr(lab, client)()
    connection = await user.open(gateway.url + path, headers=headers)
    return (await connection.closed())[0]


async def said(connection, **message) -> dict:
    await connection.send(json.dumps(message))
    return await told(connection)


PATHS = {"general": "/ws/ada", "conversation": "/ws/conversation/ada/c1", "web3": "/api/v1/web3/ws/ada"}


@case("three routes are three connection types, counted apart")
async def types(lab):
    back, gateway = await house(lab)
    for path in PATHS.values():
        await opened(lab, gateway, path, bearer("ada", "user"))
    for name, path in PATHS.items():
        assert await gateway.metric("portcullis_connections_open", route=name) == 1, name
        assert profiles.opened(back).count(path) == 1, profiles.opened(back)


for place in ("query", "header", "cookie"):
    for client in ("npm", "python"):

        @case(f"{client}: a JWT in the {place} is read before the connection is accepted, and the first message is `connected`", needs=("node",))
        async def places(lab, place=place, client=client):
            back, gateway = await house(lab)
            text = token("ada", "user")
            path, headers = {
                "query": (f"/ws/ada?token={text}", {}),
                "header": ("/ws/ada", {"Authorization": f"Bearer {text}"}),
                "cookie": ("/ws/ada", {"Cookie": f"access_token={text}"}),
            }[place]
            user = await getattr(lab, client)()
            connection = await user.open(gateway.url + path, headers=headers)
            first = await told(connection)
            assert (first["type"], first["subject"], first["roles"], first["route"]) == ("connected", "ada", ["user"], "general"), first
            assert (await said(connection, type="ping"))["type"] == "ping.done"
            assert profiles.opened(back) == ["/ws/ada"], "the token went on to the backend"


BAD = {
    "no token": lambda: {},
    "an expired one": lambda: {"Authorization": "Bearer " + token("ada", "user", exp=Lab.now() - 600)},
    "another secret's": lambda: {"Authorization": "Bearer " + Lab.hs256({"sub": "ada", "exp": Lab.now() + 600}, "x" * 40)},
    "garbage": lambda: {"Authorization": "Bearer garbage"},
}


@case("4001 for no token and for a bad one on every route; the backend sees none of them", needs=("node",))
async def unauthenticated(lab):
    back, gateway = await house(lab)
    for number, (what, headers) in enumerate(BAD.items()):
        for at, (name, path) in enumerate(PATHS.items()):
            # Each from an address of its own, as the proxy in front tells it: five failures a minute are a ban.
            origin = {"X-Forwarded-For": f"203.0.113.{10 * number + at}"}
            assert await closed(lab, gateway, path, {**headers(), **origin}, "npm") == 4001, (what, name)
    assert profiles.opened(back) == []


@case("4003 for another user's path, with an event that names both")
async def binding(lab):
    back, gateway = await house(lab)
    for name, path in PATHS.items():
        assert await closed(lab, gateway, path.replace("ada", "eve"), bearer("ada", "user")) == 4003, name
    assert profiles.opened(back) == []
    event = await gateway.event(type="path_binding", user="ada")
    assert event["category"] == "authorization" and event["severity"] == "high", event


@case("a conversation opens to who is in it, streams to them, and is 4003 for others; a role without the permission is too")
async def conversation(lab):
    back, gateway = await house(lab)
    connection = await opened(lab, gateway, "/ws/conversation/ada/c1", bearer("ada", "user"))
    await connection.send(json.dumps({"type": "message", "content": "to be or"}))
    streamed = [await told(connection) for _ in range(4)]
    assert [one.get("token") for one in streamed] == ["to", "be", "or", None] and streamed[3]["status"] == "complete", streamed
    assert (await said(connection, type="typing"))["type"] == "typing.done"
    assert await closed(lab, gateway, "/ws/conversation/ben/c1", bearer("ben", "user")) == 4003
    event = await gateway.event(type="authorizer_denied", user="ben")
    assert "not in this conversation" in event["detail"], event
    assert await closed(lab, gateway, "/ws/conversation/ada/c1", bearer("ada", "stranger")) == 4003
    assert profiles.opened(back) == ["/ws/conversation/ada/c1"]


@case("the eleventh connection of a user over the three routes is 4008, another user's first is not, and one that closes makes room", needs=("node",))
async def crowd(lab):
    back, gateway = await house(lab)
    paths = [*PATHS.values()] * 3 + [PATHS["web3"]]
    held = [await opened(lab, gateway, path, bearer("ada", "user")) for path in paths]
    for path in PATHS.values():
        for client in ("python", "npm"):
            assert await closed(lab, gateway, path, bearer("ada", "user"), client) == 4008, (path, client)
    assert profiles.opened(back) == paths, "a refused one reached the backend"
    event = await gateway.event(type="connections_per_user", user="ada")
    assert event["check"] == "user", event
    await opened(lab, gateway, "/ws/ben", bearer("ben", "user"))
    await held[0].close(1000)
    await until(lambda: room(lab, gateway), "room for another connection")


async def room(lab, gateway) -> bool:
    user = await lab.python()
    connection = await user.open(gateway.url + "/ws/ada", headers=bearer("ada", "user"))
    try:
        return (await told(connection))["type"] == "connected"
    except Exception:
        return False


@case("`subscribe_conversation` is checked against the conversations a user is in; the refusal is an error message, the socket stays")
async def subscribe(lab):
    _, gateway = await house(lab)
    connection = await opened(lab, gateway, "/ws/ada", bearer("ada", "user"))
    granted = await said(connection, type="subscribe_conversation", conversation_id="c1")
    assert granted == {"type": "subscribe_conversation.done", "conversation_id": "c1"}, granted
    for wrong in ({"conversation_id": "c9"}, {"conversation_id": "*"}, {"conversation_id": ["c1"]}, {}):
        refused = await said(connection, type="subscribe_conversation", **wrong)
        assert refused["type"] == "error" and refused["message"] and refused["code"] == "access_denied", (wrong, refused)
    assert (await said(connection, type="ping"))["type"] == "ping.done"


@case("an update of a conversation reaches those in it and nobody else, although the backend sends it to everybody")
async def outbound(lab):
    _, gateway = await house(lab)
    ada = await opened(lab, gateway, "/ws/ada", bearer("ada", "user"))
    ben = await opened(lab, gateway, "/ws/ben", bearer("ben", "user"))
    for user, name in ((ada, "c1"), (ada, "c2"), (ben, "c2")):
        await said(user, type="subscribe_conversation", conversation_id=name)
    for name in ("c1", "c2"):
        writer = await opened(lab, gateway, f"/ws/conversation/ada/{name}", bearer("ada", "user"))
        await writer.send(json.dumps({"type": "message", "content": "hello"}))
        assert (await told(ada)) == {"type": "conversation_update", "conversation_id": name}
    assert (await told(ben)) == {"type": "conversation_update", "conversation_id": "c2"}, "he is not in c1"


@case("subscriptions are tracked: updates reach a client from `subscribe_conversation` to `unsubscribe_conversation`, and the 51st is refused")
async def tracked(lab):
    _, gateway = await house(lab)
    ada = await opened(lab, gateway, "/ws/ada", bearer("ada", "user"))
    writers = {name: await opened(lab, gateway, f"/ws/conversation/ada/{name}", bearer("ada", "user")) for name in ("c1", "c2")}

    async def spoken(name):
        await writers[name].send(json.dumps({"type": "message", "content": "hello"}))
        while (await told(writers[name])).get("status") != "complete":
            pass

    await spoken("c1")
    await said(ada, type="subscribe_conversation", conversation_id="c2")
    await spoken("c1")
    await spoken("c2")
    assert (await told(ada)) == {"type": "conversation_update", "conversation_id": "c2"}, "and nothing of c1"
    await said(ada, type="unsubscribe_conversation", conversation_id="c2")
    await spoken("c2")
    assert (await said(ada, type="ping"))["type"] == "ping.done", "and nothing of c2"
    event = await gateway.event(type="not_subscribed", user="ada")
    assert event["check"] == "subscription", event
    member = {"Authorization": f"Bearer {token('root', 'user', permissions=[f'conversation.read:x{n}' for n in range(51)])}"}
    many = await opened(lab, gateway, "/ws/root", member)
    answers = [await said(many, type="subscribe_conversation", conversation_id=f"x{n}") for n in range(51)]
    assert [one["type"] for one in answers] == ["subscribe_conversation.done"] * 50 + ["error"], answers[-2:]
    assert answers[-1]["code"] == "too_many_subscriptions", answers[-1]
    await said(many, type="unsubscribe_conversation", conversation_id="x0")
    again = await said(many, type="subscribe_conversation", conversation_id="x50")
    assert again["type"] == "subscribe_conversation.done", again


@case("permissions are mapped to roles as the application has them: wallets, conversations, the system")
async def roles(lab):
    _, gateway = await house(lab)
    for role, wallet, transfer, system in (("user", True, False, False), ("moderator", False, False, True), ("admin", True, True, True)):
        connection = await opened(lab, gateway, "/api/v1/web3/ws/ada", bearer("ada", role))
        for kind, allowed in (("wallet.balance", wallet), ("wallet.transactions", wallet), ("wallet.transfer", transfer)):
            answer = await said(connection, type=kind)
            assert answer["type"] == (f"{kind}.done" if allowed else "error"), (role, kind, answer)
        assert (await said(connection, type="wallet.unknown"))["type"] == "error"
        connection = await opened(lab, gateway, "/ws/ada", bearer("ada", role))
        answer = await said(connection, type="system_status")
        assert answer["type"] == ("system_status.done" if system else "error"), (role, answer)
        await opened(lab, gateway, "/ws/conversation/ada/c1", bearer("ada", role))


@case("authentication is audited: the accepted with user, address and time, the refused with a severity; no token stands there")
async def audited(lab):
    _, gateway = await house(lab)
    agent = {"X-Forwarded-For": "203.0.113.7", "User-Agent": "Mozilla/5.0 (acceptance)"}
    text = token("ada", "user")
    await opened(lab, gateway, "/ws/ada", {"Authorization": f"Bearer {text}", **agent})
    event = await gateway.event(type="connection_accepted", user="ada")
    assert event["source_ip"] == "203.0.113.7" and event["route"] == "general" and event["time_unix_ms"] > 1_700_000_000_000, event
    assert await closed(lab, gateway, "/ws/ada", {**BAD["another secret's"](), **agent}) == 4001
    failed = await gateway.event(type="token_signature")
    assert (failed["category"], failed["severity"], failed["source_ip"]) == ("authentication", "high", "203.0.113.7"), failed
    for one in (event, failed):
        assert dict(one["metadata"])["user_agent"] == "Mozilla/5.0 (acceptance)", one
    everything = json.dumps(await gateway.events()) + "\n".join(gateway.child.lines)
    assert text.split(".")[2] not in everything


@case("`GET /ws/stats` has the application's shape, for admins and moderators only", needs=("node",))
async def stats(lab):
    back, gateway = await house(lab)
    for path in (*PATHS.values(), "/ws/ada"):
        await opened(lab, gateway, path, bearer("ada", "user"))
    await opened(lab, gateway, "/ws/ben", bearer("ben", "user"), "npm")
    types = {"general": 3, "conversation": 1, "web3": 1}
    limit = {"max_connections_per_user": 10}

    async def counted():
        status, headers, text = await gateway.http("/ws/stats", bearer("root", "moderator"))
        assert status == 200 and headers["content-type"] == "application/json" and headers["cache-control"] == "no-store", (status, headers, text)
        told = json.loads(text)
        return told if told["stats"]["websocket_manager"]["active_connections"] == 5 else None

    told = await until(counted, "five connections are counted")
    stamp = told.pop("timestamp")
    assert isinstance(stamp, float) and abs(stamp - Lab.now()) < 60, stamp
    assert told == {
        "success": True,
        "stats": {
            "websocket_manager": {"active_connections": 5, "unique_users": 2, "connection_types": types},
            "authentication": {"active_connections": 5, "unique_users": 2, "connection_types": types, **limit},
            "security": {"authenticated_connections": 5, "unique_authenticated_users": 2, **limit},
        },
    }, told
    assert (await gateway.http("/ws/stats", bearer("root", "admin")))[0] == 200
    assert (await gateway.http(f"/ws/stats?token={token('root', 'admin')}"))[0] == 200
    for headers, status, reason in (({}, 401, "credential_missing"), (bearer("eve", "user"), 403, "permission_denied")):
        refused = await gateway.http("/ws/stats", headers)
        assert refused[0] == status and "websocket_manager" not in refused[2], refused
        event = await gateway.event(type=reason, route="stats")
        assert event["decision"] == "refused", event
    read = await gateway.event(type="statistics_read", user="root")
    assert (read["route"], read["category"]) == ("stats", "data_access"), read
    assert await gateway.metric("portcullis_statistics_reads_total") >= 3
    assert not any("stats" in path for path in profiles.opened(back)), "the backend was asked"


@case("a browser reads 4001, 4003 and 4008", needs=("node", "chromium"), seconds=40)
async def browser(lab):
    page = await lab.chromium()
    # The page comes from another host than the gateway's; which ones may is the operator's to say.
    origin = await page.evaluate("() => location.origin")
    _, gateway = await house(lab, **{"origins.allow": [origin]})
    for code, path in ((4001, "/ws/ada"), (4003, f"/ws/eve?token={token('ada', 'user')}")):
        try:
            connection = await page.open(gateway.url + path)
        except Refused:
            raise AssertionError(f"{path}: the browser was not let read a code") from None
        assert (await connection.closed())[0] == code
    for _ in range(10):
        await opened(lab, gateway, "/ws/ada", bearer("ada", "user"))
    connection = await page.open(gateway.url + f"/ws/ada?token={token('ada', 'user')}")
    assert (await connection.closed())[0] == 4008
