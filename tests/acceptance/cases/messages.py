"""What is said: each check's reply, its reference in the audit, and what passes all the same (SPEC 8)."""

import json
from datetime import datetime, timedelta, timezone

from harness.backends import accept
from harness.lab import Lab
from harness.processes import until
from harness.raw import BINARY, TEXT, frame
from harness.registry import case

from cases.identity import KEYS, required


async def refused(connection) -> dict:
    """The next message, which must be an error reply of the gateway's default shape."""
    reply = json.loads(await connection.receive())
    assert reply["type"] == "error", reply
    assert reply["reference"] and reply["message"] and reply["code"], reply
    return reply


async def still_open(connection) -> None:
    """The socket stays up after a refusal (SPEC 8.10)."""
    honest = json.dumps({"type": "chat", "id": "honest-one", "timestamp": Lab.now(), "text": "still here"})
    await connection.send(honest)
    assert await connection.receive() == honest


REQUIRED_JSON = {"inbound": {"json": {"mode": "required"}}}
ENVELOPE = {"inbound": {"json": {"mode": "required"}, "envelope": {
    "required": ["/id", "/type", "/timestamp"], "types": ["chat", "heartbeat"], "timestamp_tolerance": "300s", "replay_ids_max": 100}}}
BLOCK = {"inbound": {"threats": {"mode": "block"}}}


def chat(**fields) -> str:
    message = {"type": "chat", "id": "m1", "timestamp": Lab.now(), "text": "hello", **fields}
    return json.dumps({key: value for key, value in message.items() if value is not None})


for name, route, message, code in [
    ("malformed JSON", REQUIRED_JSON, '{"type":"chat","text":', "json_malformed"),
    ("a trailing comma", REQUIRED_JSON, '{"a":1,}', "json_malformed"),
    ("two documents", REQUIRED_JSON, '{"a":1} {"b":2}', "json_malformed"),
    ("text that is no JSON", REQUIRED_JSON, "hello", "json_malformed"),
    ("malformed JSON where JSON is only detected", {}, '{"type":"chat","text":', "json_malformed"),
    ("NaN", REQUIRED_JSON, '{"a":NaN}', "json_malformed"),
    ("a lone surrogate", REQUIRED_JSON, '{"a":"\\ud800"}', "json_malformed"),
    ("duplicate keys", REQUIRED_JSON, '{"type":"chat","type":"admin"}', "json_duplicate_key"),
    ("duplicate keys written differently", REQUIRED_JSON, '{"type":"chat","t\\u0079pe":"admin"}', "json_duplicate_key"),
    ("nesting past the limit", {"inbound": {"json": {"depth_max": 8}}}, "[" * 9 + "]" * 9, "json_too_deep"),
    ("more keys than the limit", {"inbound": {"json": {"keys_max": 5}}}, json.dumps({str(n): n for n in range(6)}), "json_too_many"),
    ("a string past the limit", {"inbound": {"json": {"string_bytes_max": "16B"}}}, json.dumps({"a": "x" * 17}), "field_too_large"),
    ("a missing id", ENVELOPE, lambda: chat(id=None), "envelope_missing"),
    ("a missing timestamp", ENVELOPE, lambda: chat(timestamp=None), "envelope_missing"),
    ("an unknown type", ENVELOPE, lambda: chat(type="delete_everything"), "type_refused"),
    ("a timestamp ten minutes old", ENVELOPE, lambda: chat(timestamp=Lab.now() - 600), "timestamp_skew"),
    ("a timestamp ten minutes ahead", ENVELOPE, lambda: chat(timestamp=Lab.now() + 600), "timestamp_skew"),
    ("SQL injection in block mode", BLOCK, lambda: chat(text="' OR '1'='1' -- "), "threat_sqli"),
    ("SQL injection, URL-encoded, in block mode", BLOCK, lambda: chat(text="%27%20UNION%20SELECT%20password%20FROM%20users--%20"), "threat_sqli"),
    ("cross-site scripting in block mode", BLOCK, lambda: chat(text="<img src=x onerror=alert(document.cookie)>"), "threat_xss"),
    ("path traversal in block mode", BLOCK, lambda: chat(text="../../../../etc/passwd"), "threat_traversal"),
    ("an attack in a key, in block mode", BLOCK, '{"\' UNION SELECT password FROM users -- ":1}', "threat_sqli"),
    ("an attack in a nested array, in block mode", BLOCK, '{"a":[{"b":["<script>alert(1)</script>"]}]}', "threat_xss"),
]:

    @case(f"{name}: answered with {code}, not passed on, the socket stays up")
    async def reply(lab, route=route, message=message, code=code):
        back = await lab.py_echo()
        gateway = await lab.gateway(back.url, route=route)
        connection = await (await lab.python()).open(gateway.url)
        await connection.send(message() if callable(message) else message)
        assert (await refused(connection))["code"] == code
        if "string_bytes_max" not in json.dumps(route) and "depth" not in code:
            await still_open(connection)


