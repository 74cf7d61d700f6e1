"""Callbacks that are asked about messages (SPEC 8.11): what they are told and decide, what waits for them, their silence."""

import asyncio
import json
import re
import sys

from harness.processes import until
from harness.providers import authorizes, document, endless, misbehaves, never
from harness.registry import ROOT, case

from cases.identity import KEYS

YES, NO = document({"allow": True}), document({"allow": False, "reason": "not today"})


def pay(number: int, **more) -> str:
    return json.dumps({"type": "pay.out", "n": number, **more})


def say(number: int, **more) -> str:
    return json.dumps({"type": "say", "n": number, **more})


def route(callback: dict, direction: str = "inbound", **more) -> dict:
    return {direction: {"callbacks": [{"timeout": "5s", **callback}], **more}}


class Gate:
    """Answers that a case lets go one by one."""

    def __init__(self):
        self.open = asyncio.Semaphore(0)
        self.waiting = self.most = 0

    async def __call__(self, writer) -> None:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await self.open.acquire()
            writer.write(YES)
            await writer.drain()
        finally:
            self.waiting -= 1


@case("a callback is told who says what and is asked about its types alone; what it refuses is answered, with an event that names it")
async def asked(lab):
    server = await lab.tcp(authorizes(lambda told: YES if told["message"].get("amount", 0) < 100 else NO))
    back = await lab.py_echo()
    callback = {"name": "payments", "url": server.http_url + "/check", "types": ["pay.*"], "token": "callback-token-of-32-characters"}
    gateway = await lab.gateway(back.url, KEYS, route={"authenticate": "required", "credentials": ["header"], **route(callback)})
    token = lab.hs256({"sub": "ada", "exp": lab.now() + 600})
    connection = await (await lab.python()).open(gateway.url, headers={"Authorization": f"Bearer {token}"})
    for message in (say(1), pay(2, amount=50), say(3)):
        await connection.send(message)
        assert await connection.receive() == message
    await connection.send(pay(4, amount=500))
    reply = json.loads(await connection.receive())
    assert reply["code"] == "callback_refused" and "not today" not in json.dumps(reply), reply
    await connection.send(say(5))
    assert await connection.receive() == say(5), "the socket stays up"
    assert [told["message"]["n"] for _, told in server.received] == [2, 4], "asked about others"
    head, told = server.received[0]
    assert "authorization: bearer callback-token-of-32-characters" in head.lower()
    assert told["message"] == json.loads(pay(2, amount=50)) and told["principal"]["subject"] == "ada", told
    assert (told["route"], told["direction"], told["type"], told["client_ip"]) == ("main", "inbound", "pay.out", "127.0.0.1"), told
    assert token.split(".")[2] not in json.dumps(told), "it was given the token"
    event = await gateway.event(id=reply["reference"])
    assert event["type"] == "callback_refused" and event["decision"] == "replied" and event["check"] == "callback", event
    assert "not today" in event["detail"] and ["rule", "payments"] in event["metadata"] and event["message_type"] == "pay.out", event
    assert await gateway.metric("portcullis_outbound_requests_total", purpose="callback", outcome="answered") == 2
    assert await gateway.metric("portcullis_callback_duration_seconds_count") == 2
    assert "callback-token-of-32" not in json.dumps(await gateway.events()) + "\n".join(gateway.child.lines)


@case("while a message waits, what comes behind it waits in order, the other direction and other connections go on")
async def order(lab):
    gate = Gate()
    server = await lab.tcp(authorizes(lambda told: gate))
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route=route({"url": server.http_url, "types": ["pay.*"]}, "outbound"))
    client = await lab.python()
    connection, other = await client.open(gateway.url), await client.open(gateway.url)
    sent = [say(0), pay(1), say(2), pay(3), say(4), say(5, filler="x" * 100_000), pay(6)]
    for message in sent:
        await connection.send(message)
    assert await connection.receive() == sent[0]
    await until(lambda: gate.waiting == 1, "a question")
    # The inbound side goes on: what is malformed is answered at once.
    await connection.send('{"broken":')
    assert json.loads(await connection.receive())["code"] == "json_malformed"
    await connection.send("close 4000 bye")
    await other.send(say(7))
    assert await other.receive() == say(7), "another connection waits too"
    for message in sent[1:]:
        if "pay" in message:
            await until(lambda: gate.waiting == 1, "the next question")
            gate.open.release()
        assert await connection.receive() == message, "out of order"
    assert (await connection.closed())[0] == 4000, "the backend's close came before its messages"
    assert gate.most == 1 and len(server.received) == 3


