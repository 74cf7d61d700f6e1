"""Sessions: exchanged for a credential, shown as bearer or cookie, idle, old, too many, rotated, ended (SPEC 5)."""

import asyncio
import http.client
import json
import re
import time

from harness.clients import Refused
from harness.processes import until
from harness.registry import case

from cases.control import claims_of, closed_within_a_second
from cases.identity import KEYS

ROUTE = {"name": "chat", "path": "/ws", "authenticate": "required", "credentials": ["header", "subprotocol", "cookie"]}


async def house(lab, state=None, route=None, **sessions):
    back = await lab.npm_echo()
    identity = {**KEYS["identity"], "sessions": {"enabled": True, "path": "/auth/session", **sessions}}
    config = {"environment": "development", "identity": identity, "routes": [{**ROUTE, "upstream": back.url, **(route or {})}]}
    return back, await lab.gateway_from(config, ["--state", str(state)] if state else None)


async def ask(gateway, headers, method="POST", query=""):
    """Status, headers and JSON of a request to the path of sessions."""

    def blocking():
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
        connection.request(method, "/auth/session" + query, headers=headers)
        response = connection.getresponse()
        body = response.read().decode()
        return response.status, response.headers, json.loads(body) if body else {}

    return await asyncio.to_thread(blocking)


def bearing(text: str) -> dict:
    return {"Authorization": f"Bearer {text}"}


async def issued(gateway, token, **more) -> dict:
    status, headers, body = await ask(gateway, {**bearing(token), **more})
    assert status == 201 and headers["cache-control"] == "no-store", (status, body)
    return body


async def opened(lab, gateway, headers, client="npm"):
    user = await getattr(lab, client)()
    return await user.open(gateway.url + "/ws", headers=headers)


async def status_of(lab, gateway, headers) -> int:
    try:
        connection = await opened(lab, gateway, headers, "python")
    except Refused as refused:
        return refused.status
    await connection.close(1000)
    return 101


@case("a token is exchanged for a session that opens connections after the token has ended; the backend never sees it", needs=("node",))
async def outlives(lab):
    back, gateway = await house(lab)
    token = await lab.token("--subject", "ada", "--role", "user", "--tenant", "acme", "--ttl", "1s")
    session = await issued(gateway, token)
    text = session["session"]
    assert re.fullmatch(r"pcs_[A-Za-z0-9_-]{43}", text) and session["subject"] == "ada", session
    assert session["idle_timeout_ms"] == 1_800_000 and session["expires_at"] > time.time() + 11 * 3600, session
    await asyncio.sleep(1.2)
    for client in ("npm", "python"):
        connection = await opened(lab, gateway, bearing(text), client)
        await connection.send("hello")
        assert await connection.receive() == "hello"
    seen = (await back.seen())[0]
    assert seen["headers"]["x-portcullis-subject"] == "ada" and seen["headers"]["x-portcullis-tenant"] == "acme", seen
    assert text not in json.dumps(seen) and text not in "\n".join(gateway.child.lines)
    event = await gateway.event(type="session_issued", user="ada")
    assert event["session"] == session["id"] and text not in json.dumps(await gateway.events("--severity", "low")), event
    assert await gateway.metric("portcullis_sessions_total", outcome="issued") == 1
    assert await gateway.metric("portcullis_sessions_open") == 1
    assert text.encode() not in (gateway.folder / "state" / "sessions.db").read_bytes()


