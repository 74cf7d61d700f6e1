"""Messages that go on with another text: leaks are masked (SPEC 8.5), HTML is sanitized (SPEC 8.6)."""

import json

from harness.processes import until
from harness.registry import case

MASK = {"outbound": {"leaks": {"mode": "drop", "classes": {"card": "mask", "credential": "mask"}}, "mask": ["/user/email"]}}
CARD = {"type": "receipt", "pan": "4111111111111111", "number": 4111111111111111, "user": {"email": "ann@mail.example", "id": 7}}
READ = {"type": "receipt", "pan": "************1111", "number": "************1111", "user": {"email": "***", "id": 7}}


@case("a card number that the backend sends reaches the client with its last four digits, and an event says so")
async def card(lab):
    back = await lab.py_echo()
    for client in (await lab.python(), await lab.npm()):
        gateway = await lab.gateway(back.url, route=MASK)
        connection = await client.open(gateway.url)
        await connection.send(json.dumps(CARD))
        assert json.loads(await connection.receive()) == READ
        await connection.send("pay 4111 1111 1111 1111 now")
        assert await connection.receive() == "pay **** **** **** 1111 now"
        event = await gateway.event(type="leak_card")
        assert event["decision"] == "masked" and "4111" not in json.dumps(event), event
        notes = dict(event["metadata"])
        assert notes["rule"].startswith("card/") and notes["page"] == "docs/threats.md#card" and notes["bytes"], event
        assert await gateway.metric("portcullis_refusals_total", reason="leak_card", decision="masked") == 2
        text = await gateway.explain(event["id"])
        assert "unreadable" in text, text
        clean = json.dumps({"type": "receipt", "pan": None})
        await connection.send(clean)
        assert await connection.receive() == clean


@case("Chromium reads a masked message too", needs=("chromium",))
async def browser(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"origins": {"allow": ["*"]}}, route=MASK)
    connection = await (await lab.chromium()).open(gateway.url)
    await connection.send(json.dumps(CARD))
    assert json.loads(await connection.receive()) == READ


@case("rewriting holds under compression with context takeover: what comes later still inflates")
async def compressed(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"compression": {"enabled": "on", "context_takeover": "on"}}, route=MASK)
    connection = await (await lab.python()).open(gateway.url)
    long = json.dumps({"type": "chat", "text": "the same words again and again " * 20})
    for _ in range(3):
        await connection.send(long)
        assert await connection.receive() == long
        await connection.send(json.dumps({**CARD, "text": "the same words again and again " * 20}))
        reply = json.loads(await connection.receive())
        assert reply["pan"] == READ["pan"] and reply["user"] == READ["user"], reply


@case("what cannot be masked is dropped, and the socket stays up")
async def dropped(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route=MASK)
    connection = await (await lab.python()).open(gateway.url)
    await connection.send(json.dumps({"4111111111111111": 1}))
    await connection.send(json.dumps({"next": 1}))
    assert await connection.receive() == json.dumps({"next": 1})

    async def event():
        return [one for one in await gateway.events("--type", "leak_card") if one["decision"] == "dropped"] or None

    found = await until(event, "an event that says dropped", 5)
    assert "in a key" in json.dumps(found), found


HTML = {"inbound": {"html": {"fields": ["/text"], "blocked_domains": ["evil.example"]}, "threats": {"mode": "block"}}}


@case("HTML in a named field reaches the backend without what is not allowed, and an event names what was taken out, never a value")
async def html(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route=HTML)
    for user in (await lab.python(), await lab.npm()):
        connection = await user.open(gateway.url)
        for text, expected in [
            ("<b>hi</b><script>alert('hunter2')</script>", "<b>hi</b>"),
            ("<img src=x onerror=alert(1)>ok", "ok"),
            ("<a href='https://www.evil.example/x'>win</a>", '<a rel="noopener noreferrer nofollow">win</a>'),
            ("<a href='https://good.example/'>see</a>", '<a href="https://good.example/" rel="noopener noreferrer nofollow">see</a>'),
            ("a < b && c > d, <3", "a < b && c > d, <3"),
        ]:
            await connection.send(json.dumps({"type": "chat", "text": text}))
            assert json.loads(await connection.receive()) == {"type": "chat", "text": expected}, text
        await connection.send(json.dumps({"type": "chat", "other": "<script>alert(1)</script>"}))
        assert json.loads(await connection.receive())["code"] == "threat_xss", "elsewhere it is an attack"

    async def events():
        found = await gateway.events("--type", "html_sanitized")
        return found if len(found) >= 6 else None

    found = await until(events, "the events", 5)
    assert {one["decision"] for one in found} == {"sanitized"}, found
    text = json.dumps(found)
    assert "script" in text and "onerror" in text and "blocked domain" in text and "hunter2" not in text, text
    assert await gateway.metric("portcullis_refusals_total", reason="html_sanitized", decision="sanitized") >= 6


FIELDS = {"inbound": {"threats": {"mode": "reply", "classes": {"xss": "sanitize"}, "fields": {
    "/text": {"classes": {"sqli": "observe"}}, "/items/*/note": {"mode": "drop"}}}, "mask": ["/users/*/email"]}}
SQLI = "' OR '1'='1' -- "


@case("an attack is noted in one field, dropped in the notes of every item, answered elsewhere; the event says rule, bytes and page")
async def fields(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route=FIELDS)
    connection = await (await lab.npm()).open(gateway.url)
    noted = json.dumps({"type": "chat", "text": SQLI})
    await connection.send(noted)
    assert await connection.receive() == noted
    await connection.send(json.dumps({"items": [{"note": "fine"}, {"note": SQLI}]}))
    await connection.send(json.dumps({"other": SQLI}))
    assert json.loads(await connection.receive())["type"] == "error"
    await gateway.event(type="threat_sqli", decision="replied")
    events = await gateway.events("--type", "threat_sqli")
    assert sorted(event["decision"] for event in events) == ["dropped", "observed", "replied"], events
    text = json.dumps(events)
    assert "/items/1/note" in text and "docs/threats.md#sqli" in text and "sqli/a-condition" in text and "certain" in text, text
    await connection.send(json.dumps({"text": "<b>hi</b><script>alert(1)</script>", "users": [{"email": "a@b.example"}, {"email": 1}]}))
    assert json.loads(await connection.receive()) == {"text": "<b>hi</b>", "users": [{"email": "***"}, {"email": "***"}]}
