"""Who is calling: every place a credential may stand, good and bad tokens, and what the backend gets to see (SPEC 1.4, 3)."""

import json

from harness.backends import pages
from harness.clients import Refused
from harness.lab import SECRET, Lab
from harness.processes import until
from harness.raw import TEXT, frame
from harness.registry import case

KEYS = {"identity": {"keys": [{"id": "main", "algorithm": "HS256", "secret": SECRET}]}}


def required(*places: str) -> dict:
    """A route that demands a credential, looked for in these places."""
    return {"authenticate": "required", "credentials": list(places)}


def carried(place: str, token: str) -> tuple[str, dict[str, str], list[str]]:
    """Path, headers and subprotocols that carry a token in a place."""
    return {
        "header": ("/room?a=1", {"Authorization": f"Bearer {token}"}, []),
        "cookie": ("/room?a=1", {"Cookie": f"theme=dark; access_token={token}; lang=de"}, []),
        "query": (f"/room?a=1&token={token}&b=2", {}, []),
        "subprotocol": ("/room?a=1", {}, ["bearer", token, "chat.v1"]),
    }[place]


FORGED = {
    "X-Portcullis-Subject": "root",
    "x-portcullis-roles": "admin",
    "X-Portcullis-Tenant": "everyone",
    "X-Portcullis-Connection-Id": "1",
    "X-Portcullis-Anything": "1",
}

for place in ("header", "cookie", "query", "subprotocol"):
    for client in ("npm", "python"):

        @case(f"a valid token in the {place} from {client}: accepted, stripped, told as identity headers", needs=("node",))
        async def valid(lab, place=place, client=client):
            back = await lab.npm_echo()
            gateway = await lab.gateway(back.url, KEYS, route=required(place))
            token = await lab.token("--subject", "u1", "--role", "user", "--role", "editor", "--tenant", "acme", "--ttl", "1h")
            path, headers, protocols = carried(place, token)
            user = await getattr(lab, client)()
            connection = await user.open(gateway.url + path, headers={**headers, **FORGED}, protocols=protocols)
            await connection.send('{"type":"hello"}')
            assert await connection.receive() == '{"type":"hello"}'
            seen = (await back.seen())[0]
            everything = json.dumps(seen)
            assert token not in everything, "the token reached the backend"
            assert token.split(".")[2] not in everything, "the token's signature reached the backend"
            told = {name: value for name, value in seen["headers"].items() if name.startswith("x-portcullis-")}
            assert told["x-portcullis-subject"] == "u1", told
            assert told["x-portcullis-tenant"] == "acme", told
            assert sorted(role.strip() for role in told["x-portcullis-roles"].split(",")) == ["editor", "user"], told
            assert len(told["x-portcullis-connection-id"]) >= 16, told
            assert "x-portcullis-anything" not in told, told
            if place == "query":
                assert seen["url"] == "/room?a=1&b=2", seen["url"]
            else:
                assert seen["url"] == "/room?a=1", seen["url"]
            if place == "cookie":
                assert seen["headers"]["cookie"] == "theme=dark; lang=de", seen["headers"]
            if place == "subprotocol":
                assert seen["headers"]["sec-websocket-protocol"] == "chat.v1", seen["headers"]

    @case(f"bad tokens in the {place} are refused alike where errors are generic, the backend is not dialled")
    async def bad(lab, place=place):
        back = await lab.py_echo()
        gateway = await lab.gateway(back.url, {**KEYS, "sources": {"failed_auth_rate": "off"}, "errors": {"detailed": False}},
                                    route=required(place))
        now = Lab.now()
        good = {"sub": "u1", "iat": now, "exp": now + 600}
        none = Lab.hs256(good, header={"alg": "none"}).rsplit(".", 1)[0] + "."
        tokens = {
            "expired": Lab.hs256({**good, "exp": now - 3600}),
            "not yet valid": Lab.hs256({**good, "nbf": now + 3600}),
            "another secret": Lab.hs256(good, secret="x" * 40),
            "alg none": none,
            "another algorithm": Lab.hs256(good, header={"alg": "HS512"}),
            "garbage": "not-a-token",
            "no subject": Lab.hs256({"exp": now + 600}),
        }
        bodies = set()
        for what, token in tokens.items():
            path, headers, protocols = carried(place, token)
            if protocols:
                headers = {**headers, "Sec-WebSocket-Protocol": ", ".join(protocols)}
            raw, response = await lab.raw(gateway, path, headers)
            assert response.status == 401, (what, response)
            bodies.add((response.status, len(response.body)))
            raw.close()
        assert len(bodies) == 1, f"the answers differ: {bodies}"
        raw, response = await lab.raw(gateway, "/room")
        assert response.status == 401, "no token at all"
        assert back.requests == []
        text = json.dumps(await gateway.events()) + "\n".join(gateway.child.lines)
        for what, token in tokens.items():
            if len(token) > 20:
                assert token.split(".")[-1] not in text or not token.split(".")[-1], f"the {what} token stands in audit or log"
        await gateway.event(type="token_expired")
        await gateway.event(type="token_signature")
        await gateway.event(type="credential_missing")


