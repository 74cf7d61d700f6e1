"""The team chat's profile, line by line: `profiles/team-chat.yaml` as its operators start it (SPEC 19, C)."""

import asyncio
import datetime
import http.client
import itertools
import json
import time

from harness import profiles
from harness.clients import Refused
from harness.lab import SECRET, Lab
from harness.processes import until
from harness.profiles import said
from harness.registry import case

ENV = {"JWT_SECRET": SECRET, "CSRF_SECRET": "csrf-secret-of-forty-two-characters-or-so!"}


async def house(lab, environment: str = "staging"):
    back, ports = await profiles.backend(lab, "team-chat")
    passphrase = lab.folder / "passphrase"
    passphrase.write_text("a passphrase of enough characters\n")
    sets = {"routes[0].upstream": f"ws://127.0.0.1:{ports['port']}", "sealing.keys[0].passphrase_file": str(passphrase)}
    return back, await profiles.gateway(lab, "team-chat", sets, {**ENV, "PORTCULLIS_ENV": environment})


def token(subject: str = "ada", *roles: str, **claims) -> str:
    return Lab.hs256({"sub": subject, "roles": list(roles or ["user"]), "exp": Lab.now() + 24 * 3600, **claims})


def bearer(text: str, address: str = "203.0.113.1") -> dict:
    """A caller behind the proxy, from an address of its own."""
    return {"Authorization": f"Bearer {text}", "X-Forwarded-For": address}


async def opened(lab, gateway, text: str, client: str = "python", address: str = "203.0.113.1"):
    user = await getattr(lab, client)()
    return await user.open(gateway.url + "/ws", headers=bearer(text, address))


async def status(lab, gateway, text: str, address: str = "203.0.113.1") -> int:
    try:
        connection = await opened(lab, gateway, text, address=address)
    except Refused as refused:
        return refused.status
    await connection.close(1000)
    return 101


def chat(text: str) -> dict:
    return {"type": "chat.send", "id": "1", "room": "general", "text": text}


async def post(gateway, path: str, text: str, address: str = "203.0.113.1") -> tuple[int, dict]:
    def blocking():
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
        try:
            connection.request("POST", path, headers=bearer(text, address))
            response = connection.getresponse()
            body = response.read().decode()
            return response.status, json.loads(body) if body else {}
        finally:
            connection.close()

    return await asyncio.to_thread(blocking)


def state(gateway) -> list:
    return ["--state", gateway.folder / "state"]


# Who is calling

for client in ("npm", "python"):

    @case(f"{client}: a JWT, an API key of a service account and a session each open a connection", needs=("node",))
    async def methods(lab, client=client):
        back, gateway = await house(lab)
        _, out, _ = await gateway.cli("key", "create", "--subject", "svc-ci", "--role", "user", "--json", *state(gateway))
        key = json.loads(out)["secret"]
        created, session = await post(gateway, "/auth/session", token("bob"))
        assert created == 201 and session["subject"] == "bob", session

        asking = itertools.count(1)

        async def by_key():
            # From a new address each time: five unknown keys are a ban.
            return await status(lab, gateway, key, f"198.51.100.{next(asking)}") == 101

        await until(by_key, "the key is accepted", 3)
        for text, who in ((token("ada"), "ada"), (key, "svc-ci"), (session["session"], "bob")):
            connection = await opened(lab, gateway, text, client)
            assert (await said(connection, type="ping"))["type"] == "ping.done"
            answer = await said(connection, **chat("hello"))
            assert answer == {"type": "chat.said", "user": who, "text": "hello"}, answer
            await connection.close(1000)
        assert token("ada") not in "\n".join(back.lines)


