"""OpenID providers (SPEC 3.3): npm `oidc-provider` found by its issuer, its keys rotated; and providers that misbehave."""

import json

from harness.clients import Refused
from harness.lab import SECRET, Lab
from harness.processes import until
from harness.providers import GATE_SECRET, document, endless, misbehaves, never
from harness.registry import case

REQUIRED = {"authenticate": "required", "credentials": ["header"]}
CALM = {"failed_auth_rate": "off", "connection_rate": "off"}


def bearing(token: str) -> dict:
    return {"Authorization": f"Bearer {token}"}


def provided(*providers: dict, **identity) -> dict:
    return {"identity": {"providers": list(providers), **identity}, "sources": CALM}


async def status(lab, gateway, token: str) -> int:
    raw, response = await lab.raw(gateway, headers=bearing(token))
    raw.close()
    return response.status


@case("oidc-provider is found by its issuer; its tokens are accepted, for our audience only", needs=("oidc",), seconds=40)
async def discovery(lab):
    provider, stranger = await lab.oidc_provider(), await lab.oidc_provider()
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, provided({"issuer": provider.issuer, "audiences": ["urn:jwt"]}), route=REQUIRED)
    client = await lab.python()
    connection = await client.open(gateway.url, headers=bearing(await provider.token()))
    await connection.send("hello")
    assert await connection.receive() == "hello"
    assert (await back.seen())[0]["headers"]["x-portcullis-subject"] == "app"
    assert await status(lab, gateway, await stranger.token()) == 401, "another provider's token"
    other = await lab.gateway(back.url, provided({"issuer": provider.issuer, "audiences": ["urn:other"]}), route=REQUIRED)
    assert await status(lab, other, await provider.token()) == 401, "another audience"
    await other.event(type="token_audience")
    assert await gateway.metric("portcullis_outbound_requests_total", purpose="keys", outcome="answered") >= 1


@case("a provider rotates its keys while a connection is open: new tokens are accepted, the connection stays", needs=("oidc",), seconds=60)
async def rotation(lab):
    provider = await lab.oidc_provider()
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, provided({"issuer": provider.issuer}), route=REQUIRED)
    client = await lab.python()
    before = await provider.token()
    connection = await client.open(gateway.url, headers=bearing(before))
    await provider.call("rotate", kid="second", keep=True)
    after = await provider.token()
    again = await client.open(gateway.url, headers=bearing(after))
    for open_one in (connection, again):
        await open_one.send("still here")
        assert await open_one.receive() == "still here"
    assert await status(lab, gateway, before) == 101, "the key before is still published"


@case("a provider that is gone leaves its keys in force, over a reload too, and is told once", needs=("oidc",), seconds=60)
async def stale(lab):
    provider = await lab.oidc_provider()
    back = await lab.py_echo()
    config = provided({"issuer": provider.issuer, "refresh": "10s"})
    gateway = await lab.gateway(back.url, config, route=REQUIRED)
    token, other = await provider.token(), await provider.token()
    assert await status(lab, gateway, token) == 101
    await provider.stop()
    said = len(gateway.child.lines)
    gateway.rewrite({"listen": {"drain_timeout": "2s"}})
    await gateway.said("reloaded", after=said)
    failed = await gateway.event(type="key_source_failed", seconds=20)
    assert provider.issuer in failed["detail"], failed
    assert await status(lab, gateway, other) == 101, "its keys were forgotten"
    code, out, _ = await gateway.cli("doctor", "--config", gateway.folder / "portcullis.yaml", ok=False)
    assert code == 1 and "FAILED" in out, (code, out)


@case("`doctor` shows each provider's keys and algorithms; `check` asks nobody", needs=("oidc",))
async def doctor(lab):
    provider = await lab.oidc_provider()
    file = lab.folder / "doctor.yaml"
    file.write_text(json.dumps({"upstream": "ws://127.0.0.1:1", **provided({"issuer": provider.issuer})}))
    gateway = await lab.gateway_from({"upstream": "ws://127.0.0.1:1"})
    await gateway.cli("check", file)
    assert (await provider.call("seen"))["requests"] == [], "`check` asked the provider"
    _, out, _ = await gateway.cli("doctor", "--config", file)
    assert provider.issuer in out and "RS256 first" in out and "/jwks" in out, out
    _, out, _ = await gateway.cli("doctor", "--config", file, "--json")
    (report,) = json.loads(out)
    assert (report["kind"], report["error"], report["keys"]) == ("provider", None, [{"id": "first", "algorithm": "RS256"}]), report


@case("clocks that differ: a token from the future is refused past the leeway, accepted within it", needs=("node",))
async def skew(lab):
    npm = await lab.npm()
    jwk = (await npm.program.call("key", kid="k", kind="rsa"))["jwk"]
    server = await lab.tcp(misbehaves({"/keys": document({"keys": [jwk]})}))
    server.handler = misbehaves({
        "/.well-known/openid-configuration": document({"issuer": server.http_url, "jwks_uri": f"{server.http_url}/keys"}),
        "/keys": document({"keys": [jwk]}),
    })
    back = await lab.py_echo()
    config = provided({"issuer": server.http_url}, leeway="30s")
    gateway = await lab.gateway(back.url, config, route=REQUIRED)
    for ahead, wanted in ((20, 101), (300, 401)):
        claims = {"sub": "u1", "iss": server.http_url, "iat": Lab.now() + ahead, "exp": Lab.now() + 900}
        token = (await npm.program.call("jwt", kid="k", claims=claims))["token"]
        assert await status(lab, gateway, token) == wanted, ahead
    await gateway.event(type="token_not_yet_valid")


