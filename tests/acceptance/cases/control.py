"""Who is kept out: bans and revocations by command and by the admin API, on open connections too (SPEC 3.11, 7.1)."""

import base64
import json
import time

from harness.clients import Refused
from harness.processes import until
from harness.registry import case

from cases.identity import KEYS, required


async def opened(lab, gateway, token, client="npm"):
    user = await getattr(lab, client)()
    return await user.open(gateway.url + "/", headers={"Authorization": f"Bearer {token}"})


async def refused(lab, gateway, token) -> int:
    try:
        connection = await opened(lab, gateway, token, "python")
    except Refused as error:
        return error.status
    await connection.close(1000)
    return 101


async def closed_within_a_second(connection, code):
    began = time.monotonic()
    found, _ = await connection.closed(5)
    took = time.monotonic() - began
    assert found == code, f"closed with {found}"
    assert took < 1, f"{took:.2f} s after the command"


def claims_of(token: str) -> dict:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def house(lab):
    back = await lab.npm_echo()
    gateway = await lab.gateway(back.url, KEYS, route=required("header"))
    return gateway, ["--state", gateway.folder / "state"]


@case("portcullis ban --user closes that user's connection with 4003 within a second, refuses new ones; unban lifts it", needs=("node",))
async def ban_user(lab):
    gateway, state = await house(lab)
    mallory, ada = await lab.token("--subject", "mallory"), await lab.token("--subject", "ada")
    bad, good = await opened(lab, gateway, mallory), await opened(lab, gateway, ada)
    await gateway.cli("ban", "--user", "mallory", "--for", "1h", "--reason", "spam", *state)
    await closed_within_a_second(bad, 4003)
    await good.send("still here")
    assert await good.receive() == "still here"
    assert await refused(lab, gateway, mallory) == 403
    _, out, _ = await gateway.cli("bans", *state)
    assert "user mallory" in out and "spam" in out, out
    event = await gateway.event(type="principal_banned", decision="closed")
    assert event["user"] == "mallory", event
    await gateway.cli("unban", "--user", "mallory", *state)
    await until(lambda: allowed(lab, gateway, mallory), "mallory is let in again", 3)


async def allowed(lab, gateway, token) -> bool:
    return await refused(lab, gateway, token) == 101


@case("portcullis revoke --user closes with 4001; a token issued later is accepted", needs=("node",))
async def revoke_user(lab):
    gateway, state = await house(lab)
    old = await lab.token("--subject", "ada")
    connection = await opened(lab, gateway, old)
    await gateway.cli("revoke", "--user", "ada", "--reason", "laptop stolen", *state)
    await closed_within_a_second(connection, 4001)
    assert await refused(lab, gateway, old) == 401

    async def signs_in_again() -> bool:
        # `iat` counts whole seconds: a token of the same second cannot show that it is a new one.
        return await allowed(lab, gateway, await lab.token("--subject", "ada"))

    await until(signs_in_again, "a token issued after the revocation is accepted", 4)
    assert await refused(lab, gateway, old) == 401


for kind, flag, claims in [
    ("session", "--session", ["--claim", "sid=s-17"]),
    ("token id", "--token-id", []),
    ("tenant", "--tenant", ["--tenant", "s-17"]),
]:

    @case(f"portcullis revoke by {kind} closes with 4001 within a second and leaves others alone", needs=("node",))
    async def revoke_other(lab, flag=flag, claims=claims):
        gateway, state = await house(lab)
        token = await lab.token("--subject", "ada", *claims)
        connection = await opened(lab, gateway, token)
        other = await opened(lab, gateway, await lab.token("--subject", "ada"))
        await gateway.cli("revoke", flag, "s-17" if claims else claims_of(token)["jti"], *state)
        await closed_within_a_second(connection, 4001)
        assert await refused(lab, gateway, token) == 401
        await other.send("still here")
        assert await other.receive() == "still here"


@case("an address banned by the admin API is closed and refused, is on the list, and is lifted by it", needs=("node",))
async def ban_by_api(lab):
    gateway, _ = await house(lab)
    token = await lab.token("--subject", "ada")
    connection = await opened(lab, gateway, token)
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"ip": "127.0.0.1", "for": "10m", "reason": "scanning"})
    status, _, text = await gateway.admin("/api/security/block-ip", "POST", body, headers)
    assert status == 201, text
    await closed_within_a_second(connection, 4003)
    status, _, text = await gateway.admin("/api/security/blocks")
    assert json.loads(text)["blocks"][0]["value"] == "127.0.0.1", text
    assert await refused(lab, gateway, token) == 403
    status, _, _ = await gateway.admin("/api/security/unblock-ip", "POST", json.dumps({"ip": "127.0.0.1"}), headers)
    assert status == 204
    await until(lambda: allowed(lab, gateway, token), "the address is let in again", 3)
    assert await gateway.event(type="admin_action", check="blocklist")


