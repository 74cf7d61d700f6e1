"""Fields that the backend cannot read: sealed on the way in, opened on the way back for those who may (SPEC 8.8)."""

import base64
import json
import os

from harness.registry import case

from cases.identity import KEYS


@case("the backend sees a sealed field, a clerk of the same tenant reads it open, others do not, and a changed one is refused with an event")
async def sealed(lab):
    back = await lab.py_echo()
    config = {"environment": "development", "identity": {**KEYS["identity"], "claims": {"tenant": "/tenant"}},
              "access": {"roles": {"clerk": {"allow": ["cards.read"]}, "user": {}}},
              "routes": [
                  {"name": "in", "path": "/in", "upstream": back.url, "authenticate": "required", "inbound": {"seal": {"/card": "card"}}},
                  {"name": "out", "path": "/out", "upstream": back.url, "authenticate": "required",
                   "outbound": {"on_refuse": "drop", "unseal": {"fields": {"/cards/*": "card"}, "permission": "cards.read"}}}]}
    key, old = lab.folder / "seal.key", lab.folder / "old.txt"
    key.write_bytes(base64.b64encode(os.urandom(32)) + b"\n")
    old.write_text("a passphrase from before\n")
    config["sealing"] = {"keys": [{"id": "first", "key_file": str(key)}, {"id": "second", "passphrase_file": str(old)}]}
    gateway = await lab.gateway_from(config)

    async def open_as(path, **claims):
        token = lab.hs256({"sub": "ann", "exp": lab.now() + 600, **claims})
        return await (await lab.python()).open(gateway.url + path, headers={"Authorization": f"Bearer {token}"})

    writer = await open_as("/in", roles=["user"], tenant="a")
    await writer.send(json.dumps({"type": "save", "card": {"number": "4111-1111"}}))
    kept = json.loads(await writer.receive())
    assert kept["card"].startswith("pcs1.first.") and "4111" not in json.dumps(kept), kept
    stored = json.dumps({"type": "list", "cards": [kept["card"], "plain"]})

    clerk = await open_as("/out", roles=["clerk"], tenant="a")
    await clerk.send(stored)
    assert json.loads(await clerk.receive())["cards"] == [{"number": "4111-1111"}, "plain"]
    other = await open_as("/out", roles=["user"], tenant="a")
    await other.send(stored)
    assert await other.receive() == stored
    for connection, text in [(await open_as("/out", roles=["clerk"], tenant="b"), stored), (clerk, stored.replace("pcs1.first.", "pcs1.second."))]:
        await connection.send(text)
        await connection.send("after")
        assert await connection.receive() == "after", "what does not open is dropped"
    event = await gateway.event(type="seal_broken")
    assert "pcs1" not in json.dumps(event) and event["decision"] == "dropped", event
    assert await gateway.metric("portcullis_refusals_total", reason="seal_broken") == 2