@case("providers that are slow, gone, huge, redirecting or talk nonsense let nobody in and stop nobody else", needs=("node",), seconds=90)
async def misbehaving(lab):
    npm = await lab.npm()
    jwk = (await npm.program.call("key", kid="k", kind="rsa"))["jwk"]
    inner = await lab.tcp(misbehaves({"/": document({"keys": [jwk]}), "/keys": document({"keys": [jwk]})}))
    tcp = await lab.tcp(misbehaves({}))
    base = tcp.http_url
    well_known = ".well-known/openid-configuration"

    def says(name: str, keys: str, **more) -> bytes:
        return document({"issuer": f"{base}/{name}", "jwks_uri": keys, **more})

    unlike = {**jwk, "kid": "z", "n": jwk["n"]}
    bad = {
        "slow": ({"": never}, "no answer within 5 s"),
        "nonsense": ({"": document(b"<html>hello</html>")}, "not a configuration document"),
        "other-issuer": ({"": document({"issuer": base, "jwks_uri": f"{base}/keys"})}, "equal to the letter"),
        "no-keys": ({"": document({"issuer": f"{base}/no-keys"})}, "no text `jwks_uri`"),
        "file-keys": ({"": says("file-keys", "file:///etc/passwd")}, "no `https://` URL"),
        "redirect": ({"": document(b"", "302 Found", f"Location: {inner.http_url}/\r\n")}, "redirects are not followed"),
        "keys-redirect": ({"": says("keys-redirect", f"{base}/moved")}, "redirects are not followed"),
        "error": ({"": document({}, "500 Oops")}, "it answered 500"),
        "huge": ({"": endless(160)}, "more than the 65536 bytes allowed"),
        "huge-keys": ({"": says("huge-keys", f"{base}/endless")}, "more than the 65536 bytes allowed"),
        "many-keys": ({"": says("many-keys", f"{base}/many")}, "10000 keys"),
        "useless-keys": ({"": says("useless-keys", f"{base}/useless")}, "none of the 1 keys"),
    }
    paths = {f"/{name}/{well_known}": answers[""] for name, (answers, _) in bad.items()}
    paths |= {
        "/moved": document(b"", "307 Temporary Redirect", f"Location: {inner.http_url}/keys\r\n"),
        "/endless": endless(160),
        "/many": document({"keys": [{"kty": "oct", "k": "x"}] * 10_000}),
        "/useless": document({"keys": [{"kty": "RSA", "kid": "k", "n": "AQAB", "e": "AQAB"}]}),
        f"/doubled/{well_known}": says("doubled", f"{base}/doubled-keys"),
        "/doubled-keys": document({"keys": [jwk, {**unlike, "kid": "k", "n": jwk["n"][:-8] + "AAAAAAAA"}]}),
    }
    tcp.handler = misbehaves(paths)
    gone = await lab.tcp(misbehaves({}))
    await gone.stop()
    issuers = {name: f"{base}/{name}" for name in bad} | {"gone": gone.http_url}
    providers = [{"issuer": issuer, "bytes_max": "1MiB" if name == "many-keys" else "64KiB", "keys_max": 32} for name, issuer in issuers.items()]
    providers.append({"issuer": f"{base}/doubled"})
    back = await lab.py_echo()
    config = provided(*providers, keys=[{"id": "own", "algorithm": "HS256", "secret": SECRET}])
    gateway = await lab.gateway(back.url, config, route=REQUIRED)
    events = {}

    async def all_told():
        for event in await gateway.events():
            if event.get("type") == "key_source_failed":
                events[event["detail"]] = event
        return len(events) >= len(issuers)

    await until(all_told, "an event for each provider that fails", 20)
    for name, (_, words) in bad.items():
        assert any(words in detail for detail in events), (name, words, list(events))
    own = Lab.hs256({"sub": "u1", "exp": Lab.now() + 600})
    for name, issuer in issuers.items():
        claims = {"sub": "u1", "iss": issuer, "exp": Lab.now() + 600}
        token = (await npm.program.call("jwt", kid="k", claims=claims))["token"]
        assert await status(lab, gateway, token) == 503, name
        assert await status(lab, gateway, own) == 101, f"{name} stops others"
    assert inner.connections == 0, "a redirect was followed"
    await gateway.event(type="key_source_partial", detail=f"`{base}/doubled`: 1 left out, 1 used")
    # Of two keys with one id the first is kept, so its tokens verify and nobody can add a key by doubling an id.
    claims = {"sub": "u1", "iss": f"{base}/doubled", "exp": Lab.now() + 600}
    token = (await npm.program.call("jwt", kid="k", claims=claims))["token"]
    assert await status(lab, gateway, token) == 101
    assert all(request["headers"]["x-portcullis-subject"] == "u1" for request in back.requests)
    try:
        await (await lab.python()).open(gateway.url, headers=bearing("nonsense"))
    except Refused as refused:
        assert refused.status == 401, refused
    else:
        raise AssertionError("nonsense was let in")


