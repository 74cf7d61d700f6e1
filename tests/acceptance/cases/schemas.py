"""What a type's messages must look like: schemas in files and written out, both ways (SPEC 8.4)."""

import json
import pathlib

from harness.processes import until
from harness.registry import ROOT, case

from cases.messages import refused

EXAMPLE = ROOT / "examples" / "messages"
CHAT = json.loads((EXAMPLE / "schemas" / "chat.json").read_text())
INLINE = {"inbound": {"json": {"mode": "required"}, "schemas": {"chat": {"inline": CHAT}}}}


def chat(**fields) -> str:
    return json.dumps({"type": "chat", "id": "1", "room": "general", "text": "hello", **fields})


# So long that no id of an event holds it by chance.
AGE = 471108150471108
BROKEN = chat(user={"age": AGE})


async def honest(connection) -> None:
    """The socket stays up and a message that fits passes as it is."""
    await connection.send(chat(text="still here"))
    assert await connection.receive() == chat(text="still here")


@case("a message that breaks its schema: path and rule for the client in development, neither in production; both in the audit")
async def violation(lab):
    back = await lab.py_echo()
    for detailed in (True, False):
        gateway = await lab.gateway(back.url, route={**INLINE, "errors": {"detailed": detailed}})
        connection = await (await lab.python()).open(gateway.url)
        await connection.send(BROKEN)
        reply = await refused(connection)
        text = json.dumps(reply)
        if detailed:
            assert reply["code"] == "schema_violation", reply
            assert "/user/age" in reply["message"] and "/properties/user/properties/age/maximum" in reply["message"], reply
        else:
            assert reply["message"] == "Message refused" and reply["code"] == "message_refused", reply
            assert "/user" not in text and "schema" not in text, reply
        assert str(AGE) not in text, "the value stands in the reply"
        await honest(connection)
        event = await gateway.event(id=reply["reference"])
        assert event["type"] == "schema_violation" and event["message_type"] == "chat", event
        found = json.dumps(event)
        assert "/user/age" in found and "/properties/user/properties/age/maximum" in found and str(AGE) not in found, event
        assert await gateway.metric("portcullis_refusals_total", reason="schema_violation") == 1, "the metric"


@case("npm ws too reads the path and the rule")
async def node(lab):
    back = await lab.npm_echo()
    gateway = await lab.gateway(back.url, route=INLINE)
    connection = await (await lab.npm()).open(gateway.url)
    await connection.send(chat(extra=1))
    reply = await refused(connection)
    assert "/extra" in reply["message"] and "/additionalProperties" in reply["message"], reply
    await honest(connection)


@case("a type without a schema is refused, and passes where the policy says so")
async def without(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route=INLINE)
    connection = await (await lab.python()).open(gateway.url)
    for text in ['{"type":"other"}', '{"type":7}', "[]"]:
        await connection.send(text)
        assert (await refused(connection))["code"] in ("type_refused", "envelope_missing"), text
    gateway = await lab.gateway(back.url, route={"inbound": {**INLINE["inbound"], "without_schema": "pass"}})
    connection = await (await lab.python()).open(gateway.url)
    for text in ['{"type":"other"}', '{"type":7}', "[]"]:
        await connection.send(text)
        assert await connection.receive() == text
    await connection.send(BROKEN)
    assert (await refused(connection))["code"] == "schema_violation"


@case("what the backend says is held to the outbound schemas and dropped")
async def outbound(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route={"outbound": {"json": {"mode": "required"}, "schemas": {"chat": {"inline": CHAT}}}})
    connection = await (await lab.python()).open(gateway.url)
    await connection.send(BROKEN)
    await honest(connection)
    event = await gateway.event(type="schema_violation")
    assert event["decision"] == "dropped" and "outbound" in json.dumps(event), event


@case("a schema's file is read beside the policy, and a change of it takes effect on reload; a broken one is refused with its line")
async def file(lab):
    back = await lab.py_echo()
    schema = pathlib.Path(lab.folder) / "chat.json"
    schema.write_text(json.dumps(CHAT, indent=1))
    gateway = await lab.gateway(back.url, route={"inbound": {"json": {"mode": "required"}, "schemas": {"chat": {"file": "../chat.json"}}}})
    client = await lab.python()
    connection = await client.open(gateway.url)
    await connection.send(BROKEN)
    assert (await refused(connection))["code"] == "schema_violation"

    def write(text: str) -> None:
        new = schema.with_suffix(".new")
        new.write_text(text)
        new.replace(schema)

    write('{\n  "type": "objekt"\n}\n')
    await gateway.said(r"config.*refused|refused.*config", after=0)
    code, _, err = await gateway.cli("check", gateway.folder / "portcullis.yaml", ok=False)
    assert code != 0 and "chat.json:2:11" in err and "`/type`" in err and "`objekt`" in err, err
    write('{"type": "object"}')

    async def passes():
        fresh = await client.open(gateway.url)
        await fresh.send(BROKEN)
        return await fresh.receive() == BROKEN

    await until(passes, "the new schema in force", 10)


@case("the example of the manual passes `check`, and `inspect` shows what it would refuse")
async def example(lab):
    gateway = await lab.gateway((await lab.py_echo()).url)
    _, out, _ = await gateway.cli("check", EXAMPLE / "portcullis.yaml")
    assert "valid" in out, out
    _, out, _ = await gateway.cli("inspect", "--config", EXAMPLE / "portcullis.yaml", EXAMPLE / "recorded.jsonl")
    lines = [json.loads(line) for line in out.splitlines()]
    found = [(line["findings"][0]["reason"], line["findings"][0]["field"]) if line["blocked"] else None for line in lines]
    assert found == [None, ("schema_violation", "/admin"), ("schema_violation", "/room"), ("schema_violation", "/text"),
                     ("threat_sqli", "/room"), None, ("type_refused", "/type")], found


