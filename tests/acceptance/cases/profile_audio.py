"""The audio workstation's profile, line by line: `profiles/audio.yaml` as its operators start it (SPEC 19, A)."""

import json

from harness import profiles
from harness.backends import accept, pages
from harness.clients import Refused
from harness.gateway import binary
from harness.lab import Lab
from harness.processes import run, until
from harness.raw import PING, TEXT, frame
from harness.registry import case

from cases.slow import deaf

ADMIN = "admin-token-of-forty-two-characters-or-so!"
TOLD = '{"type":"error","message":"An error occurred"}'
TYPES = ("heartbeat,ack,error,transport,plugin,track,project,collaboration,ai_suggestion,parameter_batch,dj_control,automation,"
         "file_operation,daid_request").split(",")


class House:
    """The gateway, its backend, and somebody who signs as Clerk does."""

    def __init__(self, lab, npm, back, gateway, sets, env):
        self.lab, self.npm, self.back, self.gateway, self.sets, self.env = lab, npm, back, gateway, sets, env

    async def token(self, **claims) -> str:
        claims = {"sub": "ada", "iss": "https://clerk.example.com", "aud": "audio", "exp": Lab.now() + 600, **claims}
        return (await self.npm.program.call("jwt", kid="clerk", claims=claims))["token"]

    async def open(self, token: str | None = None, client: str = "python", address: str = "203.0.113.1", deflate: bool = False):
        user = await getattr(self.lab, client)()
        token = token or await self.token()
        url = f"{self.gateway.url}/ws?token={token}"
        return await user.open(url, headers={"X-Forwarded-For": address}, deflate=deflate)

    async def status(self, token: str | None = None, address: str = "203.0.113.1") -> int:
        try:
            connection = await self.open(token, address=address)
        except Refused as refused:
            return refused.status
        await connection.close(1000)
        return 101


async def house(lab, environment: str = "staging", **variables: str) -> House:
    npm = await lab.npm()
    key = (await npm.program.call("key", kid="clerk", kind="rsa"))["jwk"]
    keys = await lab.tcp(pages({"/jwks.json": (200, "application/json", json.dumps({"keys": [key]}))}))
    back, ports = await profiles.backend(lab, "audio")
    sets = {"routes[0].upstream": f"ws://127.0.0.1:{ports['port']}", "identity.jwks[0].url": f"{keys.http_url}/jwks.json"}
    env = {"ADMIN_TOKEN": ADMIN, "PORTCULLIS_ENV": environment, **variables}
    return House(lab, npm, back, await profiles.gateway(lab, "audio", sets, env), sets, env)


def message(kind: str = "track", **more) -> dict:
    return {"id": "m1", "type": kind, "timestamp": Lab.now(), **more}


async def said(connection, told: dict | str) -> str:
    await connection.send(told if isinstance(told, str) else json.dumps(told))
    return await connection.receive()


for client in ("npm", "python"):

    @case(f"{client}: Clerk's RS256 token in `?token=` opens `/ws`, and is not in what the backend or the log reads", needs=("node",))
    async def clerk(lab, client=client):
        here = await house(lab)
        token = await here.token()
        connection = await here.open(token, client)
        assert json.loads(await said(connection, message()))["type"] == "ack"
        assert profiles.opened(here.back) == ["/ws"]
        assert token.split(".")[2] not in "\n".join(here.back.lines + here.gateway.child.lines)


@case("tokens of another issuer, audience or key, expired ones and HS256 are refused; none at all is closed with 4001 in time", needs=("node",))
async def strangers(lab):
    here = await house(lab, WS_AUTH_TIMEOUT="1")
    wrong = [await here.token(iss="https://evil.example"), await here.token(aud="video"), await here.token(exp=Lab.now() - 600),
             Lab.hs256({"sub": "ada", "iss": "https://clerk.example.com", "aud": "audio", "exp": Lab.now() + 60}), "garbage"]
    for number, token in enumerate(wrong):
        assert await here.status(token, f"203.0.113.{10 + number}") == 401, number
    user = await lab.python()
    connection = await user.open(here.gateway.url + "/ws", headers={"X-Forwarded-For": "203.0.113.20"})
    assert (await connection.closed(5))[0] == 4001
    await here.gateway.event(type="authentication_timeout")
    assert profiles.opened(here.back) == []


