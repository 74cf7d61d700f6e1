"""The platform of three tenants, as far as the gateway goes: `profiles/tenants.yaml` as its operators start it (SPEC 19, S)."""

import datetime
import json

from harness import profiles
from harness.clients import Refused
from harness.gateway import binary
from harness.lab import SECRET, Lab
from harness.processes import run, until
from harness.profiles import said
from harness.registry import case

ADMIN = "admin-token-of-forty-two-characters-or-so!"
ENVIRONMENTS = ("development", "staging", "production", "high-security")
WHO = {
    "pay_ready": ("pay_ready_analyst", "pay_ready.query", "stuck_account_alert"),
    "sophia_intel": ("sophia_operator", "sophia.query", "team_performance"),
    "artemis_tactical": ("artemis_operator", "artemis.query", "deployment_event"),
}
# On any day but these the market would be open; none of them is near today.
TODAY = datetime.date.today().weekday()
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
OPEN = {"calendars.market.days": DAYS, "calendars.market.hours": "00:00-24:00"}
SHUT = {"calendars.market.days": [DAYS[(TODAY + 3) % 7]]}


async def house(lab, environment: str = "production", **more):
    back, ports = await profiles.backend(lab, "tenants")
    sets = {f"routes[{at}].upstream": f"ws://127.0.0.1:{ports['port']}" for at in range(2)}
    env = {"JWT_SECRET": SECRET, "ADMIN_TOKEN": ADMIN, "ENVIRONMENT": environment}
    return back, await profiles.gateway(lab, "tenants", {**sets, **more}, env)


def token(tenant: str, *roles: str, **claims) -> str:
    roles = list(roles or [WHO[tenant][0]])
    return Lab.hs256({"sub": f"{tenant}-1", "tenant": tenant, "roles": roles, "sid": "s1", "exp": Lab.now() + 600, **claims})


async def joined(lab, gateway, text: str | None, path: str = "/ws/c1/s1", client: str = "python", address: str = "203.0.113.1"):
    """A connection past its first message, or the code that it was closed with."""
    user = await getattr(lab, client)()
    headers = {"X-Forwarded-For": address, "Origin": f"http://127.0.0.1:{gateway.port}"}
    query = "" if text is None else f"?token={text}"
    try:
        connection = await user.open(gateway.url + path + query, headers=headers)
    except Refused as refused:
        return refused.status
    try:
        first = json.loads(await connection.receive())
        assert first["type"] == "connected", first
        return connection
    except Exception:
        return (await connection.closed())[0]


async def news(connection) -> list[str]:
    """Types of what a client hears of the news that the backend sends to everybody."""
    await connection.send(json.dumps({"type": "sync"}))
    heard = []
    while (one := json.loads(await connection.receive())["type"]) != "sync.done":
        heard.append(one)
    return heard


for client in ("npm", "python"):

    @case(f"{client}: each tenant's operator asks its own domain and hears its own news; a report with a card number reaches nobody", needs=("node",))
    async def isolation(lab, client=client):
        _, gateway = await house(lab)
        for tenant, (_, query, alert) in WHO.items():
            connection = await joined(lab, gateway, token(tenant), client=client)
            for _, other, _ in WHO.values():
                answer = await said(connection, type=other)
                assert (answer["type"] != "error") == (other == query), (tenant, other, answer)
            assert await news(connection) == [alert], tenant
        event = await gateway.event(type="leak_card")
        assert event["decision"] == "dropped" and "4111" not in json.dumps(event), event


@case("an alert reaches only those of the tenant who are allowed; an admin hears of its own tenant alone")
async def allowed(lab):
    _, gateway = await house(lab)
    assert await news(await joined(lab, gateway, token("pay_ready", "user"))) == []
    assert await news(await joined(lab, gateway, token("pay_ready", "admin"))) == ["stuck_account_alert"]