@case("malformed JSON is told with the object or array it stands in, in the reply and in the event; nothing of what it says is kept")
async def where(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route={"inbound": {"json": {"mode": "required", "depth_max": 4, "string_bytes_max": 32}}})
    connection = await (await lab.python()).open(gateway.url)
    for message, code, field in [
        ('{"a":[0,{"pin":"secretword","pin":1}]}', "json_duplicate_key", "/a/1"),
        ('{"a":{"b":["secretword",tru]}}', "json_malformed", "/a/b"),
        ('{"a":{"b":["secretword",[["x"]]]}}', "json_too_deep", "/a/b/1/0"),
        ('{"a":{"b":"secretword' + "x" * 32 + '"}}', "field_too_large", "/a/b"),
        ('{"a":1,"a":"secretword"}', "json_duplicate_key", None),
    ]:
        await connection.send(message)
        told = await refused(connection)
        assert told["code"] == code and (f"(at {field})" in told["message"]) == (field is not None), told
        event = await gateway.event(id=told["reference"])
        assert dict(event["metadata"]).get("field") == field and "at byte" in event["detail"], event
        assert "secretword" not in json.dumps(event), event


@case("an error's reference leads to its event by `explain` and by `audit search --json`")
async def reference(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, KEYS, route={"inbound": {**BLOCK["inbound"], "envelope": {"required": ["/type"]}},
                                                         **required("header")})
    token = await lab.token("--subject", "u1", "--tenant", "acme", "--ttl", "1h")
    connection = await (await lab.python()).open(gateway.url, headers={"Authorization": f"Bearer {token}"})
    payload = "x' UNION SELECT secretword FROM users -- "
    await connection.send(chat(text=payload))
    reference = (await refused(connection))["reference"]
    event = await gateway.event(id=reference)
    assert event["user"] == "u1" and event["tenant"] == "acme" and event["source_ip"] == "127.0.0.1", event
    assert event["route"] == "main" and event["message_type"] == "chat", event
    assert "secretword" not in json.dumps(event), "a payload stands in the audit"
    found = await gateway.events("--type", "threat_sqli", "--user", "u1")
    assert [one["id"] for one in found] == [reference], found
    assert await gateway.events("--type", "threat_xss") == []
    text = await gateway.explain(reference)
    assert "threat_sqli" in text and "u1" in text, text
    code, _, err = await gateway.cli("explain", "00000000-0000-7000-8000-000000000000", "--state", gateway.folder / "state", ok=False)
    assert code != 0 and err, "an unknown reference"


@case("observe mode passes an attack on and records what would have been done")
async def observe(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url)
    connection = await (await lab.python()).open(gateway.url)
    attack = chat(text="' OR '1'='1' -- ")
    await connection.send(attack)
    assert await connection.receive() == attack
    event = await gateway.event(**{"type": "threat_sqli"})
    assert event["decision"] == "observed", event


