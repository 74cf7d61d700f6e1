"""A credential while the connection lasts: first word, warning, another token in band, the end (SPEC 2.6, 3.8)."""

import asyncio
import json
import time

from harness.registry import case

from cases.control import claims_of
from cases.identity import KEYS, required

SAYS = {"notices": {"connected": True, "expiry_warning": "2s", "refresh": True}}


async def told(connection) -> dict:
    return json.loads(await connection.receive())


async def opened(lab, gateway, client, token):
    user = await getattr(lab, client)()
    return await user.open(gateway.url + "/", headers={"Authorization": f"Bearer {token}"})


async def house(lab, **route):
    back = await lab.npm_echo()
    return back, await lab.gateway(back.url, KEYS, route={**required("header"), **SAYS, **route})


def refresh(token: str) -> str:
    return json.dumps({"type": "auth.refresh", "token": token})


for client in ("npm", "python"):

    @case(f"{client}: told who it is first, warned before its token ends, renewed in band; the backend sees none of it", needs=("node",))
    async def renewed(lab, client=client):
        back, gateway = await house(lab)
        token = await lab.token("--subject", "ada", "--role", "user", "--tenant", "acme", "--ttl", "3s")
        connection = await opened(lab, gateway, client, token)
        first = await told(connection)
        assert first["type"] == "connected" and first["subject"] == "ada" and first["roles"] == ["user"], first
        assert first["tenant"] == "acme" and first["expires_at"] == claims_of(token)["exp"], first
        assert first["limits"]["message_bytes_max"] > 0 and len(first["connection_id"]) >= 16, first
        warning = await told(connection)
        assert warning["type"] == "auth.expiring" and 0 < warning["expires_in_ms"] <= 2000, warning
        later = await lab.token("--subject", "ada", "--role", "user", "--tenant", "acme", "--ttl", "1h")
        await connection.send(refresh(later))
        answer = await told(connection)
        assert answer == {"type": "auth.refreshed", "expires_at": claims_of(later)["exp"]}, answer
        # Past the first token's end.
        while time.time() < claims_of(token)["exp"] + 0.3:
            await connection.send("still here")
            assert await connection.receive() == "still here"
            await asyncio.sleep(0.1)
        await gateway.event(type="credential_refreshed", user="ada")
        assert "auth.refresh" not in json.dumps(await back.seen())

    @case(f"{client}: a token that is not renewed closes its connection with 4001 at its end", needs=("node",))
    async def ends(lab, client=client):
        _, gateway = await house(lab)
        token = await lab.token("--subject", "ada", "--ttl", "2s")
        connection = await opened(lab, gateway, client, token)
        assert (await told(connection))["type"] == "connected"
        assert (await told(connection))["type"] == "auth.expiring"
        code, _ = await connection.closed(5)
        assert code == 4001, code


@case("a renewal with another user's token, a bad token or none closes with 4001 and counts as a failed authentication", needs=("node",))
async def refused(lab):
    _, gateway = await house(lab)
    good = await lab.token("--subject", "ada", "--ttl", "1h")
    other = await lab.token("--subject", "mallory", "--ttl", "1h")
    moved = await lab.token("--subject", "ada", "--tenant", "elsewhere", "--ttl", "1h")
    for message in [refresh(other), refresh(moved), refresh(good[:-4] + "AAAA"), refresh(""), '{"type":"auth.refresh"}']:
        connection = await opened(lab, gateway, "npm", good)
        assert (await told(connection))["type"] == "connected"
        await connection.send(message)
        code, _ = await connection.closed(5)
        assert code == 4001, (message[:40], code)
    await gateway.event(type="refresh_subject", decision="closed", user="ada")
    await gateway.event(type="credential_invalid", decision="closed", check="renewal")


@case("a renewal is judged for the route as the first token was, and two in a row are one too many", needs=("node",))
async def judged(lab):
    _, gateway = await house(lab, roles=["editor"])
    token = await lab.token("--subject", "ada", "--role", "editor", "--ttl", "1h")
    connection = await opened(lab, gateway, "npm", token)
    assert (await told(connection))["type"] == "connected"
    await connection.send(refresh(token))
    assert (await told(connection))["type"] == "auth.refreshed"
    await connection.send(refresh(token))
    assert (await told(connection))["type"] == "error"
    await connection.send("still here")
    assert await connection.receive() == "still here"
    connection = await opened(lab, gateway, "npm", token)
    assert (await told(connection))["type"] == "connected"
    await connection.send(refresh(await lab.token("--subject", "ada", "--role", "user", "--ttl", "1h")))
    code, _ = await connection.closed(5)
    assert code == 4003, code