@case("a browser carries its token in the subprotocol", needs=("node", "chromium"))
async def browser_subprotocol(lab):
    back = await lab.npm_echo()
    gateway = await lab.gateway(back.url, KEYS, route=required("subprotocol"))
    token = await lab.token("--subject", "u1", "--ttl", "1h")
    browser = await lab.chromium()
    # A browser fails a connection whose server picked none of its protocols (RFC 6455 4.1): one must be picked.
    for protocols in (["bearer", token], ["bearer", token, "chat.v1"]):
        connection = await browser.open(gateway.url, protocols=protocols)
        await connection.send("hello")
        assert await connection.receive() == "hello"
        assert token not in connection.protocol
    try:
        await browser.open(gateway.url, protocols=["bearer", "wrong"])
    except Refused:
        pass
    else:
        raise AssertionError("a wrong token was accepted")


@case("a first message carries the token; nothing is dialled before it and it is not passed on")
async def first_message(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, KEYS, route=required("first_message"))
    token = await lab.token("--subject", "u1", "--ttl", "1h")
    raw, response = await lab.raw(gateway)
    assert response.status == 101
    assert back.requests == [], "dialled before the credential"
    await raw.send(frame(TEXT, json.dumps({"type": "auth", "token": token}).encode()))
    seen = (await back.seen())[0]
    assert seen["headers"]["x-portcullis-subject"] == "u1"
    await raw.send(frame(TEXT, b'{"type":"hello"}'))
    while True:
        opcode, payload = await raw.frame()
        if opcode == TEXT and b"hello" in payload:
            break
        assert token.encode() not in payload, "the credential came back: it was sent upstream"


for what, message in {
    "a wrong token": '{"type":"auth","token":"wrong"}',
    "something else": '{"type":"hello"}',
    "no JSON": "hello",
}.items():

    @case(f"{what} as first message closes with 4001, nothing is dialled")
    async def first_message_bad(lab, message=message):
        back = await lab.py_echo()
        gateway = await lab.gateway(back.url, KEYS, route=required("first_message"))
        raw, response = await lab.raw(gateway)
        assert response.status == 101
        await raw.send(frame(TEXT, message.encode()))
        assert await raw.close_code() == 4001
        assert back.requests == []


@case("no first message in time closes with 4001")
async def first_message_late(lab):
    back = await lab.py_echo()
    config = {"identity": {**KEYS["identity"], "first_message_timeout": "400ms"}}
    gateway = await lab.gateway(back.url, config, route=required("first_message"))
    raw, response = await lab.raw(gateway)
    assert response.status == 101
    assert await raw.close_code(3) == 4001
    assert back.requests == []


@case("optional authentication: no token is anonymous, a bad one is refused")
async def optional(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, KEYS, route={"authenticate": "optional", "credentials": ["header"]})
    raw, response = await lab.raw(gateway, headers=FORGED)
    assert response.status == 101
    seen = (await back.seen())[0]["headers"]
    assert seen.get("x-portcullis-subject") in (None, ""), seen
    assert "root" not in json.dumps(seen) and "admin" not in json.dumps(seen), seen
    raw, response = await lab.raw(gateway, headers={"Authorization": "Bearer wrong"})
    assert response.status == 401


@case("a token's exp ends its connection with 4001")
async def expiry(lab):
    back = await lab.py_echo()
    config = {"identity": {**KEYS["identity"], "leeway": "0s"}}
    gateway = await lab.gateway(back.url, config, route=required("header"))
    token = Lab.hs256({"sub": "u1", "exp": Lab.now() + 3})
    raw, response = await lab.raw(gateway, headers={"Authorization": f"Bearer {token}"})
    assert response.status == 101
    assert await raw.close_code(8) == 4001


