"""Admission: each refusal before the backend is dialled, with its status, and with a close code where asked (SPEC 2)."""

import socket
import struct

from harness.clients import Refused
from harness.lab import Lab
from harness.processes import until
from harness.raw import TEXT, Raw, frame, read_response
from harness.registry import case

from cases.identity import KEYS, required


@case("an Origin that is not on the list is refused with 403; tricks around a listed one too")
async def origins(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"origins": {"allow": ["https://app.example.com", "https://*.trusted.example"],
                                                       "localhost": False, "same_host": False}})
    for good in ("https://app.example.com", "https://a.trusted.example", "https://a.b.trusted.example"):
        raw, response = await lab.raw(gateway, headers={"Origin": good})
        assert response.status == 101, good
    count = len(await back.seen(3))
    for bad in ("https://evil.example", "null", "http://app.example.com", "https://app.example.com:8443",
                "https://app.example.com.evil.example", "https://evilapp.example.com", "https://app.example.com@evil.example",
                "https://trusted.example", "https://eviltrusted.example", "https://a.trusted.example.evil.example",
                "file://", "", "https://app.example.com/", "https://app.example.com evil"):
        raw, response = await lab.raw(gateway, headers={"Origin": bad})
        assert response.status in (400, 403), (bad, response.status)
    assert len(back.requests) == count, "a refused origin was dialled"
    await gateway.event(type="origin_refused")


@case("two Origin headers are refused")
async def two_origins(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"origins": {"allow": ["https://app.example.com"]}})
    raw = await lab.tcp_to(gateway)
    await raw.send(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://app.example.com\r\nOrigin: https://evil.example\r\n\r\n")
    assert (await read_response(raw.reader)).status in (400, 403)
    assert back.requests == []


@case("a page from elsewhere cannot open a socket in Chromium (cross-site hijacking)", needs=("node", "chromium"))
async def hijacking(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"origins": {"allow": ["https://app.example.com"], "localhost": False, "same_host": False}})
    try:
        await (await lab.chromium()).open(gateway.url)
    except Refused:
        assert back.requests == []
        return
    raise AssertionError("the socket opened")


@case("a missing Origin follows the policy")
async def missing_origin(lab):
    back = await lab.py_echo()
    for allowed, status in (("allow", 101), ("refuse", 403)):
        gateway = await lab.gateway(back.url, {"origins": {"allow": ["https://a.example"], "missing": allowed}})
        raw, response = await lab.raw(gateway)
        assert response.status == status, (allowed, response.status)


@case("version 8 gets 426 with Sec-WebSocket-Version: 13")
async def version(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url)
    for bad in ("8", "0", "14", "13, 8", ""):
        raw, response = await lab.raw(gateway, headers={"Sec-WebSocket-Version": bad})
        assert response.status in (400, 426), (bad, response)
        if bad == "8":
            assert response.status == 426
            assert response.headers["sec-websocket-version"] == "13", response.headers
    assert back.requests == []