@case("ordinary chat with SQL words, code and markup in it passes in block mode")
async def honest(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route=BLOCK)
    connection = await (await lab.python()).open(gateway.url)
    for text in ["Shall we select a table from the menu; drop by at 8?", "I'd update the union's website where it's wrong -- if you agree",
                 "a < b && c > d", "O'Brien or 'Tis", "see ../README.md", "100% sure; ls is a command", "{{name}} is the placeholder"]:
        await connection.send(chat(text=text))
        assert json.loads(await connection.receive()).get("text") == text, text


@case("drop is silent, close closes with the reason's code, both leave an event")
async def outcomes(lab):
    back = await lab.py_echo()
    client = await lab.python()
    gateway = await lab.gateway(back.url, route={"inbound": {"threats": {"mode": "drop"}}})
    connection = await client.open(gateway.url)
    await connection.send(chat(text="' OR '1'='1' -- "))
    await still_open(connection)
    assert (await gateway.event(**{"type": "threat_sqli"}))["decision"] == "dropped"
    gateway = await lab.gateway(back.url, route={"inbound": {"threats": {"mode": "close"}}})
    connection = await client.open(gateway.url)
    await connection.send(chat(text="' OR '1'='1' -- "))
    assert (await connection.closed())[0] == 1008
    assert (await gateway.event(**{"type": "threat_sqli"}))["decision"] == "closed"


@case("what happens is each route's to say: one observes an attack, one answers, one is silent, one closes; a class of its own differs from its route")
async def by_route(lab):
    back = await lab.py_echo()
    modes = {"observe": "observed", "reply": "replied", "drop": "dropped", "close": "closed"}
    routes = [{"name": mode, "path": f"/{mode}", "upstream": back.url, "inbound": {"threats": {"mode": mode, "classes": {"xss": "observe"}}}} for mode in modes]
    gateway = await lab.gateway_from({"environment": "development", "routes": routes})
    attack, markup = chat(text="' OR '1'='1' -- "), chat(text="<img src=x onerror=alert(1)>")
    for mode, decision in modes.items():
        connection = await (await lab.python()).open(f"{gateway.url}/{mode}")
        await connection.send(markup)
        assert await connection.receive() == markup, mode
        await connection.send(attack)
        if mode == "observe":
            assert await connection.receive() == attack
        elif mode == "reply":
            assert (await refused(connection))["code"] == "threat_sqli"
        if mode == "close":
            assert (await connection.closed())[0] == 1008
        else:
            await still_open(connection)
        await gateway.event(type="threat_sqli", route=mode, decision=decision)
        await gateway.event(type="threat_xss", route=mode, decision="observed")


@case("a text field has a limit of its own: 10 KiB pass, a byte more does not, however large the message may be")
async def field_size(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route={"inbound": {"json": {"mode": "required", "string_bytes_max": "10KiB"}, "bytes_max": "1MiB"}})
    connection = await (await lab.python()).open(gateway.url)
    fits = json.dumps({"type": "chat", "text": "x" * 10240, "more": ["y" * 10240] * 20})
    await connection.send(fits)
    assert await connection.receive() == fits
    for text in ("x" * 10241, "é" * 5121, "x" * 9000 + "\u00e9" * 700):
        await connection.send(json.dumps({"type": "chat", "text": text}))
        assert (await refused(connection))["code"] == "field_too_large"
    escaped = json.dumps({"text": "\u00e9" * 5120})
    assert len(escaped) > 30000
    await connection.send(escaped)
    assert await connection.receive() == escaped, "what counts is the text, not its escapes"
    event = await gateway.event(type="field_too_large")
    assert "string_bytes_max" in event["detail"] and "xxx" not in json.dumps(event), event