def introspected(provider, **more) -> dict:
    """Opaque tokens asked about at an oidc-provider, as the client `gate`."""
    section = {"url": f"{provider.issuer}/token/introspection", "client_id": "gate", "client_secret": GATE_SECRET, **more}
    return {"identity": {"introspection": section}, "sources": CALM}


@case("opaque tokens of oidc-provider are introspected: accepted, remembered, refused once revoked; none is logged", needs=("oidc",), seconds=60)
async def introspection(lab):
    provider = await lab.oidc_provider()
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, introspected(provider), route=REQUIRED)
    client = await lab.python()
    token = await provider.user("ada")
    connection = await client.open(gateway.url, headers=bearing(token))
    await connection.send("hello")
    assert await connection.receive() == "hello"
    assert (await back.seen())[0]["headers"]["x-portcullis-subject"] == "ada"

    async def asked() -> int:
        return sum("introspection" in path for path in (await provider.call("seen"))["requests"])

    assert await status(lab, gateway, token) == 101
    assert await asked() == 1, "the answer was not remembered"
    revoked = await provider.user("eve")
    await provider.call("revoke", token=revoked)
    assert await status(lab, gateway, revoked) == 401
    await gateway.event(type="token_inactive")
    assert await status(lab, gateway, "nobody-has-issued-this") == 401
    assert await status(lab, gateway, "x" * 9_000) == 401, "longer than `token_bytes_max`"
    assert await gateway.metric("portcullis_outbound_requests_total", purpose="introspection", outcome="answered") == 3
    everything = json.dumps(await gateway.events()) + "\n".join(gateway.child.lines)
    for secret in (token, revoked, GATE_SECRET, "nobody-has-issued-this"):
        assert secret not in everything, secret


@case("introspection asks every time where nothing is remembered, and maps claims of its own", needs=("oidc",), seconds=60)
async def introspection_claims(lab):
    provider = await lab.oidc_provider()
    back = await lab.py_echo()
    config = introspected(provider, cache_ttl="0s", claims={"subject": "/client_id", "permissions": "/scope"}, audiences=["urn:opaque"])
    gateway = await lab.gateway(back.url, config, route={**REQUIRED, "permission": "chat"})
    token = await provider.token("urn:opaque")
    for _ in range(2):
        assert await status(lab, gateway, token) == 101
    assert (await back.seen(2))[1]["headers"]["x-portcullis-subject"] == "app"
    assert sum("introspection" in path for path in (await provider.call("seen"))["requests"]) == 2
    assert await status(lab, gateway, await provider.user("ada")) == 401, "for another audience"


@case("an introspection endpoint that is gone, slow, wrong or talks nonsense lets nobody in", seconds=60)
async def introspection_down(lab):
    back = await lab.py_echo()
    paths = {
        "/slow": never,
        "/nonsense": document(b"<html>"),
        "/text": document({"active": "true", "sub": "root"}),
        "/unauthorized": document({"active": True, "sub": "root"}, "401 Unauthorized"),
        "/created": document({"active": True, "sub": "root"}, "201 Created"),
        "/huge": endless(160),
        "/moved": document(b"", "307 Temporary Redirect", "Location: /open\r\n"),
        "/open": document({"active": True, "sub": "root"}),
    }
    server = await lab.tcp(misbehaves(paths))
    urls = {path: server.http_url + path for path in paths if path != "/open"}
    gone = await lab.tcp(misbehaves({}))
    await gone.stop()
    urls["gone"] = gone.http_url + "/introspect"
    section = {"client_id": "gate", "client_secret": GATE_SECRET, "timeout": "300ms", "claims": {"subject": "/sub"}}
    gateway = await lab.gateway(back.url, {"identity": {"introspection": {**section, "url": server.http_url}, "keys": [{"algorithm": "HS256", "secret": SECRET}]}, "sources": CALM},
                                route=REQUIRED)
    for what, url in urls.items():
        said = len(gateway.child.lines)
        gateway.rewrite({"identity": {"introspection": {**section, "url": url}}})
        await gateway.said("reloaded", after=said)
        assert await status(lab, gateway, "opaque") == 503, what
        own = Lab.hs256({"sub": "u1", "exp": Lab.now() + 600})
        assert await status(lab, gateway, own) == 101, f"{what} stops others"
    assert {request["headers"]["x-portcullis-subject"] for request in back.requests} == {"u1"}

    async def told():
        details = [event["detail"] for event in await gateway.events() if event.get("type") == "introspection_unavailable"]
        return len(details) == len(urls) and details

    details = await until(told, "an event for each refusal")
    for words in ("no answer within 300 ms", "more than the 65536 bytes", "redirects are not followed", "refused"):
        assert any(words in detail for detail in details), (words, details)