@case("a message for another tenant ends the connection with 4003 at once, is critical, and never reaches the backend")
async def crossing(lab):
    back, gateway = await house(lab)
    for tenant in WHO:
        for other in ("sophia_intel", "pay_ready", "acme", ["pay_ready"]):
            if other == tenant:
                continue
            # Each from a subject of its own: a crossing counts against the user.
            connection = await joined(lab, gateway, token(tenant, "admin", sub=f"{tenant}-{other}"))
            await connection.send(json.dumps({"type": "ping", "tenant": other}))
            assert (await connection.closed())[0] == 4003, (tenant, other)
        own = await joined(lab, gateway, token(tenant, sub=f"{tenant}-own"))
        assert (await said(own, type="ping", tenant=tenant))["type"] == "ping.done"
    event = await gateway.event(type="tenant_crossing")
    assert event["severity"] == "critical", event
    heard = [json.loads(line)["heard"] for line in back.lines if line.startswith('{"heard"')]
    assert [one["tenant"] for one in heard] == list(WHO), heard


@case("pay_ready's own channel demands its tenant, a second factor, its subject and session, in every environment")
async def strictest(lab):
    for environment in ENVIRONMENTS:
        back, gateway = await house(lab, environment, **{"sources.failed_auth_rate": "off"})
        path = "/ws/pay_ready/pay_ready-1/s1"
        for text, code, at in (
            (None, 4001, path),
            (token("pay_ready"), 4003, path),
            (token("sophia_intel", amr=["mfa"], sub="pay_ready-1"), 4003, path),
            (token("pay_ready", amr=["mfa"]), 4003, "/ws/pay_ready/somebody/s1"),
            (token("pay_ready", amr=["mfa"]), 4003, "/ws/pay_ready/pay_ready-1/s2"),
        ):
            assert await joined(lab, gateway, text, at) == code, (environment, code, at)
        assert profiles.opened(back) == []
        connection = await joined(lab, gateway, token("pay_ready", amr=["mfa"], sub="pay_ready-1"), path)
        assert (await said(connection, type="pay_ready.query"))["type"] == "pay_ready.query.done"
        await gateway.stop()


@case("the environment is detected: anonymous callers in development only, who hear and ask nothing of a tenant; a second factor in high-security")
async def environments(lab):
    for environment in ENVIRONMENTS:
        _, gateway = await house(lab, environment)
        anonymous = await joined(lab, gateway, None)
        if environment == "development":
            assert await news(anonymous) == []
            for _, query, _ in WHO.values():
                assert (await said(anonymous, type=query))["type"] == "error", query
        elif environment != "staging":
            assert anonymous == 4001, environment
        plain = await joined(lab, gateway, token("sophia_intel"))
        assert (plain == 4003) == (environment == "high-security"), (environment, plain)
        assert not isinstance(await joined(lab, gateway, token("sophia_intel", amr=["mfa"])), int), environment
        _, _, body = await gateway.admin("/api/security/config", headers={"Authorization": f"Bearer {ADMIN}"})
        kept = json.loads(body)["audit"]["retention_s"] // 86400
        assert kept == {"development": 7, "production": 90}.get(environment, kept), (environment, kept)
        if environment == "high-security":
            assert json.loads(body)["identity"]["sessions"]["idle_timeout_s"] == 900, body
        await gateway.stop()


@case("each domain has a limit of its own, and pay_ready's doubles while the market is open", seconds=60)
async def domains(lab):
    for market, pay_ready in ((SHUT, 30), (OPEN, 60)):
        _, gateway = await house(lab, "staging", **market)
        for tenant, count in (("pay_ready", pay_ready), ("sophia_intel", 60), ("artemis_tactical", 90)):
            connection = await joined(lab, gateway, token(tenant))
            kind = WHO[tenant][1]
            answers = [await said(connection, type=kind) for _ in range(count)]
            assert all(answer["type"] == f"{kind}.done" for answer in answers), (tenant, count)
            # A slow machine may turn the window meanwhile and let one or two more through.
            for _ in range(4):
                answer = await said(connection, type=kind)
                if answer["type"] == "error":
                    break
            assert answer["type"] == "error" and answer["retry_after_ms"] > 0, (tenant, answer)
            assert (await said(connection, type="ping"))["type"] == "ping.done", "another domain's limit"