for what, headers, options in [
    ("no key", {"Sec-WebSocket-Key": None}, {}),
    ("a key of 15 bytes", {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAA"}, {}),
    ("a key that is no base64", {"Sec-WebSocket-Key": "!!!!!!!!!!!!!!!!!!!!!!=="}, {}),
    ("no Connection header", {"Connection": "keep-alive"}, {}),
    ("another upgrade", {"Upgrade": "h2c"}, {}),
    ("POST", {}, {"method": "POST"}),
    ("a body", {"Content-Length": "5"}, {}),
    ("a chunked body", {"Transfer-Encoding": "chunked"}, {}),
    ("no Host", {"Host": None}, {}),
]:

    @case(f"a handshake with {what} is refused and not dialled")
    async def malformed(lab, headers=headers, options=options):
        back = await lab.py_echo()
        gateway = await lab.gateway(back.url)
        raw, response = await lab.raw(gateway, headers=headers, **options)
        assert response.status in (400, 405, 426), response
        assert back.requests == []


for what, head in {
    "a bare LF in a header": b"GET / HTTP/1.1\r\nHost: x\nX-Evil: 1\r\nUpgrade: websocket\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nHost: x\r\nX-Evil: a\x00b\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\nUpgrade: websocket\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n 2\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "two Content-Lengths": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
    "binary noise": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
}.items():

    @case(f"{what} is refused, an honest client goes on")
    async def malformed_bytes(lab, head=head):
        back = await lab.py_echo()
        gateway = await lab.gateway(back.url, route={"http": "block"})
        honest = await (await lab.python()).open(gateway.url)
        raw = await lab.tcp_to(gateway)
        await raw.send(head)
        answer = await raw.reader.read(4096)
        assert answer == b"" or answer.startswith(b"HTTP/1.") and b" 101 " not in answer.split(b"\r\n")[0], answer
        await honest.send("still here")
        assert await honest.receive() == "still here"
        assert len(back.requests) == 1


@case("an unknown path is 404, and no path is a way around a route")
async def unknown_path(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway_from({"environment": "development", "routes": [
        {"name": "chat", "path": "/ws/chat", "upstream": back.url},
        {"name": "user", "path": "/ws/{user_id}/feed", "upstream": back.url}]})
    for path, status in {"/ws/chat": 101, "/ws/u1/feed": 101, "/ws/chat?x=1": 101, "/": 404, "/ws/chatter": 404, "/ws": 404,
                         "/ws/u1": 404, "/other": 404, "/ws/chat/more": 404, "/WS/CHAT": 404}.items():
        raw, response = await lab.raw(gateway, path)
        assert response.status == status, (path, response.status)
    for path in ("/ws/../ws/chat", "/ws/%2e%2e/admin", "//ws/chat", "/ws/./chat", "/ws%2fchat", "/ws\\chat", "/ws/chat%00"):
        raw, response = await lab.raw(gateway, path)
        assert response.status in (400, 404), (path, response.status)


@case("more connections than per-IP allows: 429 with Retry-After, and again after one has left")
async def concurrency(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"sources": {"connections_per_ip_max": 3}})
    client = await lab.python()
    held = [await client.open(gateway.url) for _ in range(3)]
    raw, response = await lab.raw(gateway)
    assert response.status == 429, response
    assert int(response.headers["retry-after"]) >= 1, response.headers
    assert len(back.requests) == 3
    await held[0].close(1000)
    async def again():
        try:
            return await client.open(gateway.url)
        except Refused:
            return None

    await until(again, "a place is free again")


@case("connection attempts above the rate: 429 with Retry-After")
async def rate(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"sources": {"connection_rate": "5/60s"}})
    statuses = []
    for _ in range(8):
        raw, response = await lab.raw(gateway)
        statuses.append(response.status)
        raw.close()
    assert statuses == [101] * 5 + [429] * 3, statuses
    assert int(response.headers["retry-after"]) >= 1, response.headers
    await gateway.event(type="connection_rate")


@case("failed authentications above the rate ban the address: even a good token waits")
async def failed_auth(lab):
    back = await lab.py_echo()
    config = {**KEYS, "sources": {"failed_auth_rate": "3/60s", "ban_duration": "300s", "connection_rate": "off"}}
    gateway = await lab.gateway(back.url, config, route=required("header"))
    statuses = []
    for _ in range(6):
        raw, response = await lab.raw(gateway, headers={"Authorization": "Bearer wrong"})
        statuses.append(response.status)
        raw.close()
    assert statuses[:3] == [401] * 3 and statuses[-1] in (403, 429), statuses
    token = await lab.token("--subject", "u1", "--ttl", "1h")
    raw, response = await lab.raw(gateway, headers={"Authorization": f"Bearer {token}"})
    assert response.status in (403, 429), response.status


@case("denied networks get 403; total capacity gets 503")
async def denied(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"sources": {"deny": ["127.0.0.0/8"]}})
    raw, response = await lab.raw(gateway)
    assert response.status == 403
    gateway = await lab.gateway(back.url, {"listen": {"connections_max": 2}})
    client = await lab.python()
    for _ in range(2):
        await client.open(gateway.url)
    raw, response = await lab.raw(gateway)
    assert response.status == 503, response


for how, route in {"before the backend answers": {}, "before its first message": required("first_message")}.items():

    @case(f"who resets the connection {how} gives its place back")
    async def vanished(lab, route=route):
        back = await lab.py_echo()
        gateway = await lab.gateway(back.url, {**KEYS, "listen": {"connections_max": 20}}, route=route)
        head = (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        for _ in range(100):
            with socket.create_connection(("127.0.0.1", gateway.port)) as stream:
                # A reset instead of an end: the 101 meets a socket that is gone.
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.sendall(head)

        async def all_welcome() -> bool:
            seated = [await lab.raw(gateway) for _ in range(20)]
            for raw, _ in seated:
                raw.close()
            return all(response.status == 101 for _, response in seated)

        await until(all_welcome, "twenty seats")


@case("oversized headers get 431, too many as well")
async def large_headers(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"listen": {"header_bytes_max": 8192, "headers_max": 40}})
    raw, response = await lab.raw(gateway, headers={"X-Large": "a" * 9000})
    assert response.status == 431, response
    raw, response = await lab.raw(gateway, headers={f"X-{at}": "1" for at in range(60)})
    assert response.status == 431, response
    raw, response = await lab.raw(gateway, "/" + "a" * 9000)
    assert response.status in (414, 431), response
    raw, response = await lab.raw(gateway, headers={"X-Fits": "a" * 4000})
    assert response.status == 101
    assert len(back.requests) == 1