@case("a side that waits is not read: its sender meets TCP's back-pressure, and everything arrives", needs=("node",))
async def pressure(lab):
    gate = Gate()
    server = await lab.tcp(authorizes(lambda told: gate))
    back = await lab.npm_echo()
    gateway = await lab.gateway(back.url, route=route({"url": server.http_url, "types": ["pay.*"], "timeout": "20s"}))
    client = await (await lab.npm()).open(gateway.url, deflate=False)
    await client.send(pay(0))
    await until(lambda: gate.waiting == 1, "a question")
    rest = [say(number, filler="x" * 100_000) for number in range(1, 100)]
    other = await (await lab.npm()).open(gateway.url)
    before = gateway.child.rss_kib()
    for message in rest:
        await client.send(message)
    for number in range(50):
        await other.send(say(number))
        assert await other.receive() == say(number)
    grown = gateway.child.rss_kib() - before
    assert grown < 4 << 10, f"10 MB were sent, and memory grew by {grown} KiB"
    gate.open.release()
    for message in [pay(0), *rest]:
        assert await client.receive() == message


@case("a refused compressed message does not break those behind it; fragments and masked fields go on as they should", needs=("node",))
async def rewritten(lab):
    server = await lab.tcp(authorizes(lambda told: NO if told["message"].get("no") else YES))
    back = await lab.npm_echo(perMessageDeflate=True)
    compression = {"compression": {"enabled": True, "context_takeover": True}}
    gateway = await lab.gateway(back.url, route={**compression, **route({"url": server.http_url, "types": ["pay"]}, mask=["/secret"])})
    client = await (await lab.npm()).open(gateway.url, deflate=True)
    assert "permessage-deflate" in client.extensions, client.extensions
    filler = "the same words again and again, " * 100
    for number in range(12):
        no = number % 3 == 1
        message = {"type": "pay", "n": number, "no": no, "filler": filler, **({"secret": "s3cret"} if number % 4 == 2 else {})}
        await client.send(json.dumps(message))
        got = json.loads(await client.receive())
        if no:
            assert got["code"] == "callback_refused", got
        else:
            assert got == {**message, **({"secret": "***"} if "secret" in message else {})}, got
    assert all(told["message"].get("secret") in (None, "***") for _, told in server.received), "it was told what is masked"
    parts = ['{"type":"pay",', '"n":1,', f'"filler":"{filler}"}}']
    await client.send_fragments(parts)
    assert await client.receive() == "".join(parts)


@case("a callback that is silent refuses, unless `on_failure: allow`; a refusal and nonsense always do", seconds=60)
async def silent(lab):
    paths = {
        "/slow": never, "/error": document({"allow": True}, "500 Oops"), "/huge": endless(160),
        "/moved": document(b"", "307 Temporary Redirect", "Location: /open\r\n"), "/open": YES,
        "/no": document({}, "403 Forbidden"), "/nonsense": document(b"<html>"), "/text": document({"allow": "true"}),
    }
    server = await lab.tcp(misbehaves(paths))
    gone = await lab.tcp(misbehaves({}))
    await gone.stop()
    back = await lab.py_echo()
    client = await lab.python()
    quiet = [server.http_url + path for path in ("/slow", "/error", "/huge", "/moved")] + [gone.http_url]
    answers = {"/no": "callback_refused", "/nonsense": "callback_unavailable", "/text": "callback_unavailable"}
    for on_failure in ("deny", "allow"):
        routes = [{"name": f"r{number}", "path": f"/{number}", "upstream": back.url,
                   **route({"url": url, "timeout": "300ms", "on_failure": on_failure})}
                  for number, url in enumerate([*quiet, *(server.http_url + path for path in answers)])]
        gateway = await lab.gateway_from({"environment": "development", "routes": routes})
        for number, url in enumerate([*quiet, *answers]):
            connection = await client.open(f"{gateway.url}/{number}")
            await connection.send(pay(number))
            got = await connection.receive()
            code = answers.get(url, "callback_unavailable")
            passes = on_failure == "allow" and url in quiet
            assert got == pay(number) if passes else json.loads(got)["code"] == code, (url, on_failure, got)
        observed = len(quiet) if on_failure == "allow" else 0

        async def told():
            events = [event for event in await gateway.events() if event.get("type") == "callback_unavailable"]
            return len(events) == len(quiet) + 2 and sum(event["decision"] == "observed" for event in events) == observed

        await until(told, f"an event for each silence with on_failure: {on_failure}")


