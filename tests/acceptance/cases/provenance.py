"""Where a client comes from: countries and networks by database, threat lists by file and URL (SPEC 2, 7.4)."""

import json

from harness import mmdb
from harness.processes import until
from harness.raw import TEXT, frame
from harness.registry import case

from cases.identity import KEYS, required

PROXIED = {"listen": {"trusted_proxies": ["127.0.0.0/8"], "client_address": "x_forwarded_for"}}


async def status(lab, gateway, address: str) -> int:
    raw, response = await lab.raw(gateway, headers={"X-Forwarded-For": address})
    return response.status


async def becomes(lab, gateway, address: str, wanted: int) -> None:
    async def it_is() -> bool:
        return await status(lab, gateway, address) == wanted

    await until(it_is, f"{address} is answered {wanted}", 6)


def facts(event: dict) -> dict:
    """The pairs of an event's metadata."""
    return dict(event["metadata"])


def replaced(path, content: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)


@case("a denied country and a denied network are refused before the backend is dialled, with event and metrics; the allow-list is exempt")
async def denied(lab):
    back = await lab.py_echo()
    files = lab.folder / "countries.mmdb", lab.folder / "networks.mmdb"
    files[0].write_bytes(mmdb.countries({"203.0.113.0/24": "KP", "198.51.100.0/24": "DE", "192.0.2.0/24": "KP"}))
    files[1].write_bytes(mmdb.networks({"198.51.100.128/25": 64496}))
    gateway = await lab.gateway(back.url, {**PROXIED, "sources": {"allow": ["192.0.2.7"]}, "geo": {
        "countries_file": str(files[0]), "networks_file": str(files[1]), "deny_countries": ["KP"], "deny_networks": ["AS64496"]}})
    assert await status(lab, gateway, "198.51.100.9") == 101
    assert await status(lab, gateway, "8.8.8.8") == 101, "an unknown address is not denied"
    assert await status(lab, gateway, "192.0.2.7") == 101, "the allow-list is exempt"
    count = len(await back.seen(3))
    assert await status(lab, gateway, "203.0.113.9") == 403
    assert await status(lab, gateway, "198.51.100.200") == 403
    assert len(back.requests) == count, "a refused client was dialled for"
    event = await gateway.event(type="country_refused")
    assert facts(event)["country"] == "KP" and event["source_ip"] == "203.0.113.9", event
    event = await gateway.event(type="network_refused")
    assert facts(event) == {"country": "DE", "network": "AS64496"}, event
    assert await gateway.metric("portcullis_country_attempts_total", country="KP") == 2
    assert await gateway.metric("portcullis_country_attempts_total", country="unknown") == 1
    assert await gateway.metric("portcullis_refusals_total", reason="country_refused") == 1
    assert await gateway.metric("portcullis_feed_networks", feed="countries") == 3