@case("a path parameter bound to the subject: another one's path is 403")
async def binding(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway_from({"environment": "development", **KEYS, "routes": [
        {"name": "user", "path": "/ws/{user_id}", "upstream": back.url, "bind": {"user_id": "subject"}, **required("header")}]})
    token = await lab.token("--subject", "u1", "--ttl", "1h")
    for path, status in {"/ws/u1": 101, "/ws/u2": 403, "/ws/U1": 403, "/ws/u1%20": 403, "/ws/%75%31": 101}.items():
        raw, response = await lab.raw(gateway, path, {"Authorization": f"Bearer {token}"})
        assert response.status == status or path == "/ws/%75%31" and response.status in (400, 403), (path, response.status)
    await gateway.event(type="path_binding")


@case("a role the route asks for: 403 without it")
async def roles(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, KEYS, route={**required("header"), "roles": ["admin", "operator"]})
    for role, status in (("operator", 101), ("user", 403)):
        token = await lab.token("--subject", "u1", "--role", role, "--ttl", "1h")
        raw, response = await lab.raw(gateway, headers={"Authorization": f"Bearer {token}"})
        assert response.status == status, (role, response.status)


@case("connections per user are counted by subject, not by address")
async def per_user(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, KEYS, route={**required("header"), "connections_per_user_max": 2})
    for subject, status in (("u1", 101), ("u1", 101), ("u1", 429), ("u2", 101)):
        token = await lab.token("--subject", subject, "--ttl", "1h")
        raw, response = await lab.raw(gateway, headers={"Authorization": f"Bearer {token}"})
        assert response.status == status, (subject, response.status)


for client, needs in {"npm": ("node",), "python": (), "chromium": ("node", "chromium")}.items():

    @case(f"refuse_with: close: 4001, 4003 and 4008 are read by {client}, nothing is dialled", needs=needs, seconds=40)
    async def close_codes(lab, client=client):
        back = await lab.py_echo()
        user = await getattr(lab, client)()
        # 4001: the place every client can fill is the query.
        gateway = await lab.gateway_from({"environment": "development", **KEYS, "sources": {"connection_rate": "off"}, "routes": [
            {"name": "user", "path": "/ws/{user_id}", "upstream": back.url, "bind": {"user_id": "subject"}, "refuse_with": "close",
             "connections_per_user_max": 1, **required("query")}]})
        good = await lab.token("--subject", "u1", "--ttl", "1h")
        expired = Lab.hs256({"sub": "u1", "exp": Lab.now() - 3600})
        for path, code in [("/ws/u1", 4001), ("/ws/u1?token=wrong", 4001), (f"/ws/u1?token={expired}", 4001), (f"/ws/u2?token={good}", 4003)]:
            connection = await user.open(gateway.url + path)
            assert (await connection.closed())[0] == code, (path, code)
        assert back.requests == []
        held = await user.open(f"{gateway.url}/ws/u1?token={good}")
        await held.send("hello")
        assert await held.receive() == "hello"
        second = await user.open(f"{gateway.url}/ws/u1?token={good}")
        assert (await second.closed())[0] == 4008
        assert len(back.requests) == 1


@case("an event's reference leads from a refused handshake to its explanation")
async def explained(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, KEYS, route=required("header"))
    await lab.raw(gateway)
    event = await gateway.event(type="credential_missing")
    text = await gateway.explain(event["id"])
    assert "credential_missing" in text and "127.0.0.1" in text, text


@case("X-Forwarded-For counts only from a trusted proxy")
async def forwarded_for(lab):
    back = await lab.py_echo()
    for trusted, expected in ((["127.0.0.1/32"], "203.0.113.7"), (["192.0.2.0/24"], "127.0.0.1")):
        gateway = await lab.gateway(back.url, {"listen": {"trusted_proxies": trusted, "client_address": "x_forwarded_for"},
                                               "sources": {"deny": ["203.0.113.0/24", "127.0.0.1/32"]}})
        await lab.raw(gateway, headers={"X-Forwarded-For": "198.51.100.1, 203.0.113.7"})
        event = await gateway.event(type="source_denied")
        assert event["source_ip"] == expected, event


@case("one subscriber's IPv6 privacy addresses count as one, an IPv4 address written as IPv6 as itself, in limits and in bans")
async def many_names(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {
        "listen": {"trusted_proxies": ["127.0.0.0/8"], "client_address": "x_forwarded_for"},
        "sources": {"connections_per_ip_max": 2}})

    async def arrives(address: str) -> int:
        raw, response = await lab.raw(gateway, headers={"X-Forwarded-For": address})
        return response.status

    assert [await arrives(f"2001:db8:1:2:{number:x}::{number:x}") for number in range(1, 5)] == [101, 101, 429, 429]
    assert await arrives("2001:db8:1:3::1") == 101, "the neighbour's network is its own"
    assert [await arrives(name) for name in ("192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207", "192.0.2.7")] == [101, 101, 429, 429]
    assert await arrives("192.0.2.8") == 101
    event = await gateway.event(type="connections_per_ip", source_ip="192.0.2.7")
    assert event["decision"] == "refused", event
    await gateway.cli("ban", "198.51.100.4", "--for", "1h", "--state", gateway.folder / "state")

    async def kept_out() -> bool:
        return await arrives("::ffff:198.51.100.4") == 403

    await until(kept_out, "the ban holds for the other way to write it", 5)


@case("the backend gets the resolved client address, not the client's own claim")
async def forwarded_upstream(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url)
    raw, response = await lab.raw(gateway, headers={"X-Forwarded-For": "1.2.3.4", "X-Real-IP": "1.2.3.4", "Forwarded": "for=1.2.3.4"})
    assert response.status == 101
    headers = (await back.seen())[0]["headers"]
    assert "1.2.3.4" not in " ".join(headers.values()), headers
    assert headers["x-forwarded-for"] == "127.0.0.1", headers


PROXY_V2 = (b"\r\n\r\n\x00\r\nQUIT\n" + b"\x21\x11" + (12).to_bytes(2, "big")
            + bytes([203, 0, 113, 9]) + bytes([127, 0, 0, 1]) + (40000).to_bytes(2, "big") + (443).to_bytes(2, "big"))
PROXY_V2_6 = (b"\r\n\r\n\x00\r\nQUIT\n" + b"\x21\x21" + (36).to_bytes(2, "big")
              + bytes.fromhex("20010db8000000000000000000000009") + bytes.fromhex("20010db8000000000000000000000001")
              + (40000).to_bytes(2, "big") + (443).to_bytes(2, "big"))

for what, head, address in [
    ("v1", b"PROXY TCP4 203.0.113.8 127.0.0.1 40000 443\r\n", "203.0.113.8"),
    ("v1 over IPv6", b"PROXY TCP6 2001:db8::8 2001:db8::1 40000 443\r\n", "2001:db8::8"),
    ("v2", PROXY_V2, "203.0.113.9"),
    ("v2 over IPv6", PROXY_V2_6, "2001:db8::9"),
]:

    @case(f"PROXY protocol {what} from a trusted proxy tells the client's address")
    async def proxy_protocol(lab, head=head, address=address):
        back = await lab.py_echo()
        config = {"listen": {"trusted_proxies": ["127.0.0.1/32"], "client_address": "proxy_protocol"}}
        gateway = await lab.gateway(back.url, config)
        raw = await lab.tcp_to(gateway)
        response = await raw.request("/", before=head)
        assert response.status == 101, response
        assert (await back.seen())[0]["headers"]["x-forwarded-for"] == address
        await raw.send(frame(TEXT, b"hello"))
        assert await raw.frame() == (TEXT, b"hello")


@case("PROXY protocol: missing, malformed or from a stranger is refused")
async def proxy_protocol_bad(lab):
    back = await lab.py_echo()
    listen = {"trusted_proxies": ["127.0.0.1/32"], "client_address": "proxy_protocol"}
    gateway = await lab.gateway(back.url, {"listen": listen})
    strangers = await lab.gateway(back.url, {"listen": {**listen, "trusted_proxies": ["192.0.2.0/24"]}})
    for which, before in [(gateway, b""), (gateway, b"PROXY TCP4 999.0.0.1 127.0.0.1 1 2\r\n"), (gateway, b"PROXY " + b"A" * 200),
                          (gateway, PROXY_V2[:12] + b"\x21\x11\xff\xff"), (strangers, b"PROXY TCP4 203.0.113.8 127.0.0.1 40000 443\r\n")]:
        raw: Raw = await lab.tcp_to(which)
        try:
            response = await raw.request("/", before=before)
            assert response.status != 101, before
        except (ConnectionError, EOFError):
            pass
        raw.close()
    assert back.requests == []