ASYNCAPI = ROOT / "examples" / "asyncapi"

VERSION_2 = {
    "asyncapi": "2.6.0",
    "info": {"title": "chat", "version": "1"},
    "channels": {"/ws": {
        "publish": {"message": {"oneOf": [{"$ref": "#/components/messages/chat"}, {"messageId": "heartbeat", "payload": {"maxProperties": 1}}]}},
        "subscribe": {"message": {"name": "said", "payload": {"required": ["text"]}}},
    }},
    "components": {"messages": {"chat": {"payload": {
        "type": "object", "properties": {"type": {"const": "chat"}, "text": {"$ref": "#/components/schemas/short"}}}}},
        "schemas": {"short": {"type": "string", "maxLength": 5}}},
}


@case("AsyncAPI 3: each route has its channel's types, both ways; every other type is refused")
async def asyncapi_3(lab):
    back = await lab.py_echo()
    routes = [{"name": name, "path": path, "upstream": back.url, "asyncapi": {"channels": [name]}}
              for name, path in [("chat", "/ws"), ("prices", "/ws/prices")]]
    config = {"environment": "development", "routes": routes, "messages": {
        "asyncapi": {"file": str(ASYNCAPI / "asyncapi.yaml")}, "inbound": {"on_refuse": "reply"}, "outbound": {"on_refuse": "reply"}}}
    gateway = await lab.gateway_from(config)
    client = await lab.python()
    said = {"type": "said", "from": "ann", "text": "hi"}
    # An echo sends back what only clients may say: the outbound direction refuses it.
    for path, message, reason, direction in [
        ("/ws", {"type": "chat", "id": "1", "room": "general", "text": "hello"}, "type_refused", "outbound"),
        ("/ws", {"type": "chat", "id": "1", "room": "General!", "text": "hello"}, "schema_violation", "inbound"),
        ("/ws", said, "type_refused", "inbound"),
        ("/ws", {"type": "subscribe", "symbols": ["x"]}, "type_refused", "inbound"),
        ("/ws/prices", {"type": "subscribe", "symbols": ["x"]}, "type_refused", "outbound"),
        ("/ws/prices", {"type": "chat", "id": "1", "room": "general", "text": "hello"}, "type_refused", "inbound"),
    ]:
        connection = await client.open(gateway.url + path)
        await connection.send(json.dumps(message))
        if direction == "inbound":
            assert (await refused(connection))["code"] == reason, message

        async def event(path=path, reason=reason, direction=direction, message=message):
            found = [one for one in await gateway.events("--type", reason) if one["message_type"] == message["type"]
                     and ("outbound" in json.dumps(one["metadata"])) == (direction == "outbound")]
            return found or None

        await until(event, f"{reason} of {message} {direction}", 5)
        await connection.close(1000)


@case("AsyncAPI 2.6: what clients publish is held to its payload, what they are subscribed to is the other way")
async def asyncapi_2(lab):
    back = await lab.py_echo()
    document = pathlib.Path(lab.folder) / "asyncapi.json"
    document.write_text(json.dumps(VERSION_2, indent=2))
    gateway = await lab.gateway(back.url, {"messages": {"asyncapi": {"file": str(document)}, "outbound": {"without_schema": "pass"}}})
    connection = await (await lab.python()).open(gateway.url)
    for message in [{"type": "chat", "text": "hello"}, {"type": "heartbeat"}]:
        await connection.send(json.dumps(message))
        assert await connection.receive() == json.dumps(message)
    for message, code, where in [
        ({"type": "chat", "text": "hello!"}, "schema_violation", "/components/schemas/short/maxLength"),
        ({"type": "heartbeat", "more": 1}, "schema_violation", "maxProperties"),
        ({"type": "said", "text": "x"}, "type_refused", "/type"),
    ]:
        await connection.send(json.dumps(message))
        reply = await refused(connection)
        assert reply["code"] == code and where in reply["message"], reply
    document.write_text(json.dumps(VERSION_2, indent=2).replace('"maxLength": 5', '"maxLength": "5"'))
    code, _, err = await gateway.cli("check", gateway.folder / "portcullis.yaml", ok=False)
    line = next(n for n, text in enumerate(document.read_text().splitlines(), 1) if "maxLength" in text)
    assert code != 0 and f"asyncapi.json:{line}:" in err and "/components/schemas/short/maxLength" in err, err


@case("the AsyncAPI example of the manual passes `check`, and `inspect` judges by it")
async def asyncapi_example(lab):
    gateway = await lab.gateway((await lab.py_echo()).url)
    _, out, _ = await gateway.cli("check", ASYNCAPI / "portcullis.yaml")
    assert "valid" in out, out
    _, out, _ = await gateway.cli("inspect", "--config", ASYNCAPI / "portcullis.yaml", EXAMPLE / "recorded.jsonl")
    lines = [json.loads(line) for line in out.splitlines()]
    found = [line["findings"][0]["reason"] if line["blocked"] else None for line in lines]
    assert found == [None] + ["schema_violation"] * 4 + [None, "type_refused"], found