@case("a browser's session is an HttpOnly cookie that no answer repeats; logging out ends its connections and clears it", needs=("node",))
async def by_cookie(lab):
    _, gateway = await house(lab, cookie={"secure": True})
    token = await lab.token("--subject", "ada", "--ttl", "1h")
    status, headers, body = await ask(gateway, bearing(token), query="?as=cookie")
    assert status == 201 and "session" not in body, body
    cookie = headers["set-cookie"]
    name_value, *attributes = cookie.split("; ")
    assert set(attributes) == {"Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict", "Secure"}, cookie
    jar = {"Cookie": f"theme=dark; {name_value}"}
    connection = await opened(lab, gateway, jar)
    # With the cookie as credential a script gets no text out of the gateway, whatever it asks for.
    status, headers, body = await ask(gateway, jar, query="?as=bearer")
    assert status == 201 and "session" not in body and "pcs_" not in json.dumps(body), body
    rotated = {"Cookie": headers["set-cookie"].split("; ")[0]}
    assert rotated["Cookie"] != name_value
    await closed_within_a_second(connection, 4001)
    assert await status_of(lab, gateway, jar) == 401, "the old one is dead"
    connection = await opened(lab, gateway, rotated)
    status, headers, _ = await ask(gateway, rotated, "DELETE")
    assert status == 204 and "Max-Age=0" in headers["set-cookie"], headers
    await closed_within_a_second(connection, 4001)
    assert await status_of(lab, gateway, rotated) == 401
    await gateway.event(type="session_ended", user="ada")
    assert await gateway.metric("portcullis_sessions_total", outcome="logged_out") == 1


@case("an idle session closes its connection with 4001, one that is used stays until its lifetime", needs=("node",))
async def idle(lab):
    _, gateway = await house(lab, idle_timeout="2s", lifetime="6s")
    token = await lab.token("--subject", "ada", "--ttl", "1h")
    quiet, busy = (await issued(gateway, token))["session"], (await issued(gateway, token))["session"]
    silent, talker = await opened(lab, gateway, bearing(quiet)), await opened(lab, gateway, bearing(busy), "python")
    ends = time.monotonic() + 6
    for _ in range(8):
        await talker.send("still here")
        assert await talker.receive() == "still here"
        await asyncio.sleep(0.5)
    code, _ = await silent.closed(0.5)
    assert code == 4001, code
    await gateway.event(type="session_idle", decision="closed", user="ada")
    assert await status_of(lab, gateway, bearing(quiet)) == 401
    while time.monotonic() < ends - 1:
        await talker.send("still here")
        assert await talker.receive() == "still here"
        await asyncio.sleep(0.2)
    code, _ = await talker.closed(5)
    assert code == 4001, code
    await gateway.event(type="session_expired", decision="closed", user="ada")


@case("of more sessions than a user may have the oldest leaves and closes, or the newest is refused", needs=("node",))
async def too_many(lab):
    for when_full in ("oldest_leaves", "refuse"):
        _, gateway = await house(lab, max_per_user=2, when_full=when_full)
        token = await lab.token("--subject", "ada", "--ttl", "1h")
        first = await opened(lab, gateway, bearing((await issued(gateway, token))["session"]))
        await asyncio.sleep(1.1)  # ages are whole seconds
        second = await issued(gateway, token)
        status, _, body = await ask(gateway, bearing(token))
        if when_full == "refuse":
            assert status == 429 and body["code"] == "sessions_full", body
            await first.send("still here")
            assert await first.receive() == "still here"
        else:
            assert status == 201, body
            await closed_within_a_second(first, 4001)
        assert await status_of(lab, gateway, bearing(second["session"])) == 101
        other = await lab.token("--subject", "bob", "--ttl", "1h")
        assert (await ask(gateway, bearing(other)))[0] == 201


@case("after a new credential with other rights the session has another id, and the one that came along is dead", needs=("node",))
async def rotated(lab):
    _, gateway = await house(lab, route={"roles": ["moderator"]})
    weak = await issued(gateway, await lab.token("--subject", "ada", "--role", "user", "--ttl", "1h"))
    assert await status_of(lab, gateway, bearing(weak["session"])) == 403
    strong = await lab.token("--subject", "ada", "--role", "moderator", "--ttl", "1h")
    along = {"Cookie": f"portcullis_session={weak['session']}"}
    fresh = await issued(gateway, strong, **along)
    assert fresh["id"] != weak["id"] and fresh["session"] != weak["session"]
    assert await status_of(lab, gateway, bearing(fresh["session"])) == 101
    assert await status_of(lab, gateway, bearing(weak["session"])) == 401
    fixed = "pcs_" + "A" * 43
    taken = await issued(gateway, strong, Cookie=f"portcullis_session={fixed}")
    assert taken["session"] != fixed and await status_of(lab, gateway, bearing(fixed)) == 401, "nobody chooses a session"