@case("a flood of broken messages hides no attack from the audit, be it as grave; what was withheld is counted")
async def flood_of_events(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route={"inbound": {"json": {"mode": "required"}, "threats": {"mode": "block"}, "limits": []}})
    connection = await (await lab.python()).open(gateway.url)
    for broken in ("{", '{"a":1,"a":1}'):
        for _ in range(300):
            await connection.send(broken)
    for text in ("' OR '1'='1' -- ", "<img src=x onerror=alert(1)>", "../../../../etc/passwd"):
        await connection.send(chat(text=text))
    for reason in ("threat_sqli", "threat_xss", "threat_traversal"):
        await gateway.event(type=reason, decision="replied")
    broken = [event for event in await gateway.events() if event["type"].startswith("json_")]
    assert len(broken) < 600, "nothing was withheld: the flood was none"
    assert await gateway.metric("portcullis_refusals_total", reason="json_malformed", decision="replied") == 300


@case("production answers are generic, development's helpful; both carry the reference")
async def wording(lab):
    back = await lab.py_echo()
    words = []
    for detailed in (True, False):
        gateway = await lab.gateway(back.url, route={**REQUIRED_JSON, "errors": {"detailed": detailed}})
        connection = await (await lab.python()).open(gateway.url)
        await connection.send("no json")
        words.append((await refused(connection))["message"])
    assert words[0] != words[1] and words[1] == "Message refused", words


@case("the error's shape follows the template, values escaped")
async def template(lab):
    back = await lab.py_echo()
    shape = '{"event":"fehler","data":{"why":"{message}","what":"{code}","ref":"{reference}","again":{retry_after_ms}}}'
    gateway = await lab.gateway(back.url, route={**REQUIRED_JSON, "errors": {"template": shape}})
    connection = await (await lab.python()).open(gateway.url)
    await connection.send("no json")
    answer = json.loads(await connection.receive())
    assert answer["event"] == "fehler" and answer["data"]["what"] == "json_malformed", answer


@case("a replayed id is refused, a new one passes, another connection is another")
async def replay(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route=ENVELOPE)
    client = await lab.python()
    connection = await client.open(gateway.url)
    await connection.send(chat(id="a"))
    assert json.loads(await connection.receive())["id"] == "a"
    await connection.send(chat(id="a"))
    assert (await refused(connection))["code"] == "replayed"
    await connection.send(chat(id="b"))
    assert json.loads(await connection.receive())["id"] == "b"
    other = await client.open(gateway.url)
    await other.send(chat(id="a"))
    assert json.loads(await other.receive())["id"] == "a"


@case("a message over the limit closes with 1009, one at the limit passes")
async def oversize(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route={"inbound": {"bytes_max": "64KiB", "json": {"mode": "off"}}})
    client = await lab.python()
    connection = await client.open(gateway.url, deflate=False)
    await connection.send("x" * 65536)
    assert await connection.receive() == "x" * 65536
    await connection.send("x" * 65537)
    assert (await connection.closed())[0] == 1009
    fragmented = await client.open(gateway.url, deflate=False)
    await fragmented.send_fragments(["x" * 40000, "x" * 40000])
    assert (await fragmented.closed())[0] == 1009
    await gateway.event(**{"type": "message_too_large"})


@case("a message that inflates over the limit closes with 1009")
async def bomb(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route={"inbound": {"bytes_max": "64KiB"}})
    connection = await (await lab.python()).open(gateway.url, deflate=True)
    assert "permessage-deflate" in connection.extensions
    before = gateway.child.rss_kib()
    await connection.send("a" * (32 << 20))  # about 32 KiB on the wire
    assert (await connection.closed())[0] == 1009
    assert gateway.child.rss_kib() - before < 8 << 10, "memory grew with what the message would have inflated to"