@case("bans outlive the gateway: an operator's, and those that failed authentications earned, after kill -9")
async def bans_survive(lab):
    back = await lab.py_echo()
    sources = {"sources": {"failed_auth_rate": "3/min", "ban_duration": "5m"}}
    gateway = await lab.gateway(back.url, {**KEYS, **sources}, route=required("header"))
    state = gateway.folder / "state"
    await gateway.cli("ban", "--user", "mallory", "--state", state)
    for _ in range(3):
        assert await refused(lab, gateway, "not.a.token") == 401
    token = await lab.token("--subject", "ada")
    assert await refused(lab, gateway, token) == 403

    async def kept() -> bool:
        _, out, _ = await gateway.cli("bans", "--json", "--state", state)
        return [ban["address"] for ban in json.loads(out)["earned"]] == ["127.0.0.1"]

    await until(kept, "the earned ban is written", 6)
    gateway.child.process.kill()
    await gateway.child.process.wait()
    again = await lab.gateway_from(gateway.config, flags=["--state", str(state)])
    assert await refused(lab, again, token) == 403
    await again.cli("unban", "127.0.0.1", "--state", state)
    await until(lambda: allowed(lab, again, token), "the address is let in again", 3)
    assert await refused(lab, again, await lab.token("--subject", "mallory")) == 403


async def made(gateway, *arguments) -> tuple[str, str]:
    """A key's id and text."""
    _, out, _ = await gateway.cli("key", "create", *arguments, "--json")
    told = json.loads(out)
    return told["key"]["id"], told["secret"]


@case("an API key opens a connection as its subject, in two headers; the upstream reads who it is and never the key", needs=("node",))
async def api_key_opens(lab):
    back = await lab.npm_echo()
    gateway = await lab.gateway(back.url, KEYS, route=required("header"))
    state = ["--state", gateway.folder / "state"]
    _, key = await made(gateway, "--subject", "svc-import", "--role", "importer", "--tenant", "acme", *state)
    await until(lambda: allowed(lab, gateway, key), "the key is accepted", 3)
    for headers in [{"Authorization": f"Bearer {key}"}, {"X-Api-Key": key}]:
        user = await lab.npm()
        connection = await user.open(gateway.url + "/", headers=headers)
        await connection.send("hello")
        assert await connection.receive() == "hello"
    for seen in await back.seen():
        assert key[-43:] not in json.dumps(seen), "the key reached the backend"
        assert seen["headers"]["x-portcullis-subject"] == "svc-import", seen
        assert seen["headers"]["x-portcullis-roles"] == "importer", seen
    assert await refused(lab, gateway, key[:-1] + ("A" if key[-1] != "A" else "B")) == 401
    assert await refused(lab, gateway, "pcl_0000000000000000_" + key[-43:]) == 401
    assert key[-43:] not in "\n".join(gateway.child.lines)
    event = await gateway.event(type="connection_accepted")
    assert event["user"] == "svc-import", event


@case("a revoked API key closes its connection with 4001 within a second; a rotated one keeps it and its old text for a while", needs=("node",))
async def api_key_ends(lab):
    gateway, state = await house(lab)
    number, key = await made(gateway, "--subject", "svc", *state)
    await until(lambda: allowed(lab, gateway, key), "the key is accepted", 3)
    connection = await opened(lab, gateway, key)
    _, out, _ = await gateway.cli("key", "rotate", number, "--keep", "1h", "--json", *state)
    later = json.loads(out)["secret"]
    await until(lambda: allowed(lab, gateway, later), "the new text is accepted", 3)
    assert await refused(lab, gateway, key) == 101
    await gateway.cli("key", "rotate", number, "--keep", "0", *state)
    await until(lambda: denied(lab, gateway, key), "the first text is at its end", 3)
    await connection.send("still here")
    assert await connection.receive() == "still here"
    await gateway.cli("key", "revoke", number, *state)
    await closed_within_a_second(connection, 4001)
    _, out, _ = await gateway.cli("key", "list", "--all", *state)
    assert "revoked" in out and number in out, out
    status, _, _ = await gateway.cli("key", "revoke", number, *state, ok=False)
    assert status == 1
    event = await gateway.event(type="admin_action", check="api_keys")
    assert number in event["detail"], event


async def denied(lab, gateway, token) -> bool:
    return await refused(lab, gateway, token) == 401


@case("ban: what names nobody is a clear error; unban of nobody ends with 1")
async def ban_errors(lab):
    gateway, state = await house(lab)
    for arguments, code, words in [
        (("ban",), 2, "name one"),
        (("ban", "0.0.0.0/0"), 2, "neither an IP address nor a network"),
        (("ban", "203.0.113.9", "--user", "u"), 2, "name one"),
        (("revoke",), 2, "name one"),
        (("unban", "203.0.113.9"), 1, "on no list"),
    ]:
        found, _, err = await gateway.cli(*arguments, *state, ok=False)
        assert found == code and words in err, (arguments, found, err)
    found, _, err = await gateway.cli("bans", "--state", gateway.folder / "nowhere", ok=False)
    assert found == 4 and "no state folder" in err, (found, err)