@case("portcullis session list and revoke: by id and by user, connections close within a second, and by the admin API", needs=("node",))
async def revoked(lab):
    _, gateway = await house(lab)
    state = ["--state", gateway.folder / "state"]
    token = await lab.token("--subject", "ada", "--role", "user", "--ttl", "1h")
    sessions = [await issued(gateway, token) for _ in range(3)]
    connections = [await opened(lab, gateway, bearing(session["session"])) for session in sessions]
    other = await opened(lab, gateway, bearing((await issued(gateway, await lab.token("--subject", "bob")))["session"]))
    _, out, _ = await gateway.cli("session", "list", "--user", "ada", *state)
    assert all(session["id"] in out and session["session"] not in out for session in sessions) and "bob" not in out, out
    await gateway.cli("session", "revoke", sessions[0]["id"], *state)
    await closed_within_a_second(connections[0], 4001)
    assert await status_of(lab, gateway, bearing(sessions[0]["session"])) == 401
    status, _, text = await gateway.admin("/api/security/sessions?user=ada")
    assert status == 200 and {one["id"] for one in json.loads(text)["sessions"]} == {sessions[1]["id"], sessions[2]["id"]}, text
    status, _, _ = await gateway.admin(f"/api/security/sessions/{sessions[1]['id']}", "DELETE")
    assert status == 204
    await closed_within_a_second(connections[1], 4001)
    await gateway.cli("session", "revoke", "--user", "ada", *state)
    await closed_within_a_second(connections[2], 4001)
    code, _, err = await gateway.cli("session", "revoke", "--user", "ada", *state, ok=False)
    assert code == 1 and "no session in force" in err, (code, err)
    await other.send("still here")
    assert await other.receive() == "still here"
    await until(lambda: gateway.metric("portcullis_sessions_total", outcome="revoked"), "revocations are counted", 3)


@case("a session survives a restart; a record changed in the file opens nothing; a revoked token's session ends with it", needs=("node",))
async def lasts(lab):
    import sqlite3

    _, gateway = await house(lab)
    state = gateway.folder / "state"
    token = await lab.token("--subject", "ada", "--role", "user", "--ttl", "1h")
    text = (await issued(gateway, token))["session"]
    await gateway.stop()
    _, gateway = await house(lab, state)
    assert await status_of(lab, gateway, bearing(text)) == 101
    connection = await opened(lab, gateway, bearing(text))
    await gateway.cli("revoke", "--token-id", claims_of(token)["jti"], "--state", state)
    await closed_within_a_second(connection, 4001)
    await gateway.cli("unban", "--token-id", claims_of(token)["jti"], "--state", state)

    async def accepted():
        return await status_of(lab, gateway, bearing(text)) == 101

    await until(accepted, "the revocation is lifted", 3)
    with sqlite3.connect(state / "sessions.db") as file:
        file.execute("UPDATE sessions SET terms = replace(terms, '\"user\"', '\"admin\"')")

    async def refused():
        return await status_of(lab, gateway, bearing(text)) == 401

    await until(refused, "the change is seen", 3)

    async def recorded():
        _, out, _ = await gateway.cli("audit", "search", "--json", "--state", state, ok=False)
        return "session_altered" in out

    await until(recorded, "the event", 5)


@case("a session bound to its user agent is refused under another one")
async def bound(lab):
    _, gateway = await house(lab, bind_to=["user_agent"])
    token = await lab.token("--subject", "ada", "--ttl", "1h")
    text = (await issued(gateway, token, **{"User-Agent": "Browser/1"}))["session"]
    raw, answer = await lab.raw(gateway, "/ws", {**bearing(text), "User-Agent": "Browser/1"})
    assert answer.status == 101, answer.status
    raw, answer = await lab.raw(gateway, "/ws", {**bearing(text), "User-Agent": "Other/2"})
    assert answer.status == 401, answer.status
    await gateway.event(type="session_foreign")