@case("drop is silent, close closes, observe passes; the gateway's own refusals are asked about by nobody")
async def outcomes(lab):
    server = await lab.tcp(authorizes(lambda told: NO))
    back = await lab.py_echo()
    client = await lab.python()
    for on_refuse, decision in (("drop", "dropped"), ("close", "closed"), ("observe", "observed")):
        callback = {"url": server.http_url, "types": ["pay.*"], "on_refuse": on_refuse}
        gateway = await lab.gateway(back.url, route=route(callback, threats={"mode": "block"}))
        connection = await client.open(gateway.url)
        before = len(server.received)
        await connection.send(pay(0, text="' OR '1'='1' -- "))
        assert json.loads(await connection.receive())["code"] == "threat_sqli"
        assert len(server.received) == before, "asked about a refused message"
        await connection.send(pay(1))
        if on_refuse == "close":
            assert (await connection.closed())[0] == 1008
        else:
            await connection.send(say(2))
            if on_refuse == "observe":
                assert await connection.receive() == pay(1)
            assert await connection.receive() == say(2)
        assert (await gateway.event(type="callback_refused"))["decision"] == decision


@case("questions at once are bounded; a connection that is closed takes its question with it")
async def bounded(lab):
    gate = Gate()
    server = await lab.tcp(authorizes(lambda told: gate))
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route=route({"url": server.http_url, "concurrency_max": 1, "timeout": "20s"}))
    client = await lab.python()
    first, second = await client.open(gateway.url), await client.open(gateway.url)
    await first.send(pay(1))
    await until(lambda: gate.waiting == 1, "the first question")
    await second.send(pay(2))
    await until(lambda: len(back.requests) == 2, "both connections")
    gate.open.release()
    assert await first.receive() == pay(1)
    await until(lambda: len(server.received) == 2, "the second question")
    assert gate.most == 1, "two at once"
    # An operator ends the connection: nobody waits for its answer any more, and the place is free at once.
    status, _, _ = await gateway.admin(f"/api/connections/{server.received[1][1]['connection_id']}", "DELETE")
    assert status in (200, 204), status
    assert (await second.closed())[0] == 1008
    await first.send(pay(3))
    await until(lambda: len(server.received) == 3, "a place for the third question")
    # The one that was given up has a handler that still waits.
    gate.open.release()
    gate.open.release()
    assert await first.receive() == pay(3)


@case("connections are kept from question to question, and one that was closed meanwhile costs no answer")
async def kept(lab):
    async def five(tcp, reader, writer) -> None:
        """Five answers a connection, and an end that no header told of."""
        for _ in range(5):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length:"))
            tcp.received.append(json.loads(await reader.readexactly(length))["message"]["n"])
            writer.write(YES)
            await writer.drain()

    server = await lab.tcp(five)
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route=route({"url": server.http_url, "types": ["pay.*"]}))
    connection = await (await lab.python()).open(gateway.url)
    for number in range(40):
        await connection.send(pay(number))
        assert await connection.receive() == pay(number)
    assert server.received == list(range(40)), server.received
    assert server.connections == 8, server.connections


