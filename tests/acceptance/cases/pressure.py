"""Limits that slow instead of refusing, and what is held against callers over a restart (SPEC 6.3, 6.4, 7.1)."""

import json
import time

from harness import mmdb
from harness.clients import Refused
from harness.processes import until
from harness.raw import TEXT, frame
from harness.registry import case

from cases.identity import KEYS, required
from cases.provenance import ATTACK, PROXIED, SCORED


@case("a limit that delays passes every message in order, and its sender is not read meanwhile", needs=("node",))
async def delayed(lab):
    back = await lab.npm_echo()
    limits = {"limits": [{"name": "slow", "per": "connection", "rate": "40/s burst 5", "on_excess": "delay"}]}
    gateway = await lab.gateway(back.url, {"messages": {"inbound": limits}})
    client = await (await lab.npm()).open(gateway.url)
    began = time.monotonic()
    for number in range(45):
        await client.send(json.dumps({"n": number, "filler": "x" * 8000}))
    for number in range(45):
        assert json.loads(await client.receive())["n"] == number
    # A lower bound is no race: what came in one read passes together, the rest waits until that is paid.
    assert time.monotonic() - began > 0.3, "nothing was slowed"
    event = await gateway.event(type="message_delayed")
    assert "limit `slow`" in event["detail"] and event["decision"] == "observed", event
    assert await gateway.metric("portcullis_refusals_total", reason="message_rate") == 0
    assert await gateway.metric("portcullis_refusals_total", reason="message_delayed", decision="observed") >= 1


@case("a wait that a repeat offender earned, and the score of an attacker, go on after a restart", needs=("node",))
async def remembered(lab):
    back = await lab.npm_echo()
    inbound = {"limits": [{"name": "few", "per": "user", "rate": "1/h", "on_excess": "reply"}],
               "offenders": {"after": "2/1h", "waits": ["1h"], "forgive_after": "1h"}, "threats": {"mode": "block"}}
    config = {**KEYS, **PROXIED, "reputation": {**SCORED["reputation"], "ban": "off", "slow": "off"}, "messages": {"inbound": inbound}}
    gateway = await lab.gateway(back.url, config, route={"authenticate": "optional", "credentials": ["header"]})
    token = {"Authorization": f"Bearer {await lab.token('--subject', 'mallory')}"}
    client = await (await lab.npm()).open(gateway.url, headers=token)
    for _ in range(6):
        await client.send("{}")
    await gateway.event(type="offender_slowed")
    raw, _ = await lab.raw(gateway, headers={"X-Forwarded-For": "203.0.113.9"})
    await raw.send(frame(TEXT, ATTACK.encode()))
    await gateway.event(type="reputation_standing")
    state = gateway.folder / "state"
    await gateway.stop()
    assert (state / "memory.json").stat().st_mode & 0o077 == 0, "readable by its owner only"
    assert "mallory" not in (state / "memory.json").read_text(), "it names nobody"
    again = await lab.gateway(back.url, config, route={"authenticate": "optional", "credentials": ["header"]}, flags=["--state", state])
    client = await (await lab.npm()).open(again.url, headers=token)
    await client.send("{}")

    async def waits() -> bool:
        return await again.metric("portcullis_refusals_total", reason="offender_waits") >= 1

    await until(waits, "the wait goes on", 5)
    assert await again.metric("portcullis_scores_tracked") >= 1
    raw, _ = await lab.raw(again, headers={"X-Forwarded-For": "203.0.113.9"})
    await raw.send(frame(TEXT, ATTACK.encode()))

    async def two_attacks() -> bool:
        _, _, text = await again.admin("/api/security/reputation")
        return any(source["score"] > 15 for source in json.loads(text)["sources"])

    await until(two_attacks, "both attacks count together", 5)


@case("a user who comes from a new country with a new agent is noted, signs named; where the policy says so its credentials end with 4001 until it signs in again", needs=("node",), seconds=40)
async def unusual(lab):
    back = await lab.npm_echo()
    database = lab.folder / "countries.mmdb"
    database.write_bytes(mmdb.countries({"203.0.113.0/24": "DE", "198.51.100.0/24": "KP"}))
    config = {**KEYS, **PROXIED, "geo": {"countries_file": str(database)},
              "anomalies": {"action": "reauthenticate", "learn": 3, "threshold": 4}}
    gateway = await lab.gateway(back.url, config, route=required("header"))
    token = {"Authorization": f"Bearer {await lab.token('--subject', 'ada')}"}
    usual = {**token, "X-Forwarded-For": "203.0.113.9", "User-Agent": "phone"}
    for _ in range(5):
        client = await (await lab.npm()).open(gateway.url, headers=usual)
        await client.close(1000)
    client = await (await lab.npm()).open(gateway.url, headers={**usual, "X-Forwarded-For": "198.51.100.7", "User-Agent": "curl"})
    code, _ = await client.closed(5)
    assert code == 4001, code
    event = await gateway.event(type="anomaly")
    assert event["user"] == "ada" and event["detail"].startswith("new country KP, new agent: weight 4 of 4"), event
    _, _, text = await gateway.admin("/api/security/blocks")
    assert "unusual: new country KP" in text and '"ada"' in text, text

    async def signs_in_again() -> bool:
        again = {"Authorization": f"Bearer {await lab.token('--subject', 'ada')}", "X-Forwarded-For": "198.51.100.7", "User-Agent": "curl"}
        try:
            connection = await (await lab.npm()).open(gateway.url, headers=again)
        except Refused:
            return False
        await connection.send("here")
        return await connection.receive() == "here"

    await until(signs_in_again, "a new token is let in", 5)
    assert await gateway.metric("portcullis_profiles_tracked") == 1