@case("a connection's 1000 messages a second, in production 100, in high-security 50: so many pass at once, and what is too many is answered with a wait", seconds=60)
async def edges(lab):
    for environment, count in (("development", 1000), ("production", 100), ("high-security", 50)):
        _, gateway = await house(lab, environment)
        connection = await joined(lab, gateway, token("sophia_intel", amr=["mfa"]))
        sent = count if environment == "development" else 4 * count
        for _ in range(sent):
            await connection.send(json.dumps({"type": "ping"}))
        answers = [json.loads(await connection.receive()) for _ in range(sent)]
        passed = [answer["type"] for answer in answers].count("ping.done")
        # Refusals overtake the backend's answers, so they are counted.
        assert passed >= count, (environment, passed)
        if environment != "development":
            assert passed < sent and "retry_after_ms" in str(answers), (environment, passed)
            await gateway.event(type="message_rate")
        await gateway.stop()


@case("a coordinated attack, forged tokens from 200 addresses of as many networks: the level is critical, limits are a quarter, and the tenants' operators are let in", seconds=60)
async def emergency(lab):
    _, gateway = await house(lab, "production", **{"floods.failures_floor": 1, "floods.rise_after": "1s"}, **SHUT)
    before = await joined(lab, gateway, token("artemis_tactical"))
    number = 0

    async def critical() -> bool:
        nonlocal number
        for _ in range(20):
            address = f"198.{18 + number % 2}.{number % 200}.9"
            number += 1
            assert await joined(lab, gateway, "not.a.token", address=address) in (401, 403, 429, 4001, 4003, 1013)
        _, _, text = await gateway.admin("/metrics", headers={"Authorization": f"Bearer {ADMIN}"})
        return "portcullis_flood_level 3" in text

    await until(critical, "the level is critical", 30)
    event = await gateway.event(type="flood_level")
    assert "times the usual" in event["detail"], event
    answers = [await said(before, type="artemis.query") for _ in range(30)]
    passed = sum(answer["type"] != "error" for answer in answers)
    assert 20 <= passed <= 24, f"{passed} of 90 a minute, of which a quarter is left"
    for tenant in WHO:
        assert not isinstance(await joined(lab, gateway, token(tenant)), int), tenant


@case("who is refused again and again waits five seconds first", seconds=30)
async def ladder(lab):
    _, gateway = await house(lab)
    connection = await joined(lab, gateway, token("sophia_intel"))
    answers = [await said(connection, type="pay_ready.query") for _ in range(14)]
    assert {answer["type"] for answer in answers} == {"error"}
    # Rounded up to a millisecond that surely suffices.
    assert 0 < answers[-1]["retry_after_ms"] <= 5001, answers[-1]
    event = await gateway.event(type="offender_slowed", user="sophia_intel-1")
    assert "5 s" in event["detail"] or "5s" in event["detail"], event


for name, attack in {
    "SQL injection": "x' OR '1'='1' --",
    "XSS": "<script>alert(document.cookie)</script>",
    "command injection": "x; rm -rf / #",
    "path traversal": "../../../../etc/passwd",
}.items():

    @case(f"{name} blocks the client at once: its connection closes, it is not let in again until an admin unblocks it")
    async def threat(lab, attack=attack):
        back, gateway = await house(lab)
        mallory, other = token("sophia_intel", sub="mallory"), token("sophia_intel", sub="ada")
        connection, honest = await joined(lab, gateway, mallory), await joined(lab, gateway, other)
        await connection.send(json.dumps({"type": "sophia.query", "q": attack}))
        assert (await connection.closed())[0] == 4003
        assert await joined(lab, gateway, mallory) == 4003
        assert (await said(honest, type="ping"))["type"] == "ping.done"
        assert not any(attack[:8] in line for line in back.lines)
        headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
        body = json.dumps({"kind": "user", "value": "mallory"})
        assert (await gateway.admin("/api/security/unblock", "POST", body))[0] == 401
        assert (await gateway.admin("/api/security/unblock", "POST", body, headers))[0] == 204

        async def welcome():
            return not isinstance(await joined(lab, gateway, mallory), int)

        await until(welcome, "mallory is let in")