@case("`portcullis token` decodes and verifies what it issued")
async def token_commands(lab):
    token = await lab.token("--subject", "u1", "--role", "user", "--tenant", "t1", "--ttl", "1h", "--claim", "team=blue")
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url)
    _, out, _ = await gateway.cli("token", "decode", token)
    assert "u1" in out and "blue" in out, out
    await gateway.cli("token", "verify", "--secret-file", lab.folder / "secret", token)
    code, _, _ = await gateway.cli("token", "verify", "--secret-file", lab.folder / "secret", token[:-4] + "AAAA", ok=False)
    assert code != 0


def jwks_config(url: str) -> dict:
    return {"identity": {"jwks": [{"url": url, "algorithms": ["RS256", "ES256"]}], "issuers": ["https://issuer.test"]}}


@case("JWKS from a URL: RS256 and ES256 tokens signed by Node's crypto are accepted", needs=("node",), seconds=40)
async def jwks(lab):
    npm = await lab.npm()
    keys = [(await npm.program.call("key", kid=kid, kind=kind))["jwk"] for kid, kind in (("r1", "rsa"), ("e1", "ec"))]
    server = await lab.tcp(pages({"/jwks.json": (200, "application/json", json.dumps({"keys": keys}))}))
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, jwks_config(f"{server.http_url}/jwks.json"), route=required("header"))
    claims = {"sub": "u1", "iss": "https://issuer.test", "exp": Lab.now() + 600}
    for kid in ("r1", "e1"):
        token = (await npm.program.call("jwt", kid=kid, claims=claims))["token"]
        connection = await npm.open(gateway.url, headers={"Authorization": f"Bearer {token}"})
        await connection.send("hi")
        assert await connection.receive() == "hi"
    wrong = (await npm.program.call("jwt", kid="r1", claims={**claims, "iss": "https://other.test"}))["token"]
    raw, response = await lab.raw(gateway, headers={"Authorization": f"Bearer {wrong}"})
    assert response.status == 401, "another issuer"


@case("an unknown kid fetches the key set again (rotation), and a flood of unknown kids does not", needs=("node",), seconds=60)
async def rotation(lab):
    npm = await lab.npm()
    held = [(await npm.program.call("key", kid="old", kind="rsa"))["jwk"]]
    fetches = []

    def key_set():
        fetches.append(1)
        return 200, "application/json", json.dumps({"keys": held})

    server = await lab.tcp(pages({"/jwks.json": key_set}))
    back = await lab.py_echo()
    config = jwks_config(f"{server.http_url}/jwks.json")
    config["sources"] = {"failed_auth_rate": "off", "connection_rate": "off"}
    gateway = await lab.gateway(back.url, config, route=required("header"))
    claims = {"sub": "u1", "iss": "https://issuer.test", "exp": Lab.now() + 600}
    token = (await npm.program.call("jwt", kid="old", claims=claims))["token"]
    await npm.open(gateway.url, headers={"Authorization": f"Bearer {token}"})
    held.append((await npm.program.call("key", kid="new", kind="rsa"))["jwk"])
    token = (await npm.program.call("jwt", kid="new", claims=claims))["token"]

    async def accepted():
        try:
            return await npm.open(gateway.url, headers={"Authorization": f"Bearer {token}"})
        except Refused as refused:
            assert refused.status in (401, 503), refused
            return None

    # The refresh is bounded: right after a fetch it may take a moment before an unknown kid triggers the next.
    await until(accepted, "a token under the new key is accepted", 40)
    before = len(fetches)
    await npm.program.call("key", kid="never-published", kind="rsa")
    unknown = (await npm.program.call("jwt", kid="never-published", claims=claims))["token"]
    for _ in range(30):
        raw, response = await lab.raw(gateway, headers={"Authorization": f"Bearer {unknown}"})
        assert response.status in (401, 503), response
        raw.close()
    assert len(fetches) - before <= 2, f"{len(fetches) - before} fetches for 30 unknown tokens"


@case("a JWKS server that is down refuses tokens, and says so; it does not let them in", needs=("node",))
async def jwks_down(lab):
    npm = await lab.npm()
    await npm.program.call("key", kid="k", kind="rsa")
    server = await lab.tcp(pages({}))
    await server.stop()
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, jwks_config(f"{server.http_url}/jwks.json"), route=required("header"))
    token = (await npm.program.call("jwt", kid="k", claims={"sub": "u1", "iss": "https://issuer.test", "exp": Lab.now() + 600}))["token"]
    raw, response = await lab.raw(gateway, headers={"Authorization": f"Bearer {token}"})
    assert response.status in (401, 503), response
    assert back.requests == []