@case("a callback that may rewrite puts another message in a message's place, under compression too; the next one judges what it wrote, and an event names it", needs=("node",))
async def replaced(lab):
    def clean(told):
        if "text" in told:
            return document({"allow": True, "text": told["text"].replace("damn", "d***")})
        message = told["message"]
        message["text"] = message["text"].replace("damn", "d***")
        return document({"allow": True, "reason": "a rude word", "message": message})

    cleaner = await lab.tcp(authorizes(clean))
    judge = await lab.tcp(authorizes(lambda told: NO if told.get("message", {}).get("text") == "d*** no" else YES))
    back = await lab.npm_echo(perMessageDeflate=True)
    callbacks = [{"name": "cleaner", "url": cleaner.http_url, "may_rewrite": True, "timeout": "5s"}, {"name": "judge", "url": judge.http_url, "timeout": "5s"}]
    compression = {"compression": {"enabled": True, "context_takeover": True}}
    gateway = await lab.gateway(back.url, route={**compression, "inbound": {"callbacks": callbacks}})
    client = await (await lab.npm()).open(gateway.url, deflate=True)
    filler = "the same words again and again, " * 100
    for number in range(6):
        await client.send(json.dumps({"type": "say", "n": number, "text": f"damn {number}", "filler": filler}))
        assert json.loads(await client.receive()) == {"type": "say", "n": number, "text": f"d*** {number}", "filler": filler}
    await client.send("damn it")
    assert await client.receive() == "d*** it"
    await client.send(json.dumps({"type": "say", "text": "damn no"}))
    assert json.loads(await client.receive())["code"] == "callback_refused", "the second judged what came, not what goes on"
    assert [told["message"]["text"] for _, told in judge.received if "message" in told][:2] == ["d*** 0", "d*** 1"]
    event = await gateway.event(type="callback_replaced")
    assert (event["decision"], dict(event["metadata"])["rule"], event["message_type"]) == ("replaced", "cleaner", "say"), event
    assert "a rude word" in event["detail"] and "damn" not in json.dumps(event), event
    assert 'portcullis_refusals_total{reason="callback_replaced",decision="replaced"} 8' in (await gateway.admin("/metrics"))[2]


@case("a message that a callback may not put in another's place goes nowhere, and neither does the one that came")
async def not_replaced(lab):
    answers = {
        "/type": {"message": {"type": "admin"}}, "/large": {"message": {"type": "say", "text": "x" * 3000}},
        "/deep": {"message": {"type": "say", "text": json.loads("[" * 40 + "]" * 40)}}, "/form": {"text": "say"}, "/off": {"message": {"type": "say"}},
    }
    server = await lab.tcp(misbehaves({path: document({"allow": True, **answer}) for path, answer in answers.items()}))
    back = await lab.py_echo()
    routes = [{"name": f"r{number}", "path": path, "upstream": back.url,
               **route({"url": server.http_url + path, "types": ["say"], "may_rewrite": path != "/off", "on_failure": "allow"}, bytes_max=2000, json={"depth_max": 16})}
              for number, path in enumerate(answers)]
    gateway = await lab.gateway_from({"environment": "development", "routes": routes})
    client = await lab.python()
    for path in answers:
        connection = await client.open(gateway.url + path)
        await connection.send(say(1))
        assert json.loads(await connection.receive())["code"] == "callback_unavailable", path
        await connection.send(pay(2))
        assert await connection.receive() == pay(2), f"{path}: something was passed on before it"


@case("a subscription counts once its callback let it on, and for the topic that it wrote; one that is refused is none")
async def subscribed(lab):
    def bouncer(told):
        room = told["message"]["room"]
        if room == "vault":
            return NO
        return document({"allow": True, "message": {**told["message"], "room": "lobby"}}) if room == "moved" else YES

    server = await lab.tcp(authorizes(bouncer))
    back = await lab.py_echo()
    inbound = {"callbacks": [{"url": server.http_url, "types": ["join", "leave"], "may_rewrite": True, "timeout": "5s"}],
               "subscriptions": {"begin": {"join": "/room"}, "end": {"leave": "/room"}, "max": 2}}
    gateway = await lab.gateway(back.url, route={"inbound": inbound, "outbound": {"subscribed": {"room.text": "/room"}}})
    connection = await (await lab.python()).open(gateway.url)

    async def does(kind: str, room: str):
        await connection.send(json.dumps({"type": kind, "room": room}))
        return json.loads(await connection.receive())

    async def hears(room: str) -> bool:
        text = json.dumps({"type": "room.text", "room": room})
        await connection.send(text)
        await connection.send(say(1))
        first = await connection.receive()
        if first != text:
            return False
        assert await connection.receive() == say(1)
        return True

    assert (await does("join", "vault"))["code"] == "callback_refused"
    assert not await hears("vault"), "it hears of a topic that it was refused"
    assert (await does("join", "moved"))["room"] == "lobby"
    assert (await hears("moved"), await hears("lobby")) == (False, True)
    assert (await does("join", "hall"))["room"] == "hall" and await hears("hall")
    assert (await does("leave", "vault"))["code"] == "callback_refused"
    assert (await does("leave", "moved"))["room"] == "lobby" and not await hears("lobby"), "it left the room that was written"


