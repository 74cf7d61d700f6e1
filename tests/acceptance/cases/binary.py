"""Binary messages: MessagePack and CBOR held to the rules of text, kinds, sizes and rates (SPEC 8.2, 8.5)."""

import json

import cbor2
import msgpack
from harness.registry import case

INBOUND = {"binary": "on", "json": {"mode": "detect"}, "limits": [],
           "envelope": {"required": ["/id"], "types": ["chat"], "replay_ids_max": 100}, "threats": {"mode": "reply"},
           "schemas": {"chat": {"inline": {"properties": {"text": {"type": "string", "maxLength": 200}}}}}}
SQLI = "' OR '1'='1' -- "

for name, pack in [("msgpack", lambda value: msgpack.packb(value, datetime=False)), ("cbor", cbor2.dumps)]:

    @case(f"{name} that a Python library wrote passes byte for byte, and is refused by envelope, replay, schema and threats as text is")
    async def formats(lab, name=name, pack=pack):
        back = await lab.py_echo()
        gateway = await lab.gateway(back.url, route={"inbound": {**INBOUND, "binaries": {"read_as": name}}})
        for client in (await lab.python(), await lab.npm()):
            connection = await client.open(gateway.url)
            honest = {"type": "chat", "id": f"1{id(client)}", "text": "grüße", "n": [1, -2, 2.5, None, True], "raw": b"\x00\xff", "m": {"7": 2**63}}
            await connection.send(pack(honest))
            assert await connection.receive() == pack(honest)
            for message, code in [
                (honest, "replayed"),
                ({"type": "chat", "text": "no id"}, "envelope_missing"),
                ({"type": "other", "id": "2"}, "type_refused"),
                ({"type": "chat", "id": "3", "text": "x" * 201}, "schema_violation"),
                ({"type": "chat", "id": "4", "deep": [{"er": SQLI}]}, "threat_sqli"),
                ({"type": "chat", "id": "5", SQLI: 1}, "threat_sqli"),
                ({"type": "chat", "id": "6", "raw": SQLI.encode()}, "threat_sqli"),
                ({"type": "chat", "id": "7", "n": float("nan")}, "binary_malformed"),
            ]:
                await connection.send(pack(message))
                reply = json.loads(await connection.receive())
                assert reply["code"] == code, (message, reply)
            for broken in [pack(honest)[:-1], pack(honest) + b"\x00", b"\x83\x01", b"plain text", b"GIF89a..."]:
                await connection.send(broken)
                reply = json.loads(await connection.receive())
                assert reply["code"] == "binary_malformed", (broken, reply)
            text = json.dumps({"type": "chat", "id": f"8{id(client)}"})
            await connection.send(text)
            assert await connection.receive() == text
        for field in ("/raw", "/deep/0/er"):
            event = await gateway.event(type="threat_sqli", message_type="chat", field=field)
            assert event["check"] == "threat", event
        assert await gateway.metric("portcullis_refusals_total", reason="binary_malformed", decision="replied") == 12


    @case(f"{name}: a masked field goes on as stars, cleaned HTML as clean, and the rest as the bytes that came, to all clients and compressed")
    async def changed(lab, name=name, pack=pack):
        unpack = {"msgpack": msgpack.unpackb, "cbor": cbor2.loads}[name]
        back = await lab.npm_echo(perMessageDeflate=True)
        rules = {"binary": "on", "binaries": {"read_as": name}, "mask": ["/user/email", "/raw"], "html": {"fields": ["/text"]},
                 "leaks": {"mode": "mask"}}
        gateway = await lab.gateway(back.url, {"compression": {"enabled": "on", "context_takeover": "on"}}, route={"outbound": rules})
        for client in (await lab.python(), await lab.npm()):
            connection = await client.open(gateway.url, deflate=True)
            for number in range(3):
                kept = {"type": "chat", "n": [number, -2, 2.5, None, True, 2**63], "bytes": b"\x00\xff", "filler": "again and again " * 100}
                said = {**kept, "user": {"email": "ann@a.example", "id": 7}, "text": "<b>hi</b><script>x</script>", "raw": b"\xff\xfe",
                        "pan": "4111 1111 1111 1111"}
                await connection.send(pack(said))
                heard = await connection.receive()
                clean = {**kept, "user": {"email": "***", "id": 7}, "text": "<b>hi</b>", "raw": b"***", "pan": "**** **** **** 1111"}
                assert unpack(heard) == clean and heard == pack(clean), heard
                await connection.send(pack(kept))
                assert await connection.receive() == pack(kept)
        event = await gateway.event(type="leak_card")
        assert event["decision"] == "masked", event


@case("kinds of files are told by their first bytes, and binary messages have a size and a rate of their own")
async def kinds(lab):
    back = await lab.py_echo()
    binaries = {"kinds": ["png", "octet-stream"], "bytes_max": "64B", "rate": "4/min"}
    gateway = await lab.gateway(back.url, route={"inbound": {"binary": "on", "limits": [], "binaries": binaries}})
    connection = await (await lab.python()).open(gateway.url)
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
    for message, code in [(png, None), (b"%PDF-1.7\n%\xff\xff", "binary_kind"), (b"\x01" * 65, "message_too_large"),
                          (b"\x01\x02\xff", None), (png, "message_rate")]:
        await connection.send(message)
        reply = await connection.receive()
        assert reply == message if code is None else json.loads(reply)["code"] == code, (message, reply)
    await connection.send("a text is not binary, and longer than sixty-four bytes, and passes")
    assert (await connection.receive()).startswith("a text")