@case("five failed authentications of an address in a minute are heard; the next attempt is refused for a day, whatever it brings")
async def brute_force(lab):
    back, gateway = await house(lab)
    wrong = [Lab.hs256({"sub": "ada", "exp": Lab.now() + 600}, f"guess-{number}" * 6) for number in range(5)]
    assert [await status(lab, gateway, text, "203.0.113.66") for text in wrong] == [401] * 5
    assert await status(lab, gateway, wrong[0], "203.0.113.66") == 403
    assert await status(lab, gateway, token(), "203.0.113.66") == 403, "a good token does not help"
    assert await status(lab, gateway, token(), "203.0.113.67") == 101, "another address"

    async def listed():
        _, out, _ = await gateway.cli("bans", "--json", *state(gateway), ok=False)
        return "203.0.113.66" in out and out

    await until(listed, "the address is on the list of bans")
    _, out, _ = await gateway.cli("bans", *state(gateway))
    assert hours(out, "203.0.113.66") == 24, out
    await gateway.cli("unban", "203.0.113.66", *state(gateway))


def hours(listing: str, who: str) -> int:
    """How long a ban of the list lasts, rounded."""
    line = next(line for line in listing.splitlines() if who in line)
    until_text = line.split(" until ")[1][:19]
    ends = datetime.datetime.strptime(until_text, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    return round((ends.timestamp() - time.time()) / 3600)


@case("an expired token and one of another secret are refused; a session lasts 30 idle minutes, in production 15")
async def expiry(lab):
    for environment, minutes in (("staging", 30), ("production", 15)):
        _, gateway = await house(lab, environment)
        assert await status(lab, gateway, token(exp=Lab.now() - 3600)) == 401
        assert await status(lab, gateway, Lab.hs256({"sub": "ada", "exp": Lab.now() + 60}, "x" * 40)) == 401
        assert await status(lab, gateway, Lab.hs256({"sub": "ada", "roles": ["user"]})) == 401, "a token without an end"
        _, session = await post(gateway, "/auth/session", token())
        assert session["idle_timeout_ms"] == minutes * 60_000, session


@case("a user has at most five sessions: the sixth ends the oldest, and its connection with it")
async def sessions(lab):
    _, gateway = await house(lab)
    held = [(await post(gateway, "/auth/session", token("bob")))[1]["session"] for _ in range(5)]
    oldest = await opened(lab, gateway, held[0])
    created, _ = await post(gateway, "/auth/session", token("bob"))
    assert created == 201
    assert (await oldest.closed())[0] == 4001
    assert await status(lab, gateway, held[0]) == 401
    assert await status(lab, gateway, held[1]) == 101


@case("a user is given twenty sessions an hour; the next one is 429 with the time to wait, and another user has its own count")
async def session_rate(lab):
    _, gateway = await house(lab)
    made = [(await post(gateway, "/auth/session", token("bob")))[0] for _ in range(20)]
    assert made == [201] * 20, made
    assert (await post(gateway, "/auth/session", token("bob")))[0] == 429
    assert (await post(gateway, "/auth/session", token("ada")))[0] == 201
    event = await gateway.event(type="session_rate")
    assert event["user"] == "bob", event


# What they may

MAY = {
    "guest": [],
    "user": ["chat.send", "tasks.list"],
    "analyst": ["chat.send", "tasks.list", "monitoring.get", "reports.create"],
    "moderator": ["chat.send", "chat.delete", "tasks.list", "tasks.create"],
    "admin": ["chat.send", "chat.delete", "tasks.list", "tasks.create", "monitoring.get", "reports.create", "admin.restart"],
}


@case("guest ⊂ user ⊂ moderator ⊂ admin, and the analyst is a user who may read monitoring and make reports")
async def roles(lab):
    _, gateway = await house(lab)
    for role, allowed in MAY.items():
        connection = await opened(lab, gateway, token(role, role), address="203.0.113.9")
        for kind in MAY["admin"]:
            message = {"type": kind}
            if kind == "chat.send":
                message = chat("hello")
            if kind in ("chat.delete", "tasks.create"):
                message |= {"title": "tidy up"} if kind == "tasks.create" else {}
                _, fetched = await post(gateway, f"/auth/csrf?for=/ws&type={kind}", token(role, role), "203.0.113.9")
                message["csrf"] = fetched["token"]
            answer = await said(connection, **message)
            assert (answer["type"] != "error") == (kind in allowed), (role, kind, answer)
        await connection.close(1000)
    assert await status(lab, gateway, token("eve", "stranger")) == 403, "a role that nobody knows"


@case("what changes state needs a token of this operation; the one of another operation is refused")
async def csrf(lab):
    _, gateway = await house(lab)
    text = token("mia", "moderator")
    connection = await opened(lab, gateway, text)
    made, fetched = await post(gateway, "/auth/csrf?for=/ws&type=tasks.create", text)
    assert made == 201, fetched
    task = {"type": "tasks.create", "title": "tidy up"}
    assert (await said(connection, **task, csrf=fetched["token"]))["type"] == "tasks.create.done"
    assert (await said(connection, **task))["type"] == "error"
    assert (await said(connection, type="chat.delete", csrf=fetched["token"]))["type"] == "error"
    await gateway.event(type="csrf_missing", user="mia")
    await gateway.event(type="csrf_invalid", user="mia")


# How much

for environment, count in (("staging", 60), ("development", 120), ("production", 30)):

    @case(f"{count} messages a minute in {environment}; the next is told `Rate limit exceeded` and how long to wait", seconds=40)
    async def rate(lab, environment=environment, count=count):
        _, gateway = await house(lab, environment)
        connection = await opened(lab, gateway, token())
        answers = [await said(connection, type="ping") for _ in range(count)]
        assert all(answer["type"] == "ping.done" for answer in answers)
        # A slow machine may turn the window meanwhile and let one or two more through.
        for _ in range(4):
            answer = await said(connection, type="ping")
            if answer["type"] == "error":
                break
        assert answer["type"] == "error" and answer["retry_after_ms"] > 0, answer
        words = "Rate limit exceeded" if environment == "production" else "more messages than a limit allows"
        assert answer["message"] == words, answer


@case("a message of 8192 bytes passes and one of 8193 does not")
async def size(lab):
    _, gateway = await house(lab)
    for length, passes in ((8192, True), (8193, False)):
        user = await lab.python()
        connection = await user.open(gateway.url + "/ws", headers=bearer(token()), deflate=False)
        filler = {"type": "ping", "a": "x" * 4000, "b": ""}
        filler["b"] = "y" * (length - len(json.dumps(filler)))
        text = json.dumps(filler)
        assert len(text) == length
        await connection.send(text)
        if passes:
            assert json.loads(await connection.receive())["type"] == "ping.done"
        else:
            assert (await connection.closed())[0] == 1009
    await gateway.event(type="message_too_large")


@case("ten connections of an address are open at once, the eleventh is answered 429; another address is welcome")
async def per_address(lab):
    _, gateway = await house(lab)
    for number in range(10):
        await opened(lab, gateway, token(f"u{number}"))
    assert await status(lab, gateway, token("u11")) == 429
    assert await status(lab, gateway, token("u11"), "203.0.113.2") == 101


# What they say

@case("a thousand connections are open in total; the next is answered 503, and is welcome when one has left", seconds=120)
async def total(lab):
    back, gateway = await house(lab)
    user = await lab.python()

    async def one(number: int):
        # Ten of each address, as many as it may have.
        headers = bearer(token(f"user-{number}"), f"198.51.{100 + number // 1000}.{1 + number % 100}")
        return await user.open(gateway.url + "/ws", headers=headers)

    held = []
    for start in range(0, 1000, 20):
        held += await asyncio.gather(*(one(number) for number in range(start, start + 20)))
    assert await status(lab, gateway, token("late"), "203.0.113.77") == 503
    event = await gateway.event(type="server_full")
    assert event["decision"] == "refused", event
    assert await gateway.metric("portcullis_connections_held") == 1000
    assert (await said(held[0], **chat("still here")))["type"] != "error"
    await held[500].close(1000)

    async def room() -> bool:
        return await status(lab, gateway, token("late"), "203.0.113.77") == 101

    await until(room, "room for another", 10)


@case("HTML: allowed elements stay, `script`, `javascript:` and `on…` are taken out, so are links to blocked domains")
async def html(lab):
    _, gateway = await house(lab)
    connection = await opened(lab, gateway, token("ada", "user"))
    for given, kept, gone in (
        ("<b>b</b><i>i</i><u>u</u><strong>s</strong><em>e</em><code>c</code><pre>p</pre>", "<b>b</b><i>i</i><u>u</u><strong>s</strong><em>e</em><code>c</code><pre>p</pre>", ""),
        ('<a href="https://example.com/a" title="t">link</a>', 'href="https://example.com/a"', ""),
        ("<b>hi</b><script>alert(1)</script>", "<b>hi</b>", "script"),
        ('<a href="javascript:alert(1)">x</a>', "x", "javascript"),
        ('<b onclick="alert(1)">x</b>', "<b>x</b>", "onclick"),
        ('<a href="https://malware.example/x">x</a>', "x", "malware"),
        ('<a href="http://localhost:3000/">x</a>', "x", "localhost"),
        ("<h1>big</h1>", "big", "h1"),
    ):
        answer = await said(connection, **chat(given))
        assert answer["type"] == "chat.said" and kept in answer["text"], (given, answer)
        assert not gone or gone not in answer["text"], (given, answer)
    await gateway.event(type="html_sanitized", user="ada")


@case("in development links to localhost stay")
async def localhost(lab):
    _, gateway = await house(lab, "development")
    connection = await opened(lab, gateway, token())
    answer = await said(connection, **chat('<a href="http://localhost:3000/">x</a>'))
    assert 'href="http://localhost:3000/"' in answer["text"], answer


ATTACKS = {
    "threat_sqli": "x' OR '1'='1' --",
    "threat_command": "x; rm -rf / #",
    "threat_traversal": "../../../../etc/passwd",
    "threat_xss": "<script>alert(document.cookie)</script>",
}

for environment in ("staging", "development", "production"):

    @case(f"SQL, command, path and script injection are blocked in {environment}, {'with generic' if environment == 'production' else 'with helpful'} words")
    async def attacks(lab, environment=environment):
        _, gateway = await house(lab, environment)
        text = token("mia", "moderator")
        connection = await opened(lab, gateway, text)
        _, fetched = await post(gateway, "/auth/csrf?for=/ws&type=tasks.create", text)
        for reason, attack in ATTACKS.items():
            answer = await said(connection, type="tasks.create", title=attack, csrf=fetched["token"])
            assert answer["type"] == "error", (attack, answer)
            assert (answer["message"] == "Message refused") == (environment == "production"), answer
            assert attack not in answer["message"]
            event = await gateway.event(type=reason, user="mia")
            assert event["decision"] == "replied" and event["category"] == "security", event
        assert (await said(connection, type="ping"))["type"] == "ping.done"


@case("a message that breaks its schema is told field and rule, in production neither")
async def schema(lab):
    for environment, told in (("staging", True), ("production", False)):
        _, gateway = await house(lab, environment)
        connection = await opened(lab, gateway, token())
        answer = await said(connection, type="chat.send", id="1", room="NOT A ROOM", text="x")
        assert answer["type"] == "error", answer
        assert ("/room" in answer["message"]) == told and ("pattern" in answer["message"]) == told, answer


@case("ten violations block a user for 24 hours, at once and on open connections; an operator lifts it")
async def auto_block(lab):
    _, gateway = await house(lab, "staging")
    text = token("mallory", "moderator")
    connection = await opened(lab, gateway, text)
    _, fetched = await post(gateway, "/auth/csrf?for=/ws&type=tasks.create", text)
    for number in range(12):
        try:
            await connection.send(json.dumps({"type": "tasks.create", "title": ATTACKS["threat_sqli"], "csrf": fetched["token"]}))
        except Exception:  # the block closed it
            break
        await asyncio.sleep(0)
    assert (await connection.closed())[0] == 4003
    assert await status(lab, gateway, text) == 403
    event = await gateway.event(type="reputation_ban", user="mallory")
    assert event["severity"] == "high", event

    async def listed():
        _, out, _ = await gateway.cli("bans", *state(gateway), ok=False)
        return "mallory" in out and out

    assert hours(await until(listed, "the user is on the list of bans"), "mallory") == 24
    await gateway.cli("unban", "--user", "mallory", *state(gateway))

    async def back():
        return await status(lab, gateway, text) == 101

    await until(back, "the user is let in")


@case("a sensitive field is sealed before the backend and opened for members; a guest reads the sealed text, a changed one nobody")
async def sealing(lab):
    back, gateway = await house(lab)
    ada = await opened(lab, gateway, token("ada"))
    guest = await opened(lab, gateway, token("gus", "guest"), address="203.0.113.8")
    assert (await said(guest, type="ping"))["type"] == "ping.done", "the guest is there"
    answer = await said(ada, **chat("call me"), phone="+49 170 1234567")
    assert answer["phone"] == "+49 170 1234567", answer
    sealed = json.loads(await guest.receive())["phone"]
    assert sealed.startswith("pcs1.2026.") and "1234567" not in sealed, sealed
    heard = "\n".join(back.lines)
    assert sealed in heard and "1234567" not in heard
    answer = await said(ada, **chat("call me"), phone="not a number")
    assert answer["type"] == "error", "the open value is judged"


# What is kept

@case("the audit is searched by type, address and time; authentication, authorization, administration and security have categories")
async def audit(lab):
    _, gateway = await house(lab)
    await status(lab, gateway, "nonsense", "203.0.113.5")
    await status(lab, gateway, token("eve", "stranger"), "203.0.113.6")
    await gateway.event(type="permission_denied")
    found = await gateway.events("--ip", "203.0.113.6", "--since", "10m")
    assert [event["type"] for event in found] == ["permission_denied"], found
    assert await gateway.events("--ip", "203.0.113.6", "--until", "2020-01-01") == []
    categories = {event["category"] for event in await gateway.events()}
    assert {"authentication", "authorization", "administration"} <= categories, categories


@case("pages of the gateway carry a Content-Security-Policy")
async def pages(lab):
    _, gateway = await house(lab)
    answered, headers, _ = await gateway.admin("/")
    assert answered == 200 and "default-src 'none'" in headers["content-security-policy"], headers


@case("statistics have the chat's names, for whoever may read monitoring")
async def statistics(lab):
    _, gateway = await house(lab)
    path = "/api/security/stats"
    reading = itertools.count(1)

    async def told() -> dict:
        # From a new address each time: twenty attempts in a minute are slowed, and that is an event too.
        answered, _, text = await gateway.http(path, bearer(token("ann", "analyst"), f"198.51.100.{next(reading)}"))
        assert answered == 200, (answered, text)
        return json.loads(text)

    assert await told() == {"active_connections": 0, "blocked_ips": 0, "recent_security_events": 0,
                            "auth_failures_last_hour": 0, "rate_limit_violations": 0}
    connection = await opened(lab, gateway, token())
    for _ in range(62):
        answer = await said(connection, type="ping")
    assert answer["type"] == "error", answer
    wrong = Lab.hs256({"sub": "ada", "exp": Lab.now() + 600}, "guess" * 8)
    assert [await status(lab, gateway, wrong, "203.0.113.66") for _ in range(5)] == [401] * 5
    # The fifth failure makes the address suspicious: the eighth event.
    expected = {"active_connections": 1, "blocked_ips": 1, "recent_security_events": 8,
                "auth_failures_last_hour": 5, "rate_limit_violations": 2}

    async def counted():
        return await told() == expected

    await until(counted, "a connection, a block, five failures and two messages too many")
    for headers, refused in ((bearer(token("ben"), "203.0.113.3"), 403), ({}, 401)):
        assert (await gateway.http(path, headers))[0] == refused, headers
