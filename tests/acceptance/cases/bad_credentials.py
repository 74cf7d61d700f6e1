"""Credentials that are none: whatever is wrong with one, the answer is the same, an event says it, and nothing grows (SPEC 3.9)."""

import base64
import json
import os

from harness.lab import SECRET, Lab
from harness.processes import until
from harness.providers import misbehaves, document
from harness.raw import TEXT, frame
from harness.registry import case

from cases.control import made
from cases.sessions import ask, issued
from cases.tickets import ask as ask_ticket

# Off, so that one address may fail as often as these cases ask; errors as in production.
CALM = {"sources": {"failed_auth_rate": "off", "connection_rate": "off"}, "errors": {"detailed": False}}
PLACES = ("header", "cookie", "query", "subprotocol", "first_message")


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def nested(depth: int) -> bytes:
    return b'{"sub":' + b"[" * depth + b"]" * depth + b"}"


def malformed() -> dict[str, str]:
    good = Lab.hs256({"sub": "u1", "exp": Lab.now() + 600})
    head, payload, signature = good.split(".")
    ahead = Lab.now() + 3600
    return {
        "longer than `token_bytes_max`": f"{head}.{payload}.{'A' * 9_000}",
        "cut off in its signature": good[:-7],
        "cut off in its payload": f"{head}.{payload[:11]}",
        "cut off in its header": head[:5],
        "a recursive header": f"{b64(nested(1500))}.{payload}.{signature}",
        "a recursive payload": f"{head}.{b64(nested(1500))}.{signature}",
        "binary parts": f"{b64(os.urandom(48))}.{b64(os.urandom(48))}.{b64(os.urandom(32))}",
        "no base64": "%00%01.%ff.~~~",
        "dots": "." * 200,
        "a clock an hour ahead, `nbf`": Lab.hs256({"sub": "u1", "nbf": ahead, "exp": ahead + 600}),
        "a clock an hour ahead, `iat`": Lab.hs256({"sub": "u1", "iat": ahead, "exp": ahead + 600}),
        "a clock an hour behind": Lab.hs256({"sub": "u1", "iat": Lab.now() - 7200, "exp": Lab.now() - 3600}),
    }


async def house(lab, **over):
    back = await lab.py_echo()
    identity = {"keys": [{"id": "main", "algorithm": "HS256", "secret": SECRET}]}
    routes = [{"name": place, "path": f"/{place}", "upstream": back.url, "authenticate": "required", "credentials": [place]} for place in PLACES]
    return back, await lab.gateway_from({"environment": "development", **CALM, "identity": identity, "routes": routes, **over})


async def shown(lab, gateway, place: str, token: str) -> tuple:
    """What a client is told for a token in a place, without what is each answer's own (date, reference)."""
    headers = {
        "header": {"Authorization": f"Bearer {token}"},
        "cookie": {"Cookie": f"access_token={token}"},
        "subprotocol": {"Sec-WebSocket-Protocol": f"bearer, {token}"},
    }.get(place, {})
    path = f"/{place}?token={token}" if place == "query" else f"/{place}"
    raw, response = await lab.raw(gateway, path, headers)
    try:
        if response.status == 101:
            if place == "first_message":
                await raw.send(frame(TEXT, json.dumps({"type": "auth", "token": token}).encode()))
            _, payload = await raw.frame()
            return int.from_bytes(payload[:2]), payload[2:]
        return told(response)
    finally:
        raw.close()


def told(response) -> tuple:
    body = json.loads(response.body)
    assert body.pop("reference"), body
    headers = {name: value for name, value in response.headers.items() if name not in ("date", "content-length")}
    return response.status, json.dumps(body, sort_keys=True), json.dumps(headers, sort_keys=True)


for place in PLACES:

    @case(f"tokens that are oversized, cut off, recursive, binary or of another time, as {place}: refused alike, on record, and nothing grows", seconds=90)
    async def bad_tokens(lab, place=place):
        back, gateway = await house(lab)
        tokens = malformed()
        answers = {}
        for what, token in tokens.items():
            answers.setdefault(await shown(lab, gateway, place, token), []).append(what)
        assert len(answers) == 1 and next(iter(answers))[0] in (401, 4001), answers
        wanted = {"credential_invalid", "token_signature", "token_not_yet_valid", "token_expired"}

        async def recorded():
            events = [event for event in await gateway.events() if event["decision"] == "refused"]
            return events if len(events) >= len(tokens) else None

        events = await until(recorded, "an event for each")
        assert wanted <= {event["type"] for event in events}, {event["type"] for event in events}
        assert {event["category"] for event in events} == {"authentication"}, events
        text = json.dumps(events) + "\n".join(gateway.child.lines)
        assert not any(token in text for token in tokens.values() if len(token) > 20), "a token stands in audit or log"

        async def rounds(count: int) -> int:
            for _ in range(count):
                for token in tokens.values():
                    await shown(lab, gateway, place, token)
            return gateway.child.rss_kib()

        warm = await rounds(20)
        grown = await rounds(40) - warm
        assert grown < 16 << 10, f"{grown} KiB more after {40 * len(tokens)} bad tokens"
        assert back.requests == []


