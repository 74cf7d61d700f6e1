"""The operator's listener: metrics that promtool accepts, health, and the live page in a real browser (SPEC 11, 12)."""

import json
import re

from harness.processes import run, until
from harness.registry import case


async def attacked(lab, gateway) -> str:
    """One attack on a gateway in block mode; gives the reference its sender read."""
    connection = await (await lab.python()).open(gateway.url)
    await connection.send(json.dumps({"type": "chat", "text": "' OR '1'='1' -- "}))
    return json.loads(await connection.receive())["reference"]


BLOCK = {"inbound": {"threats": {"mode": "block"}}}


@case("/metrics parses, counts what happened, and bounds its labels")
async def metrics(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route=BLOCK)
    await attacked(lab, gateway)
    status, headers, text = await gateway.admin("/metrics")
    assert status == 200
    names = set()
    for line in text.splitlines():
        if line and not line.startswith("#"):
            found = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\})? (-?[0-9.eE+-]+|\+Inf|NaN)', line)
            assert found, line
            names.add(found[1])
    assert all(name.startswith("portcullis_") for name in names), names
    assert any("sqli" in line and not line.endswith(" 0") for line in text.splitlines()), "the refusal is not counted"
    open_now = [line for line in text.splitlines() if line.startswith("portcullis_connections_open{")]
    assert any(line.endswith(" 1") for line in open_now), open_now


@case("promtool finds nothing to say about /metrics", needs=("promtool",), suite=True)
async def promtool(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route=BLOCK)
    await attacked(lab, gateway)
    _, _, text = await gateway.admin("/metrics")
    file = lab.folder / "metrics.txt"
    file.write_text(text)
    code, out, err = await run("sh", "-c", f"promtool check metrics < {file}", ok=False)
    assert code == 0, out + err


@case("/health and /ready answer; the page carries a strict content policy")
async def health(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url)
    for path in ("/health", "/ready"):
        status, _, _ = await gateway.admin(path)
        assert status == 200, path
    status, headers, body = await gateway.admin("/")
    assert status == 200 and "<html" in body
    policy = headers["content-security-policy"]
    assert "unsafe-inline" not in policy and "unsafe-eval" not in policy and "default-src" in policy, policy
    assert headers["x-content-type-options"] == "nosniff", headers
    status, _, _ = await gateway.admin("/no-such-page")
    assert status == 404


@case("with a token set, the admin listener refuses whoever lacks it, and audits the attempt")
async def admin_token(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"admin": {"token": "an-admin-token-of-more-than-32-characters"}})
    for path in ("/api/security/audit-logs", "/api/connections", "/api/security/config", "/live"):
        status, headers, _ = await gateway.admin(path)
        assert status == 401, (path, status)
    for method, path in (("POST", "/api/reload"), ("DELETE", "/api/connections/1")):
        status, _, _ = await gateway.admin(path, method)
        assert status == 401, (path, status)
    good = {"Authorization": "Bearer an-admin-token-of-more-than-32-characters"}
    status, _, body = await gateway.admin("/api/security/config", headers=good)
    assert status == 200
    assert "an-admin-token" not in body, "the configuration shows its secret"
    status, _, _ = await gateway.admin("/api/connections", headers={"Authorization": "Bearer an-admin-token-of-more-than-32-characterS"})
    assert status == 401
    await gateway.event(**{"type": "admin_denied"})