@case("a page of an allowed origin may exchange a token for a session, another page may not")
async def origins(lab):
    back, gateway = await house(lab)
    gateway.rewrite({"origins": {"allow": ["https://app.example"]}})
    await gateway.event(type="config_reloaded")
    token = bearing(await lab.token("--subject", "ada", "--ttl", "1h"))
    for origin, preflight, fetched in [("https://app.example", 204, 201), ("https://evil.example", 403, 403)]:
        status, headers, _ = await ask(gateway, {"Origin": origin, "Access-Control-Request-Method": "DELETE"}, "OPTIONS")
        assert status == preflight, (origin, status)
        if preflight == 204:
            assert headers["access-control-allow-origin"] == origin and "DELETE" in headers["access-control-allow-methods"]
        status, headers, body = await ask(gateway, {**token, "Origin": origin})
        assert status == fetched and (fetched == 201) == ("session" in body), (origin, status, body)
    status, _, body = await ask(gateway, {}, "DELETE")
    assert status == 401, body
    status, _, body = await ask(gateway, token, "DELETE")
    assert status == 401 and body["code"] == "credential_invalid", body
    status, headers, _ = await ask(gateway, token, "GET")
    assert status == 405 and headers["allow"] == "POST, DELETE, OPTIONS"


@case("oidc-provider tells of a sign-out: connections and sessions of that session close with 4001, others stay; twice is once", needs=("oidc", "node"), seconds=60)
async def backchannel(lab):
    provider = await lab.oidc_provider()
    back = await lab.npm_echo()
    logout = {"path": "/auth/logout", "client_id": "app"}
    identity = {
        "providers": [{"issuer": provider.issuer, "audiences": ["urn:jwt"], "backchannel_logout": logout}],
        "sessions": {"enabled": True, "path": "/auth/session"},
    }
    gateway = await lab.gateway_from({"environment": "development", "identity": identity, "routes": [{**ROUTE, "upstream": back.url}],
                                      "sources": {"failed_auth_rate": "off"}})
    await provider.call("tells", uri=f"http://127.0.0.1:{gateway.port}/auth/logout")

    async def signed(subject, sid):
        return (await provider.call("signed", subject=subject, sid=sid, seconds=600))["token"]

    first, second, other = await signed("ada", "s-1"), await signed("ada", "s-2"), await signed("bob", "s-3")
    session = (await issued(gateway, first))["session"]
    by_token, by_session = await opened(lab, gateway, bearing(first)), await opened(lab, gateway, bearing(session), "python")
    elsewhere, bystander = await opened(lab, gateway, bearing(second)), await opened(lab, gateway, bearing(other))
    answer = await provider.call("logout", subject="ada", sid="s-1")
    assert answer["status"] == 200, answer
    await closed_within_a_second(by_token, 4001)
    await closed_within_a_second(by_session, 4001)
    assert await status_of(lab, gateway, bearing(first)) == 401 and await status_of(lab, gateway, bearing(session)) == 401
    for connection in (elsewhere, bystander):
        await connection.send("still here")
        assert await connection.receive() == "still here"
    event = await gateway.event(type="logout_received")
    assert event["session"] == "s-1" and provider.issuer in event["detail"], event
    assert await gateway.metric("portcullis_backchannel_logouts_total") == 1
    assert await gateway.metric("portcullis_sessions_total", outcome="revoked") == 1

    # All of a user's, and what is no logout token.
    gateway.rewrite({"identity": {"providers": [{"issuer": provider.issuer, "audiences": ["urn:jwt"], "backchannel_logout": {**logout, "ends": "subject"}}]}})
    await gateway.event(type="config_reloaded")
    answer = await provider.call("logout", subject="ada", sid="s-9")
    assert answer["status"] == 200, answer
    await closed_within_a_second(elsewhere, 4001)

    def post(body, method="POST"):
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
        connection.request(method, "/auth/logout", body, {"Content-Type": "application/x-www-form-urlencoded"})
        response = connection.getresponse()
        return response.status, response.read().decode()

    for body in ["", "logout_token=a.b.c", f"logout_token={other}", "logout_token=" + "A" * 20000]:
        status, text = await asyncio.to_thread(post, body)
        assert status in (400, 401), (body[:40], status, text)
    assert (await asyncio.to_thread(post, "", "GET"))[0] == 405
    await bystander.send("still here")
    assert await bystander.receive() == "still here"
    await gateway.event(type="logout_invalid")