@case("a lockdown of 30 minutes: anonymous callers leave, new ones are refused, limits are a quarter for those who stay; it ends by hand", seconds=40)
async def lockdown(lab):
    _, gateway = await house(lab, "development", **SHUT)
    anonymous = await joined(lab, gateway, None)
    known = await joined(lab, gateway, token("artemis_tactical"))
    state = ["--state", gateway.folder / "state"]
    _, out, _ = await gateway.cli("lockdown", "--for", "30m", "--reason", "flood", *state)
    assert (await anonymous.closed())[0] == 1013
    assert await joined(lab, gateway, None) in (503, 1013)
    assert (await said(known, type="ping"))["type"] == "ping.done"
    answers = [await said(known, type="artemis.query") for _ in range(30)]
    passed = sum(answer["type"] != "error" for answer in answers)
    assert 20 <= passed <= 24, passed
    status, _, body = await gateway.admin("/api/security/lockdown", headers={"Authorization": f"Bearer {ADMIN}"})
    assert status == 200 and "flood" in body, body
    await gateway.cli("lockdown", "--end", *state)

    async def welcome():
        return not isinstance(await joined(lab, gateway, None), int)

    await until(welcome, "anonymous callers are let in")
    await gateway.event(type="lockdown_changed")


@case("a long connection is renewed in band, for the same tenant only")
async def renewal(lab):
    _, gateway = await house(lab, "staging")
    connection = await joined(lab, gateway, token("sophia_intel", exp=Lab.now() + 30))
    assert json.loads(await connection.receive())["type"] == "auth.expiring"
    await connection.send(json.dumps({"type": "auth.refresh", "token": token("sophia_intel")}))
    assert json.loads(await connection.receive())["type"] == "auth.refreshed"
    connection = await joined(lab, gateway, token("sophia_intel", sub="eve"))
    await connection.send(json.dumps({"type": "auth.refresh", "token": token("pay_ready", sub="eve")}))
    assert (await connection.closed())[0] in (4001, 4003)


@case("`check` warns of a secret of fewer than 32 characters")
async def short_secret(lab):
    for secret, warned in (("x" * 31, True), ("x" * 32, False)):
        env = {"JWT_SECRET": secret, "ADMIN_TOKEN": ADMIN, "ENVIRONMENT": "production"}
        _, out, said_too = await run(binary(), "check", profiles.PROFILES / "tenants.yaml", env=env)
        assert ("short-secret" in out + said_too) == warned, (len(secret), out, said_too)


@case("the events of the last 24 hours are found and printed for export")
async def export(lab):
    _, gateway = await house(lab)
    await joined(lab, gateway, token("sophia_intel"))
    await gateway.event(type="connection_accepted", tenant="sophia_intel")
    found = await gateway.events("--since", "24h", "--tenant", "sophia_intel")
    assert found and all(one["tenant"] == "sophia_intel" for one in found), found


@case("security metrics have the platform's names, by tenant and by role, for admins only")
async def metrics(lab):
    _, gateway = await house(lab)
    for tenant in WHO:
        await joined(lab, gateway, token(tenant))
    admin = {"Authorization": f"Bearer {token('pay_ready', 'admin')}"}

    async def counted():
        status, _, text = await gateway.http("/security/metrics", admin)
        assert status == 200, (status, text)
        told = json.loads(text)
        return told if told["total_connections"] == 3 else None

    told = await until(counted, "three connections are counted")
    assert told["connection_breakdown"] == {
        "by_tenant": {tenant: 1 for tenant in WHO},
        "by_role": {role: 1 for role, _, _ in WHO.values()},
    }, told
    assert (told["authenticated_connections"], told["ddos_alert_level"], told["blocked_clients"]) == (3, "normal", 0), told
    assert told["rate_limit_violations"] == 0 and isinstance(told["security_violations"], int), told
    assert (told["recent_security_events"], (await gateway.http("/security/metrics"))[0]) == (0, 401), told

    async def recent():
        return json.loads((await gateway.http("/security/metrics", admin))[2])["recent_security_events"] == 1

    await until(recent, "what was just refused is a recent event")
    operator = {"Authorization": f"Bearer {token('pay_ready')}"}
    assert (await gateway.http("/security/metrics", operator))[0] == 403
    assert (await gateway.http("/security/metrics"))[0] == 401