@case("a page from elsewhere cannot read or order the loopback admin listener (DNS rebinding, forged requests)")
async def rebinding(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url)
    status, _, _ = await gateway.admin("/api/connections", headers={"Host": "evil.example"})
    assert status in (400, 403, 421), status
    status, _, _ = await gateway.admin("/api/reload", "POST", headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
    assert status in (400, 401, 403), status


@case("the operator sees a connection and ends it")
async def disconnect(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url)
    connection = await (await lab.python()).open(gateway.url)
    await connection.send("hello")
    await connection.receive()

    async def listed():
        _, _, body = await gateway.admin("/api/connections")
        found = json.loads(body)
        found = found if isinstance(found, list) else found["connections"]
        return found if len(found) == 1 and found[0]["messages_in"] == 1 else None

    (row,) = await until(listed, "the connection is listed with its message")
    assert row["client"] == "127.0.0.1" and row["route"] == "main", row
    status, _, _ = await gateway.admin(f"/api/connections/{row['id']}", "DELETE")
    assert status in (200, 202, 204), status
    code, _ = await connection.closed()
    assert code >= 1000 and code != 1006, code


@case("the live page in Chromium shows a refusal as it happens, breaks no content policy and logs no error",
      needs=("node", "chromium"), seconds=60)
async def live_page(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route=BLOCK)
    browser = await lab.chromium(f"http://127.0.0.1:{gateway.admin_port}/")

    async def state():
        return await browser.evaluate("() => document.getElementById('state').textContent") == "Live"

    await until(state, "the page says Live", 10)
    reference = await attacked(lab, gateway)

    async def shown():
        text = await browser.evaluate("() => document.getElementById('lines').textContent")
        return reference in text and "threat_sqli" in text

    await until(shown, "the refusal stands on the page", 10)

    async def counted():
        return int(await browser.evaluate("() => document.getElementById('open').textContent")) >= 1

    await until(counted, "the open connection is counted", 10)
    said = await browser.program.call("said", id=browser.page)
    assert said["violations"] == [], said
    assert [line for line in said["said"] if line["kind"] in ("error", "pageerror")] == [], said


@case("what a client said stays text on the live page", needs=("node", "chromium"), seconds=60)
async def live_page_escapes(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route={"inbound": {"json": {"mode": "required"}, "envelope": {"types": ["chat"]}}})
    browser = await lab.chromium(f"http://127.0.0.1:{gateway.admin_port}/")
    connection = await (await lab.python()).open(gateway.url)
    await connection.send(json.dumps({"type": "<img src=x onerror=document.title='owned'>"}))
    reference = json.loads(await connection.receive())["reference"]

    async def shown():
        return reference in await browser.evaluate("() => document.getElementById('lines').textContent")

    await until(shown, "the refusal stands on the page", 10)
    assert "owned" not in await browser.evaluate("() => document.title")
    assert await browser.evaluate("() => document.querySelectorAll('#lines img').length") == 0


@case("a token for a part of the admin listener opens that part, is refused elsewhere by name of the permission, and stands in the audit")
async def parts(lab):
    tokens = [{"name": "watch", "token": "a-token-for-the-metrics-only-0001", "permissions": ["metrics.read"]},
              {"name": "desk", "token": "a-token-for-the-blocklist-only-01", "permissions": ["blocks.*"]}]
    gateway = await lab.gateway_from({"upstream": "ws://127.0.0.1:1", "admin": {"token": "the-token-for-the-whole-listener-1", "tokens": tokens}})

    async def ask(token, path, method="GET", body=None):
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        status, _, text = await gateway.admin(path, method, body, headers)
        return status, text

    watch, desk = tokens[0]["token"], tokens[1]["token"]
    assert (await ask(watch, "/metrics"))[0] == 200
    status, text = await ask(watch, "/api/security/blocks")
    assert status == 403 and "blocks.read" in text, (status, text)
    assert (await ask(desk, "/api/security/block-ip", "POST", '{"ip":"203.0.113.9","for":"5m"}'))[0] == 201
    assert (await ask(desk, "/api/reload", "POST"))[0] == 403
    assert (await ask("another-token-of-the-same-length-01", "/metrics"))[0] == 401
    assert (await ask("the-token-for-the-whole-listener-1", "/api/security/keys"))[0] == 200
    events = await gateway.events("--severity", "low")
    assert any("by token `desk`" in event["detail"] for event in events), events
    assert not any(secret in str(events) for secret in (watch, desk))
    await gateway.event(type="admin_denied")