@case("bytes that are no text where a token should stand are refused, and an honest client goes on")
async def binary(lab):
    back, gateway = await house(lab)
    junk = "\xff\xfe\x80\xc3("
    for place, headers in {
        "header": {"Authorization": f"Bearer {junk}"},
        "cookie": {"Cookie": f"access_token={junk}"},
        "subprotocol": {"Sec-WebSocket-Protocol": f"bearer, {junk}"},
    }.items():
        raw, response = await lab.raw(gateway, f"/{place}", headers)
        raw.close()
        assert response.status in (400, 401), (place, response)
    for payload in (b"\x00\xff" * 64, b'{"type":"auth","token":7}', b"[" * 5_000, b'{"type":"auth","token":"a","token":"b"}'):
        for opcode in (TEXT, 2):
            raw, _ = await lab.raw(gateway, "/first_message")
            await raw.send(frame(opcode, payload))
            assert await raw.close_code() in (4001, 1007), (opcode, payload[:20])
            raw.close()
    assert back.requests == []
    good = Lab.hs256({"sub": "u1", "exp": Lab.now() + 600})
    raw, response = await lab.raw(gateway, "/header", {"Authorization": f"Bearer {good}"})
    assert response.status == 101
    raw.close()


async def everything(lab):
    """A gateway that takes every credential there is, and what is wrong with one of each: name → text and route."""
    provider = await lab.tcp(misbehaves({"/introspect": document({"active": False})}))
    identity = {
        "keys": [{"id": "main", "algorithm": "HS256", "secret": SECRET}],
        "introspection": {"url": provider.http_url + "/introspect", "client_id": "gate", "client_secret": "x" * 32},
        "api_keys": True,
        "sessions": {"enabled": True, "path": "/auth/session", "bind_to": ["user_agent"]},
        "tickets": {"path": "/auth/ticket", "ttl": "5s"},
    }
    back, gateway = await house(lab, identity=identity)
    good = Lab.hs256({"sub": "u1", "exp": Lab.now() + 600})
    state = ["--state", gateway.folder / "state"]
    key_id, key = await made(gateway, "--subject", "svc", *state)
    ends = Lab.now() + 2
    _, ended_key = await made(gateway, "--subject", "svc", "--expires", "1s", *state)
    await until(lambda: accepted(lab, gateway, key), "the key is accepted", 3)

    async def over() -> bool:
        # Before it is known it is refused as well, so that the clock is asked too.
        return Lab.now() >= ends and not await accepted(lab, gateway, ended_key)

    await until(over, "the other key is at its end", 5)
    session = (await issued(gateway, good))["session"]
    left = (await issued(gateway, good))["session"]
    status, _, _ = await ask(gateway, {"Authorization": f"Bearer {left}"}, method="DELETE")
    assert status in (200, 204), status
    foreign = (await issued(gateway, good, **{"User-Agent": "another"}))["session"]

    async def ticket(path: str, headers: dict) -> str:
        status, _, body = await ask_ticket(gateway, path, headers)
        assert status == 201, body
        return json.loads(body)["ticket"]

    elsewhere = await ticket("/cookie", {"Cookie": f"access_token={good}"})
    used = await ticket("/header", {"Authorization": f"Bearer {good}"})
    assert (await shown_ok(lab, gateway, used)) == 101
    return back, gateway, {
        **malformed(),
        "another secret's JWT": Lab.hs256({"sub": "u1", "exp": Lab.now() + 600}, "x" * 40),
        "a JWT without a subject": Lab.hs256({"exp": Lab.now() + 600}),
        "a JWT of another algorithm": Lab.hs256({"sub": "u1"}, header={"alg": "HS512"}),
        "an opaque token that is not active": "opaque-" + "x" * 30,
        "an API key of no id": "pcl_0000000000000000_" + key[-43:],
        "an API key with another secret": key[:-4] + "AAAA",
        "an API key at its end": ended_key,
        "an API key cut off": key[:-9],
        "a session of nobody": "pcs_" + "A" * len(session.removeprefix("pcs_")),
        "a session that ended": left,
        "a session of another user agent": foreign,
        "a session's id": "pcs_" + (await issued(gateway, good))["id"],
        "a ticket of nobody": "pct_" + "A" * len(used.removeprefix("pct_")),
        "a ticket that was used": used,
        "a ticket for another route": elsewhere,
    }