@case("more messages than the rate: refused with retry_after_ms, and honest again after that time", seconds=30)
async def rate(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route={"inbound": {"limits": [{"name": "five", "per": "connection", "rate": "5/s"}]}})
    connection = await (await lab.python()).open(gateway.url)
    for number in range(20):
        await connection.send(chat(id=f"m{number}"))
    answers = [json.loads(await connection.receive()) for _ in range(20)]
    errors = [answer for answer in answers if answer["type"] == "error"]
    passed = [answer for answer in answers if answer["type"] == "chat"]
    assert 5 <= len(passed) <= 7, f"{len(passed)} passed of a burst of 20 at 5/s"
    assert all(error["code"] == "message_rate" for error in errors)
    wait = int(errors[-1]["retry_after_ms"])
    assert 0 < wait <= 2000, wait
    await gateway.event(**{"type": "message_rate"})

    async def again():
        await connection.send(chat(id="later"))
        return json.loads(await connection.receive())["type"] == "chat"

    await until(again, "a message passes again", 5)


@case("a limit per IP counts several connections together, one per connection does not")
async def rate_keys(lab):
    back = await lab.py_echo()
    for per, total in (("ip", 10), ("connection", 20)):
        gateway = await lab.gateway(back.url, route={"inbound": {"limits": [{"name": "ten", "per": per, "rate": "10/60s"}]}})
        client = await lab.python()
        passed = 0
        for _ in range(2):
            connection = await client.open(gateway.url)
            for number in range(12):
                await connection.send(chat(id=f"m{number}"))
            passed += [json.loads(await connection.receive())["type"] for _ in range(12)].count("chat")
        assert passed == total, (per, passed)


@case("the kind a route does not take is refused")
async def kinds(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route={"inbound": {"binary": False}})
    connection = await (await lab.python()).open(gateway.url)
    await connection.send(b"\x00\x01")
    assert (await refused(connection))["code"] == "kind_refused"
    await still_open(connection)


@case("outbound: what the backend sends is limited too")
async def outbound(lab):
    async def handler(tcp, reader, writer):
        await accept(reader, writer)
        writer.write(frame(TEXT, b"small", mask=None) + frame(BINARY, bytes(70000), mask=None))
        await writer.drain()
        await reader.read()

    back = await lab.tcp(handler)
    gateway = await lab.gateway(back.url, route={"outbound": {"bytes_max": "64KiB"}})
    raw, response = await lab.raw(gateway)
    assert await raw.frame() == (TEXT, b"small")
    opcode, _ = await raw.frame()
    assert opcode != BINARY, "the large message passed"


@case("checks: off passes everything but broken frames")
async def checks_off(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route={"checks": False, **BLOCK})
    connection = await (await lab.python()).open(gateway.url)
    for text in ("' OR '1'='1' -- ", '{"a":1,"a":2}', "{"):
        await connection.send(text)
        assert await connection.receive() == text


@case("what must not leave: a card number and a key of the backend's never reach the client, and events say so", needs=("node",))
async def leaks(lab):
    back = await lab.npm_echo()
    gateway = await lab.gateway(back.url, route={"outbound": {"leaks": {"mode": "block", "classes": {"error": "observe"}}}})
    user = await lab.npm()
    connection = await user.open(gateway.url)
    secret = "glpat-" + "Ab3dE5fG7hJ9kL2mN4pQ6"
    for text in ("card 4111 1111 1111 1111", f"key {secret}", "ORA-00933: not ended", "see you at 5"):
        await connection.send(text)
    assert await connection.receive() == "ORA-00933: not ended", "observed, so it passes"
    assert await connection.receive() == "see you at 5"
    for reason, decision in (("leak_card", "dropped"), ("leak_credential", "dropped"), ("leak_error", "observed")):
        event = await gateway.event(type=reason, decision=decision)
        assert "4111 1111" not in str(event) and secret not in str(event), event


LIMITS = {"inbound": {
    "json": {"mode": "required"}, "domains": {"pay": ["pay.*"]}, "weights": {"search": 5},
    "limits": [
        {"name": "domains", "per": "domain", "rate": "2/1h"},
        {"name": "pay-of-user", "per": "user", "types": ["pay.*"], "rate": "3/1h"},
        {"name": "cost", "per": "connection", "of": "cost", "rate": "30/1h"},
        {"name": "bytes", "per": "ip", "of": "bytes", "rate": "10KiB/1h"},
        {"name": "everyone", "per": "global", "rate": "40/1h", "on_excess": "close"}]}}