@case("portcullis lockdown closes anonymous connections within a second, refuses new ones, tightens limits, outlives kill -9, and ends", needs=("node",))
async def lockdown(lab):
    back = await lab.npm_echo()
    route = {"authenticate": "optional", "credentials": ["header"],
             "inbound": {"limits": [{"per": "connection", "rate": "8/1h"}]}}
    gateway = await lab.gateway(back.url, KEYS, route=route)
    state = ["--state", gateway.folder / "state"]
    ada = await lab.token("--subject", "ada")
    anonymous = await (await lab.npm()).open(gateway.url + "/")
    await anonymous.send("hello")
    assert await anonymous.receive() == "hello"
    good = await opened(lab, gateway, ada)
    _, out, _ = await gateway.cli("lockdown", *state)
    assert "there is no lockdown" in out, out
    await gateway.cli("lockdown", "--for", "30m", "--reason", "flood", *state)
    await closed_within_a_second(anonymous, 1013)

    async def anonymous_status(there) -> tuple:
        try:
            connection = await (await lab.python()).open(there.url + "/")
        except Refused as error:
            return error.status
        await connection.close(1000)
        return 101

    assert await anonymous_status(gateway) == 503
    assert await refused(lab, gateway, ada) == 101, "who proves who they are comes in"
    answers = []
    for _ in range(3):
        await good.send("hello")
        answers.append(await good.receive())
    assert answers[:2] == ["hello", "hello"] and json.loads(answers[2])["code"] == "message_rate", answers
    _, out, _ = await gateway.cli("lockdown", *state)
    assert "locked down until" in out and "flood" in out, out
    _, _, text = await gateway.admin("/metrics")
    assert "portcullis_lockdown 1" in text
    assert (await gateway.event(type="lockdown"))["check"] in ("lockdown", "relay"), "the refusal is on record"
    event = await gateway.event(type="lockdown_changed")
    assert "locked down by an operator for 30 min: flood" in event["detail"], event

    gateway.child.process.kill()
    await gateway.child.process.wait()
    again = await lab.gateway_from(gateway.config, flags=["--state", str(gateway.folder / "state")])
    assert await anonymous_status(again) == 503
    await again.cli("lockdown", "--end", *state)

    async def open_again() -> bool:
        return await anonymous_status(again) == 101
    await until(open_again, "anonymous callers are let in again", 3)
    code, _, err = await again.cli("lockdown", "--end", *state, ok=False)
    assert code == 1 and "there is no lockdown" in err, (code, err)


@case("a lockdown by the admin API ends by itself, with an event")
async def lockdown_by_api(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {}, route={"authenticate": "off"})
    connection = await (await lab.python()).open(gateway.url)
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"for": "1s", "reason": "a short one"})
    status, _, text = await gateway.admin("/api/security/lockdown", "PUT", body, headers)
    assert status == 200, text
    await closed_within_a_second(connection, 1013)

    async def ended() -> bool:
        events = await gateway.events("--type", "lockdown_changed")
        return any("ended by itself" in event["detail"] for event in events)
    await until(ended, "the end is on record", 4)
    connection = await (await lab.python()).open(gateway.url)
    await connection.close(1000)
    status, _, text = await gateway.admin("/api/security/lockdown")
    assert json.loads(text) == {"lockdown": None}, text
    status, _, _ = await gateway.admin("/api/security/lockdown", "DELETE")
    assert status == 404


@case("a flood of failed handshakes raises the level, orders a lockdown, is on record with its evidence, and shows in the metrics")
async def flood(lab):
    back = await lab.py_echo()
    # One address plays them all here; its own rates would stop it first.
    floods = {"sources": {"failed_auth_rate": "off", "connection_rate": "off"}, "floods": {"enabled": True, "failures_floor": 1, "over": [2, 3, 4], "rise_after": "1s", "lockdown": "1m"}}
    gateway = await lab.gateway(back.url, {**KEYS, **floods}, route=required("header"))

    async def critical() -> bool:
        for _ in range(10):
            assert await refused(lab, gateway, "not.a.token") in (401, 403, 429, 503)
        _, _, text = await gateway.admin("/metrics")
        return "portcullis_flood_level 3" in text
    await until(critical, "the level is critical", 15)
    event = await gateway.event(type="flood_level")
    assert "times the usual" in event["detail"] and "failed handshakes" in event["detail"], event

    async def locked() -> bool:
        _, _, text = await gateway.admin("/api/security/lockdown")
        found = json.loads(text)["lockdown"]
        return bool(found) and found["automatic"] is True
    await until(locked, "the lockdown is in force", 3)
    ada = await lab.token("--subject", "ada")
    assert await refused(lab, gateway, ada) == 101, "who proves who they are comes in"
