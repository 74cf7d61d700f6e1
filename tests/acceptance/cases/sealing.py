"""Fields that the backend cannot read: sealed on the way in, opened on the way back for those who may (SPEC 8.8)."""

import base64
import json
import os

from harness.processes import until
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


@case("keys are rotated as the manual says: a new one in front seals, the old one opens while it stands there, and what is sealed with a key that is gone is refused")
async def rotated(lab):
    back = await lab.py_echo()
    keys = {}
    for name in ("2026-05", "2026-11"):
        keys[name] = {"id": name, "key_file": str(lab.folder / f"{name}.key")}
        (lab.folder / f"{name}.key").write_bytes(base64.b64encode(os.urandom(32)) + b"\n")
    config = {"environment": "development", "sealing": {"keys": [keys["2026-05"]]}, "routes": [
        {"name": "in", "path": "/in", "upstream": back.url, "inbound": {"seal": {"/card": "card"}}},
        {"name": "out", "path": "/out", "upstream": back.url, "outbound": {"on_refuse": "drop", "unseal": {"fields": {"/card": "card"}, "permission": "anyone"}}}]}
    gateway = await lab.gateway_from(config)
    client = await lab.python()

    async def seal() -> str:
        connection = await client.open(gateway.url + "/in")
        await connection.send(json.dumps({"type": "save", "card": "4111"}))
        return await connection.receive()

    async def opened(text: str) -> object:
        """What a reader gets, or nothing where it is dropped."""
        connection = await client.open(gateway.url + "/out")
        await connection.send(text)
        await connection.send("after")
        first = await connection.receive()
        return None if first == "after" else json.loads(first)["card"]

    def sealed_with(name: str):
        async def is_so():
            text = await seal()
            return text if f"pcs1.{name}." in text else None

        return until(is_so, f"{name} seals", 10)

    old = await sealed_with("2026-05")
    gateway.rewrite({"sealing": {"keys": [keys["2026-11"], keys["2026-05"]]}})
    new = await sealed_with("2026-11")
    assert await opened(old) == "4111" and await opened(new) == "4111"
    gateway.rewrite({"sealing": {"keys": [keys["2026-11"]]}})

    async def gone():
        return await opened(old) is None

    await until(gone, "the old key is gone", 10)
    assert await opened(new) == "4111"
    assert (await gateway.event(type="seal_broken"))["severity"] == "critical"
