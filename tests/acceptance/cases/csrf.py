"""Tokens against cross-site request forgery: fetched over HTTP by a page of ours, demanded in messages (SPEC 8.7); ids
seen once by all connections of a user (SPEC 8.3)."""

import asyncio
import http.client
import json
import re

from harness.backends import pages
from harness.registry import ROOT, case

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

    forged = token[:-2] + ("QQ" if token.endswith("AA") else "AA")
    for who, message, expected in [
        (ann, {"type": "pay.now", "csrf": token}, "passed"),
        (ann, {"type": "say"}, "passed"),
        (ann, {"type": "pay.now"}, "csrf_missing"),
        (ann, {"type": "pay.now", "csrf": forged}, "csrf_invalid"),
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


PAGE = "<!doctype html><title>bank</title>"
# Opens the route's socket, runs what stands between, and gives what comes back to it.
AROUND = """async (url) => {{
  const socket = new WebSocket(url);
  await new Promise((opened, failed) => {{ socket.onopen = opened; socket.onclose = ({{ code }}) => failed(new Error(`closed ${{code}}`)); }});
  const heard = new Promise((resolve) => {{ socket.onmessage = ({{ data }}) => resolve(data); }});
  {code}
  return JSON.parse(await heard);
}}"""


@case("the page of the manual, as it is printed there, in Chromium: it fetches its token with its cookie; a foreign page with the same cookie gets neither token nor socket",
      needs=("node", "chromium"), seconds=40)
async def browser(lab):
    printed = re.search(r"```js\n(const path = \"/ws\", type = \"transfer\";.*?)```", (ROOT / "docs" / "messages.md").read_text(), re.S)[1]
    back = await lab.py_echo()
    bank = await lab.tcp(pages({"/": (200, "text/html", PAGE)}))
    foreign = await lab.tcp(pages({"/": (200, "text/html", PAGE)}))
    socket = {"name": "bank", "path": "/ws", "upstream": back.url, "authenticate": "required", "credentials": ["cookie"],
              "inbound": {"csrf": {"types": ["transfer", "account.*"]}}}
    page = {"name": "page", "path": "/", "upstream": bank.http_url, "authenticate": "off", "http": "pass"}
    gateway = await lab.gateway_from({
        "environment": "development", "origins": {"localhost": "off"},
        "identity": {**KEYS["identity"], "csrf": {"secret": SECRET}}, "routes": [socket, page]})
    cookie = "access_token=" + lab.hs256({"sub": "ann", "sid": "ann-1", "exp": lab.now() + 600})
    own = await lab.chromium(gateway.url.replace("ws:", "http:") + "/")
    await own.evaluate("(cookie) => { document.cookie = cookie; }", cookie)
    answer = await own.evaluate(AROUND.format(code=printed), gateway.url + "/ws")
    assert answer["amount"] == 5 and answer["csrf"].startswith("pcc_"), answer
    assert len(back.requests) == 1, "the backend has heard it"
    answer = await own.evaluate(AROUND.format(code="socket.send(JSON.stringify({ type: 'transfer', amount: 5 }));"), gateway.url + "/ws")
    assert answer["code"] == "csrf_missing", answer
    # Another port of the same host: its page carries the visitor's cookie.
    other = await lab.chromium(foreign.http_url + "/")
    assert cookie in await other.evaluate("() => document.cookie"), "a browser gives the cookie to every port"
    fetched = await other.evaluate("""(base) => fetch(`${base}/auth/csrf?for=/ws&type=transfer`, { method: "POST", credentials: "include" })
        .then((answer) => answer.text(), (error) => error.name)""", gateway.url.replace("ws:", "http:"))
    assert fetched == "TypeError", f"a foreign page read {fetched}"
    refused = await other.evaluate("""(url) => new Promise((resolve) => {
        const socket = new WebSocket(url);
        socket.onopen = () => resolve("open");
        socket.onclose = ({ code }) => resolve(code);
    })""", gateway.url + "/ws")
    assert refused in (1006, 4003), refused
    assert len(back.requests) == 2, "the backend has seen a foreign page"
    assert (await gateway.event(type="origin_refused"))["source_ip"] == "127.0.0.1"