@case("a user who sends far more than is usual for it is noted, with how many times", needs=("node",))
async def unusual_rate(lab):
    back = await lab.npm_echo()
    gateway = await lab.gateway(back.url, {**KEYS, "anomalies": {"action": "score", "learn": 3, "over": 10, "threshold": 3}}, route=required("header"))
    token = {"Authorization": f"Bearer {await lab.token('--subject', 'ada')}"}
    for count in (2, 2, 2, 2, 2, 60):
        client = await (await lab.npm()).open(gateway.url, headers=token)
        for _ in range(count):
            await client.send("hello")
            await client.receive()
        await client.close(1000)
    event = await gateway.event(type="anomaly")
    assert event["detail"].startswith("30 times this user's usual rate"), event


@case("a flood of failed handshakes from one country raises that country's level and no other's, with its name in event and metric", needs=("node",), seconds=40)
async def country_flood(lab):
    back = await lab.npm_echo()
    database = lab.folder / "countries.mmdb"
    database.write_bytes(mmdb.countries({"203.0.113.0/24": "DE", "198.51.100.0/24": "KP"}))
    config = {**KEYS, **PROXIED, "geo": {"countries_file": str(database)},
              "sources": {"failed_auth_rate": "off", "connection_rate": "off"}, "reputation": {"enabled": "off"},
              "floods": {"enabled": True, "failures_floor": 1, "over": [2, 3, 4], "rise_after": "1s", "fall_after": "10m"}}
    gateway = await lab.gateway(back.url, config, route=required("header"))
    ada = await lab.token("--subject", "ada")

    async def knock(address, text):
        try:
            await (await lab.python()).open(gateway.url, headers={"Authorization": f"Bearer {text}", "X-Forwarded-For": address})
        except Refused as error:
            return error.status
        return 101

    async def raised() -> bool:
        for host in range(10):
            assert await knock(f"198.51.100.{host}", "not.a.token") == 401
        return await gateway.metric("portcullis_flood_country_level", country="KP") == 3

    assert await knock("203.0.113.9", ada) == 101
    await until(raised, "the country's level is critical", 20)
    _, _, text = await gateway.admin("/metrics")
    assert 'flood_country_level{country="DE"}' not in text, text
    events = [event for event in await gateway.events("--type", "flood_level") if event["detail"].startswith("country KP: ")]
    assert events and dict(events[0]["metadata"])["country"] == "KP" and "failed handshakes" in events[0]["detail"], events
    assert await knock("203.0.113.9", ada) == 101


@case("what is usual for a user is known after a restart, types of messages among it; the file names nobody", needs=("node",), seconds=40)
async def usual_after_restart(lab):
    back = await lab.npm_echo()
    config = {**KEYS, "anomalies": {"action": "observe", "learn": 3, "over": 1000, "threshold": 2}}
    route = {**required("header"), "inbound": {"envelope": {"types": ["chat", "transfer"]}}}
    gateway = await lab.gateway(back.url, config, route=route)
    token = {"Authorization": f"Bearer {await lab.token('--subject', 'ada', '--ttl', '1h')}"}

    async def send(gateway, kind):
        client = await (await lab.npm()).open(gateway.url, headers=token)
        await client.send(json.dumps({"type": kind}))
        await client.receive()
        await client.close(1000)

    for _ in range(4):
        await send(gateway, "chat")
    state = gateway.folder / "state"
    await gateway.stop()
    assert (state / "profiles.json").stat().st_mode & 0o077 == 0, "readable by its owner only"
    assert "ada" not in (state / "profiles.json").read_text(), "it names nobody"
    again = await lab.gateway(back.url, config, route=route, flags=["--state", state])
    await until(lambda: known(again), "the profile is there", 5)
    await send(again, "chat")
    await send(again, "transfer")
    # The audit is in the state folder, which is the first one's.
    event = await gateway.event(type="anomaly")
    assert event["user"] == "ada" and event["detail"] == "a new type of message: weight 2 of 2", event
    assert len(await gateway.events("--type", "anomaly")) == 1


async def known(gateway) -> bool:
    return await gateway.metric("portcullis_profiles_tracked") == 1
