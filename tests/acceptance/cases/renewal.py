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