async def shown_ok(lab, gateway, token: str) -> int:
    raw, response = await lab.raw(gateway, "/header", {"Authorization": f"Bearer {token}"})
    raw.close()
    return response.status


async def accepted(lab, gateway, token: str) -> bool:
    return await shown_ok(lab, gateway, token) == 101


@case("whatever is wrong, with whichever kind of credential, a client is told the same; the audit knows which it was", seconds=60)
async def alike(lab):
    back, gateway, wrong = await everything(lab)
    answers = {}
    for what, token in wrong.items():
        answers.setdefault(await shown(lab, gateway, "header", token), []).append(what)
    assert len(answers) == 1, answers
    assert next(iter(answers))[0] == 401
    reasons = {
        "credential_invalid", "token_signature", "token_algorithm", "token_claims", "token_expired", "token_not_yet_valid", "token_inactive",
        "session_invalid", "session_foreign", "ticket_invalid", "ticket_foreign",
    }

    async def recorded():
        return reasons <= {event["type"] for event in await gateway.events()}

    await until(recorded, "an event of each reason")


@case("a session is its tenant's: on another tenant's route it is 4003 and critical, and nothing reaches the backend")
async def foreign_tenant(lab):
    back = await lab.py_echo()
    identity = {"keys": [{"id": "main", "algorithm": "HS256", "secret": SECRET}], "sessions": {"enabled": True, "path": "/auth/session"}}
    routes = [
        {"name": name, "path": f"/{name}", "upstream": back.url, "authenticate": "required", "credentials": ["header"], "tenant": name, "refuse_with": "close"}
        for name in ("acme", "globex")
    ]
    gateway = await lab.gateway_from({"environment": "development", **CALM, "identity": identity, "routes": routes})
    token = Lab.hs256({"sub": "ada", "tenant": "acme", "exp": Lab.now() + 600})
    session = await issued(gateway, token)
    headers = {"Authorization": f"Bearer {session['session']}"}
    raw, response = await lab.raw(gateway, "/globex", headers)
    assert response.status == 101 and await raw.close_code() == 4003
    event = await gateway.event(type="tenant_crossing", user="ada")
    assert (event["severity"], event["route"], event["decision"]) == ("critical", "globex", "refused"), event
    assert back.requests == [], "another tenant's route was dialled"
    raw, response = await lab.raw(gateway, "/acme", headers)
    assert response.status == 101 and (await back.seen())[0]["headers"]["x-portcullis-tenant"] == "acme"


@case("forged tokens that name one user, from many addresses: what names it waits with 429, other users and verified tokens go on")
async def guesses(lab):
    limits = {"failed_auth_rate": "off", "connection_rate": "off", "failed_auth_rate_per_subject": "3/min"}
    back, gateway = await house(lab, sources=limits, listen={"trusted_proxies": ["127.0.0.0/8"], "client_address": "x_forwarded_for"})

    async def attempt(token: str, address: str):
        raw, response = await lab.raw(gateway, "/header", {"Authorization": f"Bearer {token}", "X-Forwarded-For": address})
        raw.close()
        return response

    def of(subject: str, secret: str = SECRET, ends: int = 600) -> str:
        return Lab.hs256({"sub": subject, "exp": Lab.now() + ends}, secret)

    known = of("ada")
    assert (await attempt(known, "203.0.113.200")).status == 101
    for at in range(3):
        assert (await attempt(of("ada", "x" * 40), f"203.0.113.{at}")).status == 401
    for token in (of("ada", "x" * 40), of("ada", ends=700)):
        waits = await attempt(token, "203.0.113.99")
        assert waits.status == 429 and 0 < int(waits.headers["retry-after"]) <= 20, waits
    event = await gateway.event(type="subject_rate")
    assert "`ada`" in event["detail"] and not event.get("user"), event
    assert (await attempt(known, "203.0.113.99")).status == 101, "verified a moment ago"
    assert (await attempt(of("ben"), "203.0.113.99")).status == 101, "another user"
    assert await gateway.metric("portcullis_refusals_total", reason="subject_rate") == 2