@case("all fourteen types pass; another is refused, and the client reads `An error occurred` and nothing else", needs=("node",))
async def types(lab):
    here = await house(lab)
    connection = await here.open()
    for kind in TYPES:
        assert json.loads(await said(connection, message(kind)))["type"] == "ack", kind
    assert await said(connection, message("shell")) == TOLD
    event = await here.gateway.event(type="type_refused", user="ada")
    assert event["message_type"] == "shell" or "shell" in event["detail"], event


@case("`id`, `type` and `timestamp` are required, and the timestamp is within 300 seconds in either direction", needs=("node",))
async def envelope(lab):
    here = await house(lab)
    connection = await here.open()
    for field in ("id", "type", "timestamp"):
        broken = message()
        del broken[field]
        assert await said(connection, broken) == TOLD, field
    for seconds, passes in ((-295, True), (295, True), (-305, False), (305, False), (-86400, False)):
        answer = await said(connection, message(timestamp=Lab.now() + seconds))
        assert (answer != TOLD) == passes, (seconds, answer)
    assert await said(connection, message(timestamp="soon")) == TOLD
    assert await said(connection, "{broken") == TOLD
    for reason in ("envelope_missing", "timestamp_skew", "json_malformed"):
        await here.gateway.event(type=reason, user="ada")
    assert any("timestamp_skew" in line for line in here.gateway.child.lines), "the log has the rest"


@case("attacks in a message are answered like every error; the audit knows which", needs=("node",))
async def attacks(lab):
    here = await house(lab)
    connection = await here.open()
    for reason, attack in (("threat_sqli", "x' OR '1'='1' --"), ("threat_traversal", "../../../../etc/passwd"), ("threat_xss", "<script>alert(1)</script>")):
        assert await said(connection, message("project", name=attack)) == TOLD
        await here.gateway.event(type=reason, user="ada")


@case("a message of 1048576 bytes passes and one of 1048577 closes with 1009", needs=("node",), seconds=40)
async def size(lab):
    here = await house(lab)
    for length, passes in ((1_048_576, True), (1_048_577, False)):
        connection = await here.open()
        told = message("parameter_batch", parts=["x" * 200_000 for _ in range(5)], rest="")
        told["rest"] = "y" * (length - len(json.dumps(told)))
        text = json.dumps(told)
        assert len(text) == length
        await connection.send(text)
        if passes:
            assert json.loads(await connection.receive())["type"] == "ack"
        else:
            assert (await connection.closed())[0] == 1009


for environment, count in (("staging", 10), ("production", 5)):

    @case(f"{count} connections of an address in a minute in {environment}; the next is 429 with its headers, another address is welcome", needs=("node",), seconds=40)
    async def attempts(lab, environment=environment, count=count):
        here = await house(lab, environment)
        token = await here.token()
        assert [await here.status(token) for _ in range(count)] == [101] * count
        # The wait of attempts past the half lets a part of the rate come back: one more may pass.
        refused = None
        for _ in range(4):
            try:
                await (await here.open(token)).close(1000)
            except Refused as error:
                refused = error
                break
        assert refused and refused.status == 429, refused
        assert int(refused.headers["retry-after"]) >= 1, refused.headers
        await here.gateway.event(type="connection_delayed")
        raw, response = await lab.raw(here.gateway, f"/ws?token={token}", {"X-Forwarded-For": "203.0.113.2"})
        assert response.status == 101, "another address"
        assert f"q={count}" in response.headers["ratelimit-policy"] and f"r={count - 1}" in response.headers["ratelimit"], response.headers