@case("what a callback writes is judged as what comes: attacks, schemas, the envelope and leaks refuse it, masks and sanitizing change it")
async def judged_again(lab):
    script = "<script>alert(document.cookie)</script>"
    answers = {
        "/threat": {"text": "x' OR '1'='1' --"}, "/schema": {"text": 7}, "/envelope": {"text": "x", "id": None},
        "/cleaned": {"text": f"<b>hi</b>{script}"}, "/leak": {"text": "4111 1111 1111 1111"}, "/masked": {"text": "x", "pin": "1234"},
    }
    server = await lab.tcp(misbehaves({path: document({"allow": True, "reason": "tidied", "message": {"type": "say", "id": "1", **answer}})
                                       for path, answer in answers.items()}))
    back = await lab.py_echo()
    properties = {"type": {}, "id": {}, "text": {"type": "string"}, "pin": {"type": "string"}}
    checks = {
        "/threat": {"threats": {"mode": "block"}}, "/envelope": {"envelope": {"required": ["/id"]}},
        "/schema": {"without_schema": "pass", "schemas": {"say": {"inline": {"type": "object", "properties": properties, "additionalProperties": False}}}},
        "/cleaned": {"html": {"fields": ["/text"]}}, "/leak": {"json": {"mode": "detect"}, "leaks": {"mode": "block"}}, "/masked": {"json": {"mode": "detect"}, "mask": ["/pin"]},
    }
    routes = []
    for number, path in enumerate(answers):
        direction = "outbound" if path in ("/leak", "/masked") else "inbound"
        callback = {"url": server.http_url + path, "types": ["say"], "may_rewrite": True, "on_refuse": "reply" if direction == "inbound" else "drop"}
        routes.append({"name": f"r{number}", "path": path, "upstream": back.url, **route(callback, direction, **checks[path])})
    gateway = await lab.gateway_from({"environment": "development", "routes": routes})
    client = await lab.python()
    said = json.dumps({"type": "say", "id": "1", "text": "harmless", "pin": "0"})
    for path, reason in (("/threat", "threat_sqli at `/text`"), ("/schema", "at `/text`"), ("/envelope", "envelope_missing at `/id`"), ("/leak", "leak_card at `/text`")):
        connection = await client.open(gateway.url + path)
        await connection.send(said)
        if path != "/leak":
            assert json.loads(await connection.receive())["code"] == "callback_unavailable", path
        await connection.send(pay(2, id="1"))
        assert await connection.receive() == pay(2, id="1"), f"{path}: something was passed on before it"
        # The fault is the callback's: nothing is held against the client for it.
        number = list(answers).index(path)
        event = next(one for one in await gateway.events("--type", "callback_unavailable") if one["route"] == f"r{number}")
        assert reason in event["detail"] and "1111" not in json.dumps(event), event
        types = {event["type"] for event in await gateway.events() if event["route"] == f"r{number}"}
        assert not types & {"threat_sqli", "leak_card", "envelope_missing", "schema_violation"}, types
    for path, expected in (("/cleaned", {"text": "<b>hi</b>"}), ("/masked", {"text": "x", "pin": "***"})):
        connection = await client.open(gateway.url + path)
        await connection.send(said)
        assert json.loads(await connection.receive()) == {"type": "say", "id": "1", **expected}, path
    event = await gateway.event(type="callback_replaced", route="r3")
    assert "html_sanitized at `/text`" in event["detail"] and "tidied" in event["detail"], event


@case("the callback of the manual, as it is printed there")
async def manual(lab):
    text = (ROOT / "docs" / "callbacks.md").read_text()
    program = re.search(r"```python\n(.*?)```", text, re.S)[1]
    assert program.count("9000") == 1
    program = program.replace("9000), Check).serve_forever()", "0), Check)").replace("ThreadingHTTPServer((", "server = ThreadingHTTPServer((")
    program += "print('port', server.server_port, flush=True)\nserver.serve_forever()\n"
    child = await lab.program(sys.executable, "-c", program, name="callback")
    port = (await child.line(r"^port (\d+)"))[1]
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route=route({"url": f"http://127.0.0.1:{port}/check", "types": ["pay.*"]}))
    connection = await (await lab.python()).open(gateway.url)
    await connection.send(pay(1, amount=900))
    assert await connection.receive() == pay(1, amount=900)
    for wrong in (pay(2, amount=1001), pay(3), "no json, so of no type"):
        await connection.send(wrong)
        assert "second person" not in await connection.receive()
    assert "second person" in (await gateway.event(type="callback_refused"))["detail"]
