"""Tokens against cross-site request forgery: fetched over HTTP by a page of ours, demanded in messages (SPEC 8.7); ids
seen once by all connections of a user (SPEC 8.3)."""

import asyncio
import http.client
import json

from harness.registry import case

from cases.identity import KEYS

SECRET = "csrf secret of thirty-two bytes and more"


async def house(lab, **inbound):
    back = await lab.py_echo()
    identity = {**KEYS["identity"], "csrf": {"secret": SECRET}}
    route = {"name": "bank", "path": "/ws", "upstream": back.url, "authenticate": "required",
             "inbound": {"csrf": {"types": ["pay.*"]}, **inbound}}
    return await lab.gateway_from({"environment": "development", "identity": identity, "routes": [route],
                                   "origins": {"allow": ["https://bank.example"], "localhost": "off"}})


async def fetch(gateway, token, kind, origin="https://bank.example", method="POST"):
    def blocking():
        host, port = gateway.url.removeprefix("ws://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        headers = {"Authorization": f"Bearer {token}"} | ({"Origin": origin} if origin else {})
        connection.request(method, f"/auth/csrf?for=/ws&type={kind}", headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()

    return await asyncio.to_thread(blocking)


@case("a message that changes something passes with a token that its page fetched, for one session and one type; a foreign page gets none")
async def tokens(lab):
    gateway = await house(lab)
    ann, bob = (lab.hs256({"sub": who, "sid": f"{who}-1", "exp": lab.now() + 600}) for who in ("ann", "bob"))
    status, headers, body = await fetch(gateway, ann, "pay.now")
    assert status == 201 and headers["cache-control"] == "no-store" and headers["access-control-allow-origin"] == "https://bank.example", (status, body)
    token = json.loads(body)["token"]
    status, headers, body = await fetch(gateway, ann, "pay.now", origin="https://evil.example")
    assert status == 403 and headers["access-control-allow-origin"] is None and "pcc_" not in body, (status, body)
    assert (await fetch(gateway, "nonsense", "pay.now"))[0] == 401
    assert (await fetch(gateway, ann, ""))[0] == 400

    async def answer(who, message):
        connection = await (await lab.python()).open(gateway.url + "/ws", headers={"Authorization": f"Bearer {who}", "Origin": "https://bank.example"})
        await connection.send(json.dumps(message))
        reply = json.loads(await connection.receive())
        return "passed" if reply == message else reply["code"]

    for who, message, expected in [
        (ann, {"type": "pay.now", "csrf": token}, "passed"),
        (ann, {"type": "say"}, "passed"),
        (ann, {"type": "pay.now"}, "csrf_missing"),
        (ann, {"type": "pay.now", "csrf": token[:-2] + "AA"}, "csrf_invalid"),
        (ann, {"type": "pay.later", "csrf": token}, "csrf_invalid"),
        (bob, {"type": "pay.now", "csrf": token}, "csrf_invalid"),
    ]:
        assert await answer(who, message) == expected, (message, expected)
    issued = await gateway.event(type="csrf_issued", user="ann")
    assert token not in json.dumps(issued) and issued["message_type"] == "pay.now", issued
    assert await gateway.metric("portcullis_refusals_total", reason="csrf_invalid") == 3


@case("with `replay_per: user` an id passes once on all connections of a user, and of another user again")
async def replay_per_user(lab):
    gateway = await house(lab, envelope={"replay_ids_max": 100, "replay_per": "user"})
    ann, bob = (lab.hs256({"sub": who, "exp": lab.now() + 600}) for who in ("ann", "bob"))
    message = json.dumps({"type": "say", "id": "once"})

    async def code(who):
        connection = await (await lab.npm()).open(gateway.url + "/ws", headers={"Authorization": f"Bearer {who}", "Origin": "https://bank.example"})
        await connection.send(message)
        reply = await connection.receive()
        await connection.close(1000)
        return None if reply == message else json.loads(reply)["code"]

    assert [await code(ann), await code(ann), await code(bob)] == [None, "replayed", None]