for environment, count, minutes in (("staging", 5, 5), ("production", 3, 15)):

    @case(f"{count} failed authentications block an address for {minutes} minutes in {environment}; it is lifted by hand", needs=("node",))
    async def ban(lab, environment=environment, count=count, minutes=minutes):
        here = await house(lab, environment)
        forged = Lab.hs256({"sub": "ada", "exp": Lab.now() + 60})
        assert [await here.status(forged) for _ in range(count)] == [401] * count
        assert await here.status() == 403, "a good token does not help"
        state = ["--state", here.gateway.folder / "state"]

        async def listed():
            _, out, _ = await here.gateway.cli("bans", "--json", *state, ok=False)
            return "203.0.113.1" in out and out

        found = json.loads(await until(listed, "the address is on the list of bans"))
        (entry,) = [one for one in found["earned"] if one["address"].startswith("203.0.113.1")]
        assert abs(entry["until_unix_ms"] / 1000 - Lab.now() - minutes * 60) < 30, entry
        assert await here.status(address="203.0.113.2") == 101, "another address"
        status, _, _ = await here.gateway.admin("/api/security/unblock-ip", "POST", json.dumps({"ip": "203.0.113.1"}),
                                                {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"})
        assert status == 204

        async def welcome():
            return await here.status() == 101

        await until(welcome, "the address is let in")
        await here.gateway.event(type="admin_action")


@case("100 messages a second, in production 50: the first of a burst pass, what is too many reads `An error occurred`", needs=("node",), seconds=40)
async def burst(lab):
    for environment, count in (("staging", 100), ("production", 50)):
        here = await house(lab, environment)
        connection = await here.open()
        text = json.dumps(message("heartbeat"))
        for _ in range(400):
            await connection.send(text)
        answers = [await connection.receive() for _ in range(400)]
        passed = sum(answer != TOLD for answer in answers)
        assert count <= passed < 400, (environment, passed)
        await here.gateway.event(type="message_rate", user="ada")


# The variables

@case("WS_* variables win over the file: types, size, rate, attempts, lifetime and heartbeat", needs=("node",), seconds=40)
async def variables(lab):
    here = await house(lab, WS_ALLOWED_MESSAGE_TYPES="heartbeat,jam", WS_MAX_MESSAGE_SIZE="1000", WS_MAX_MESSAGES_PER_SECOND="5",
                       WS_MAX_CONNECTIONS_PER_IP="3", WS_CONNECTION_TIMEOUT="3", WS_HEARTBEAT_INTERVAL="1", WS_MAX_FAILED_AUTH="1")
    connection = await here.open()
    assert json.loads(await said(connection, message("jam")))["type"] == "ack"
    assert await said(connection, message("track")) == TOLD
    for _ in range(20):
        await connection.send(json.dumps(message("jam")))
    answers = [await connection.receive() for _ in range(20)]
    assert TOLD in answers
    assert (await connection.closed(8))[0] == 1001
    await here.gateway.event(type="lifetime_reached")
    connection = await here.open()
    await connection.send(json.dumps(message("jam", text="x" * 1000)))
    assert (await connection.closed())[0] == 1009
    raw, response = await lab.raw(here.gateway, f"/ws?token={await here.token()}", {"X-Forwarded-For": "203.0.113.2"})
    assert response.status == 101
    while (opcode := (await raw.frame(5))[0]) != PING:
        assert opcode == TEXT
    forged = Lab.hs256({"sub": "ada", "exp": Lab.now() + 60})
    assert [await here.status(forged, "203.0.113.3"), await here.status(None, "203.0.113.3")] == [401, 403]
    statuses = [await here.status(None, "203.0.113.4") for _ in range(6)]
    assert statuses[:3] == [101] * 3 and 429 in statuses, statuses


@case("WS_MAX_CONNECTIONS_TOTAL holds for everybody together; who left makes room", needs=("node",))
async def total(lab):
    here = await house(lab, WS_MAX_CONNECTIONS_TOTAL="3")
    held = [await here.open(address=f"203.0.113.{number}") for number in range(3)]
    assert await here.status(address="203.0.113.9") == 503
    await held[0].close(1000)

    async def room():
        return await here.status(address="203.0.113.9") == 101

    await until(room, "room for another")


@case("WS_MAX_QUEUE_SIZE messages wait for a client that takes nothing, and the connection ends; in the profile they are 1000", needs=("node",), seconds=60)
async def queue(lab):
    async def flood(tcp, reader, writer):
        await accept(reader, writer)
        some = frame(TEXT, json.dumps({"type": "track", "at": 1}).encode(), mask=None) * 500
        for _ in range(1000):
            writer.write(some)
            await writer.drain()

    back = await lab.tcp(flood)
    for variables in ({}, {"WS_MAX_QUEUE_SIZE": "7"}):
        here = await house(lab, "staging", **variables)
        gateway = await profiles.gateway(lab, "audio", {**here.sets, "routes[0].upstream": back.url}, here.env)
        await deaf(lab, gateway, f"/ws?token={await here.token()}", {"X-Forwarded-For": "203.0.113.2"})
        event = await gateway.event(20, type="slow_reader")
        assert event["decision"] == "closed" and event["user"] == "ada", event
    assert "queue_max: 1000" in (profiles.PROFILES / "audio.yaml").read_text()


@case("WS_AUTH_BYPASS makes everybody DEV_WS_USER_ID in development; anywhere else the gateway does not start, and says why", needs=("node",))
async def bypass(lab):
    for name, user in (("WS_AUTH_BYPASS", "local-dev"), ("DEV_WS_AUTH_BYPASS", "zoe")):
        more = {"DEV_WS_USER_ID": "zoe"} if user == "zoe" else {}
        here = await house(lab, "development", **{name: "true"}, **more)
        connection = await (await lab.python()).open(here.gateway.url + "/ws")
        assert json.loads(await said(connection, message()))["type"] == "ack"
        assert json.loads(here.back.lines[-1])["user"] == user, here.back.lines
    for environment in ("staging", "production", "high-security"):
        env = {"ADMIN_TOKEN": ADMIN, "PORTCULLIS_ENV": environment, "WS_AUTH_BYPASS": "true"}
        code, _, said_why = await run(binary(), "serve", "--config", profiles.PROFILES / "audio.yaml", "--listen", "127.0.0.1:0",
                                      "--admin", "127.0.0.1:0", "--state", lab.folder / "none", env=env, cwd=lab.folder, ok=False)
        assert code == 3 and "WS_AUTH_BYPASS" in said_why and "development" in said_why, (environment, code, said_why)


@case("who answers no heartbeat is dead after WS_HEARTBEAT_TIMEOUT", needs=("node",))
async def heartbeat(lab):
    here = await house(lab, WS_HEARTBEAT_INTERVAL="1", WS_HEARTBEAT_TIMEOUT="2")
    raw, response = await lab.raw(here.gateway, f"/ws?token={await here.token()}", {"X-Forwarded-For": "203.0.113.2"})
    assert response.status == 101
    await raw.send(frame(TEXT, json.dumps(message()).encode()))
    assert await raw.ended(10)
    await here.gateway.event(type="heartbeat_lost")


@case("figures, health and audit of the admin listener need the bearer token, health of the process does not", needs=("node",))
async def admin(lab):
    here = await house(lab)
    connection = await here.open()
    await said(connection, message())
    for path in ("/api/security/metrics", "/metrics", "/api/security/blocks", "/api/security/audit-logs"):
        assert (await here.gateway.admin(path))[0] == 401, path
        status, _, body = await here.gateway.admin(path, headers={"Authorization": f"Bearer {ADMIN}", "Accept": "application/json"})
        assert status == 200 and body, path
    status, headers, _ = await here.gateway.admin("/health")
    assert status == 200 and "content-security-policy" in headers, headers


@case("`GET /admin/websocket-security` tells connections, blocks, failures, messages and suspicion to a bearer token of an admin", needs=("node",))
async def websocket_security(lab):
    here = await house(lab)
    connection = await here.open()
    await said(connection, message())
    assert await here.status("forged") == 401

    async def counted():
        status, _, text = await here.gateway.http("/admin/websocket-security", {"Authorization": f"Bearer {await here.token(roles=['admin'])}"})
        assert status == 200, (status, text)
        told = json.loads(text)
        return told if told["connections"]["active"] == 1 and told["failed_authentications"] >= 1 else None

    told = await until(counted, "the connection and the failure are counted")
    assert told["messages"]["processed"] >= 1 and told["messages"]["refused"] >= 1 and told["connections"]["users"] == 1, told
    assert isinstance(told["blocked_ips"], int) and isinstance(told["suspicious_activity"], int), told
    for headers, status in (({}, 401), ({"Authorization": f"Bearer {await here.token(roles=['user'])}"}, 403)):
        assert (await here.gateway.http("/admin/websocket-security", headers))[0] == status, status