@case("a database that changes is in force without a restart; a damaged one leaves the old one in force and says so")
async def swapped(lab):
    back = await lab.py_echo()
    file = lab.folder / "countries.mmdb"
    file.write_bytes(mmdb.countries({"203.0.113.0/24": "DE"}))
    gateway = await lab.gateway(back.url, {**PROXIED, "geo": {"countries_file": str(file), "refresh": "1s", "allow_countries": ["DE"]}})
    assert await status(lab, gateway, "203.0.113.9") == 101
    assert await status(lab, gateway, "198.51.100.9") == 403, "where only some may come, the unknown may not"
    replaced(file, mmdb.countries({"203.0.113.0/24": "FR", "198.51.100.0/24": "DE"}))
    await becomes(lab, gateway, "198.51.100.9", 101)
    assert await status(lab, gateway, "203.0.113.9") == 403
    whole = mmdb.countries({"203.0.113.0/24": "DE", "198.51.100.0/24": "FR"})
    replaced(file, whole[: len(whole) // 2])
    event = await gateway.event(type="feed_failed")
    assert "countries_file" in event["detail"] and "in MaxMind's format" in event["detail"], event
    assert await status(lab, gateway, "198.51.100.9") == 101, "the old one stays"
    assert await gateway.metric("portcullis_feed_sound", feed="countries") == 0
    replaced(file, whole)
    await becomes(lab, gateway, "203.0.113.9", 101)
    assert await gateway.metric("portcullis_feed_sound", feed="countries") == 1


@case("a gateway with a damaged database does not start, and names key and file")
async def damaged(lab):
    file = lab.folder / "countries.mmdb"
    file.write_bytes(b"no database")
    try:
        await lab.gateway("ws://127.0.0.1:9", {"geo": {"countries_file": str(file)}})
    except AssertionError as error:
        assert "geo.countries_file" in str(error) and str(file) in str(error), error
        return
    raise AssertionError("it started")


@case("a threat list in a file refuses who is on it, is swapped when it changes, and stays when it is broken")
async def listed(lab):
    back = await lab.py_echo()
    file = lab.folder / "drop.txt"
    file.write_text("; a list\n203.0.113.0/24 ; SBL1\nnonsense\n192.0.2.1\n")
    watched = lab.folder / "watch.netset"
    watched.write_text("# a netset\n198.51.100.0/24\n")
    gateway = await lab.gateway(back.url, {**PROXIED, "threat_lists": [
        {"name": "drop", "file": str(file), "refresh": "1s"}, {"name": "watch", "file": str(watched), "action": "observe"}]})
    assert await status(lab, gateway, "203.0.113.9") == 403
    event = await gateway.event(type="threat_listed", decision="refused")
    assert facts(event)["threat_list"] == "drop", event
    assert await status(lab, gateway, "198.51.100.9") == 101
    event = await gateway.event(type="threat_listed", decision="observed")
    assert facts(event)["threat_list"] == "watch", event
    event = await gateway.event(type="feed_loaded")
    loaded = [event["detail"] for event in await gateway.events("--type", "feed_loaded")]
    assert any("`drop`" in words and "2 networks" in words and "1 broken lines" in words for words in loaded), loaded
    replaced(file, b"192.0.2.0/24\n203.0.114.0/24\n203.0.115.0/24\n")
    await becomes(lab, gateway, "203.0.113.9", 101)
    assert await status(lab, gateway, "192.0.2.99") == 403
    replaced(file, b"<html><body>404</body></html>\n")
    await gateway.event(type="feed_failed")
    assert await status(lab, gateway, "192.0.2.99") == 403, "the old one stays"
    assert await gateway.metric("portcullis_feed_sound", kind="threat_list", feed="drop") == 0
    assert await gateway.metric("portcullis_feed_networks", kind="threat_list", feed="drop") == 3


@case("a threat list from a URL is fetched, kept for a restart, and a huge or failing answer leaves it in force")
async def fetched(lab):
    answer = {"body": json.dumps({"cidr": "203.0.113.0/24", "sblid": "SBL1"}) + "\n", "status": "200 OK"}

    async def serve(_, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        body = answer["body"].encode()
        writer.write(f"HTTP/1.1 {answer['status']}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    lists = await lab.tcp(serve)
    back = await lab.py_echo()
    config = {**PROXIED, "threat_lists": [{"name": "drop", "url": f"http://127.0.0.1:{lists.port}/drop.json", "refresh": "1s", "bytes_max": "1KiB"}]}
    gateway = await lab.gateway(back.url, config)
    await becomes(lab, gateway, "203.0.113.9", 403)
    answer["body"] = "192.0.2.1\n" * 1000
    event = await gateway.event(type="feed_failed")
    assert "`drop`" in event["detail"], event
    assert await status(lab, gateway, "203.0.113.9") == 403, "a huge one leaves the old one"
    answer["body"], answer["status"] = "gone", "503 Service Unavailable"
    state = gateway.folder / "state"
    await gateway.stop()
    again = await lab.gateway(back.url, config, flags=["--state", state])
    assert await status(lab, again, "203.0.113.9") == 403, "the kept copy is in force at once"
    answer["body"], answer["status"] = "198.51.100.0/24\n", "200 OK"
    await becomes(lab, again, "198.51.100.9", 403)
    await becomes(lab, again, "203.0.113.9", 101)


SCORED = {"reputation": {"half_life": "10m", "suspicious": 10, "slow": 15, "ban": 20, "ban_for": "1h", "delay": "300ms",
                         "points": {"threat": 10}},
          "messages": {"inbound": {"threats": {"mode": "block"}}}}
ATTACK = json.dumps({"type": "chat", "text": "1' OR '1'='1' UNION SELECT password FROM users --"})


@case("attacks earn an anonymous address suspicion, then a ban: its connections close, it is refused, and the list says which facts; unban forgives")
async def scored(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {**PROXIED, **SCORED})
    one, response = await lab.raw(gateway, headers={"X-Forwarded-For": "203.0.113.9"})
    two, response = await lab.raw(gateway, headers={"X-Forwarded-For": "203.0.113.10"})
    await one.send(frame(TEXT, ATTACK.encode()))
    event = await gateway.event(type="reputation_standing")
    assert facts(event)["standing"] == "suspicious" and "score 10 of 10: attacks 10" in event["detail"], event
    await one.send(frame(TEXT, ATTACK.encode()))
    event = await gateway.event(type="reputation_ban")
    assert event["source_ip"] == "203.0.113.9" and "attacks 20" in event["detail"], event
    await becomes(lab, gateway, "203.0.113.9", 403)
    assert await status(lab, gateway, "203.0.113.10") == 101, "its neighbour is let in"
    await gateway.event(type="source_banned", decision="closed")
    state = ["--state", gateway.folder / "state"]
    _, out, _ = await gateway.cli("bans", *state)
    assert "203.0.113.9" in out and "score 20 of 20: attacks 20" in out, out
    _, _, text = await gateway.admin("/api/security/reputation")
    source = json.loads(text)["sources"][0]
    assert source["value"] == "203.0.113.9" and source["standing"] == "banned" and source["facts"][0][0] == "threat", text
    assert await gateway.metric("portcullis_reputation_sources", standing="banned") == 1
    await gateway.cli("unban", "203.0.113.9", *state)
    await becomes(lab, gateway, "203.0.113.9", 101)
    _, _, text = await gateway.admin("/api/security/reputation")
    assert json.loads(text)["sources"] == [], "it is forgiven"


@case("an attacker with a token earns a ban of its user, wherever it comes from, and its address stays welcome")
async def scored_user(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {**KEYS, **PROXIED, **SCORED}, route=required("header"))
    mallory = {"Authorization": f"Bearer {await lab.token('--subject', 'mallory')}"}
    ada = {"Authorization": f"Bearer {await lab.token('--subject', 'ada')}"}
    raw, _ = await lab.raw(gateway, headers={"X-Forwarded-For": "203.0.113.9", **mallory})
    for _ in range(2):
        await raw.send(frame(TEXT, ATTACK.encode()))
    event = await gateway.event(type="reputation_ban")
    assert event["user"] == "mallory", event

    async def answered(headers, wanted):
        async def it_is() -> bool:
            return (await lab.raw(gateway, headers=headers))[1].status == wanted

        await until(it_is, f"answered {wanted}", 5)

    await answered({"X-Forwarded-For": "198.51.100.1", **mallory}, 403)
    await answered({"X-Forwarded-For": "203.0.113.9", **ada}, 101)


@case("repeated attempts of one address wait, each twice as long as the last; other addresses do not")
async def delayed(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {**PROXIED, "sources": {"attempt_delay": {"after": "2/min", "first": "20ms", "max": "70ms"}}})
    for _ in range(6):
        assert await status(lab, gateway, "203.0.113.9") == 101
    assert await status(lab, gateway, "203.0.113.10") == 101

    async def all_four():
        found = await gateway.events("--type", "connection_delayed")
        return found if len(found) >= 4 else None

    events = await until(all_four, "four events")
    assert sorted(event["detail"] for event in events) == ["20 ms", "40 ms", "70 ms", "70 ms"], events
    assert {event["source_ip"] for event in events} == {"203.0.113.9"}, events
    assert await gateway.metric("portcullis_refusals_total", reason="connection_delayed") == 4