@case("without notices a message that asks for a renewal is the backend's, as any other")
async def silent(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, KEYS, route=required("header"))
    connection = await opened(lab, gateway, "python", await lab.token("--subject", "ada"))
    await connection.send(refresh("x"))
    assert await connection.receive() == refresh("x")


OWN = {"identity": {**KEYS["identity"], "renewal": {"key": "main", "ttl": "60s", "life_max": "5m"}}}


async def own_house(lab, **renewal):
    back = await lab.npm_echo()
    config = {"identity": {**OWN["identity"], "renewal": {**OWN["identity"]["renewal"], **renewal}}}
    return back, await lab.gateway(back.url, config, route={**required("header"), **SAYS})


def renew(token: str) -> str:
    return json.dumps({"type": "auth.renew", "token": token})


for client in ("npm", "python"):

    @case(f"{client}: the gateway renews its token before it ends: the connection lasts, the fresh token opens another; the backend sees neither", needs=("node",))
    async def own(lab, client=client):
        back, gateway = await own_house(lab)
        token = await lab.token("--subject", "ada", "--role", "user", "--tenant", "acme", "--ttl", "3s")
        connection = await opened(lab, gateway, client, token)
        assert (await told(connection))["type"] == "connected"
        assert (await told(connection))["type"] == "auth.expiring"
        await connection.send(renew(token))
        answer = await told(connection)
        assert answer["type"] == "auth.renewed", answer
        before, after = claims_of(token), claims_of(answer["token"])
        assert after["exp"] == answer["expires_at"] == after["iat"] + 60 and after["jti"] != before.get("jti"), after
        assert after["orig_iat"] == before["iat"], (before, after)
        assert {name: after[name] for name in ("sub", "roles", "tenant")} == {name: before[name] for name in ("sub", "roles", "tenant")}
        # Past the first token's end.
        while time.time() < before["exp"] + 0.3:
            await connection.send("still here")
            assert await connection.receive() == "still here"
            await asyncio.sleep(0.1)
        other = await opened(lab, gateway, client, answer["token"])
        first = await told(other)
        assert first["subject"] == "ada" and first["tenant"] == "acme" and first["roles"] == ["user"], first
        event = await gateway.event(type="credential_renewed", user="ada")
        assert answer["token"] not in json.dumps(event) + "\n".join(gateway.child.lines)
        assert await gateway.metric("portcullis_tokens_renewed_total") == 1
        assert "auth.renew" not in json.dumps(await back.seen())
        await gateway.cli("revoke", "--user", "ada", "--state", gateway.folder / "state")
        for one in (connection, other):
            code, _ = await one.closed(5)
            assert code == 4001, code


@case("a token past its life or with nothing to gain is not renewed and its connection stays; another's or a bad one closes with 4001", needs=("node",))
async def not_renewed(lab):
    _, gateway = await own_house(lab)
    now = int(time.time())
    fields = {"sub": "ada", "roles": ["user"]}
    late = lab.hs256({**fields, "iat": now - 290, "exp": now + 30, "orig_iat": now - 300})
    early = lab.hs256({**fields, "iat": now, "exp": now + 3600})
    sinceless = lab.hs256({**fields, "exp": now + 30})
    for token in (late, early, sinceless):
        connection = await opened(lab, gateway, "npm", token)
        assert (await told(connection))["type"] == "connected"
        await connection.send(renew(token))
        answer = await told(connection)
        assert answer["type"] == "error" and answer["code"] == "renewal_refused", answer
        await connection.send("still here")
        assert await connection.receive() == "still here"
    await gateway.event(type="renewal_refused", decision="replied", user="ada")
    for message in (renew(lab.hs256({**fields, "sub": "eve", "iat": now, "exp": now + 30})), renew(late[:-4] + "AAAA"), '{"type":"auth.renew"}'):
        connection = await opened(lab, gateway, "npm", early)
        assert (await told(connection))["type"] == "connected"
        await connection.send(message)
        code, _ = await connection.closed(5)
        assert code == 4001, (message[:40], code)
    assert await gateway.metric("portcullis_tokens_renewed_total") == 0


@case("where no tokens are renewed, auth.renew is the backend's, as any other message", needs=("node",))
async def nobody_renews(lab):
    _, gateway = await house(lab)
    connection = await opened(lab, gateway, "npm", await lab.token("--subject", "ada", "--ttl", "1h"))
    assert (await told(connection))["type"] == "connected"
    await connection.send(renew("x"))
    assert await connection.receive() == renew("x")