@case("limits by domain, user, cost, bytes and in all apply at once; each refusal says when to come back")
async def several_limits(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, KEYS, route={**LIMITS, **required("header")})
    token = await lab.token("--subject", "u1", "--ttl", "1h")
    client = await lab.python()

    async def open_one():
        return await client.open(gateway.url, headers={"Authorization": f"Bearer {token}"})

    async def say(connection, **fields):
        await connection.send(json.dumps(fields))
        return json.loads(await connection.receive())

    first, second = await open_one(), await open_one()
    for _ in range(2):
        assert (await say(first, type="pay.send"))["type"] == "pay.send"
    third = await say(first, type="pay.refund")
    assert third["code"] == "message_rate" and 0 < third["retry_after_ms"] <= 3_600_000, third
    assert "limit `domains`" in (await gateway.event(id=third["reference"]))["detail"]
    # Each message of the user has counted, the refused one too, on every connection of theirs.
    pays = await say(second, type="pay.send")
    assert "limit `pay-of-user`" in (await gateway.event(id=pays["reference"]))["detail"], pays
    answers = [await say(second, type="search") for _ in range(3)]
    assert [answer["type"] for answer in answers] == ["search", "search", "error"], answers
    large = await say(await open_one(), type="blob", text="x" * 11_000)
    assert "limit `bytes`" in (await gateway.event(id=large["reference"]))["detail"], large


@case("a calendar multiplies a limit while it is in force")
async def calendar(lab):
    back = await lab.py_echo()
    limit = {"per": "connection", "rate": "2/1h", "multipliers": {"calendars": {"always": 2, "never": 9}}}
    calendars = {"always": {"zone": "UTC"}, "never": {"zone": "UTC", "hours": "00:00-24:00", "holidays": [
        (datetime.now(timezone.utc) + timedelta(days=days)).date().isoformat() for days in (0, 1)]}}
    gateway = await lab.gateway(back.url, {"calendars": calendars}, route={"inbound": {"limits": [limit]}})
    connection = await (await lab.python()).open(gateway.url)
    for number in range(4):
        await connection.send(str(number))
        assert await connection.receive() == str(number)
    await connection.send("one more")
    assert (await refused(connection))["code"] == "message_rate"


@case("a repeat offender waits, longer each time, on every connection; each step is an event")
async def ladder(lab):
    back = await lab.py_echo()
    inbound = {"limits": [{"per": "connection", "rate": "2/1h"}],
               "offenders": {"after": "2/1h", "waits": ["1s", "1h"], "forgive_after": "1h"}}
    gateway = await lab.gateway(back.url, KEYS, route={"inbound": inbound, **required("header")})
    client = await lab.python()
    header = {"Authorization": "Bearer " + await lab.token("--subject", "u1", "--ttl", "1h")}
    first, other = await client.open(gateway.url, headers=header), await client.open(gateway.url, headers=header)

    async def say(connection):
        await connection.send("hello")
        return await connection.receive()

    answers = [await say(first) for _ in range(5)]
    assert answers[:2] == ["hello", "hello"], answers
    last = json.loads(answers[4])
    assert last["code"] == "message_rate" and last["retry_after_ms"] > 1_000, last
    assert json.loads(await say(other))["code"] == "offender_waits"
    step = await gateway.event(**{"type": "offender_slowed"})
    assert step["user"] == "u1" and step["detail"] == "step 1 of 2: waits 1 s", step

    async def again():
        return json.loads(await say(first))["code"] != "offender_waits"
    await until(again, "the first wait is over")
    while json.loads(await say(first))["code"] != "offender_waits":
        pass
    waits = json.loads(await say(other))
    assert 3_000_000 < waits["retry_after_ms"] <= 3_600_000, waits

    async def second_step():
        return "step 2 of 2" in json.dumps(await gateway.events("--type", "offender_slowed"))
    await until(second_step, "the event of the second step")
