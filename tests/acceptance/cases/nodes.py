"""Several gateways that act as one through Redis (SPEC 3.11, 6.6, 7.1, 14)."""

import asyncio
import json
import re
import signal
import time

from harness.clients import Refused
from harness.gateway import merged
from harness.processes import run, until
from harness.raw import TEXT, frame
from harness.redis import ACCOUNT, free_port
from harness.registry import case

from cases.certificates import Authority
from cases.control import claims_of
from cases.identity import KEYS, required
from cases.provenance import ATTACK, PROXIED, SCORED, becomes
from cases.provenance import status as status_of
from cases.tickets import ticket

NEEDS = ("node", "redis-server")


async def nodes(lab, count=3, config=None, route=None, redis=None):
    """A Redis, an echo server, and so many gateways that have met."""
    redis = redis or await lab.redis()
    back = await lab.npm_echo()
    config = merged({**KEYS, "shared_state": {"url": redis.url}}, config or {})
    route = {**required("header"), **(route or {})}
    gateways = [await lab.gateway(back.url, config, route=route) for _ in range(count)]
    for gateway in gateways:
        await met(gateway)
    return redis, gateways


async def up(gateway) -> bool:
    return await gateway.metric("portcullis_shared_state_up") == 1


async def met(gateway):
    await until(lambda: up(gateway), "the gateway has met Redis", 10)


async def alone(gateway):
    async def down() -> bool:
        return not await up(gateway)
    await until(down, "the gateway has noticed that Redis is gone", 10)


async def opened(lab, gateway, token):
    return await (await lab.npm()).open(gateway.url + "/", headers={"Authorization": f"Bearer {token}"})


async def status(lab, gateway, token) -> int:
    try:
        connection = await (await lab.python()).open(gateway.url + "/", headers={"Authorization": f"Bearer {token}"})
    except Refused as error:
        return error.status
    await connection.close(1000)
    return 101


async def closed_within_a_second(connections, code):
    began = time.monotonic()
    for connection in connections:
        found, _ = await connection.closed(5)
        assert found == code, f"closed with {found}"
    took = time.monotonic() - began
    assert took < 1, f"{took:.2f} s after the command"


async def cli(gateway, *arguments):
    return await gateway.cli(*arguments, "--state", gateway.folder / "state")


async def post(gateway, path, method="POST", **body):
    answer = await gateway.admin(path, method, json.dumps(body), {"Content-Type": "application/json"})
    assert answer[0] < 300, answer
    return answer


@case("a user banned on one node is closed on all three within a second and refused there; unban on another lifts it everywhere", needs=NEEDS, seconds=40)
async def ban_everywhere(lab):
    _, gateways = await nodes(lab)
    mallory, ada = await lab.token("--subject", "mallory"), await lab.token("--subject", "ada")
    bad = [await opened(lab, gateway, mallory) for gateway in gateways]
    good = [await opened(lab, gateway, ada) for gateway in gateways]
    await cli(gateways[0], "ban", "--user", "mallory", "--for", "1h", "--reason", "spam")
    await closed_within_a_second(bad, 4003)
    for gateway in gateways:
        assert await status(lab, gateway, mallory) == 403
        event = await gateway.event(type="admin_action", check="blocklist")
        assert "mallory" in str(event) and "spam" in str(event), event
    for connection in good:
        await connection.send("still here")
        assert await connection.receive() == "still here"
    await cli(gateways[2], "unban", "--user", "mallory")
    for gateway in gateways:
        await until(lambda gateway=gateway: admits(lab, gateway, mallory), "mallory is let in again", 3)


async def admits(lab, gateway, token) -> bool:
    return await status(lab, gateway, token) == 101


async def refuses(lab, gateway, token) -> bool:
    return not await admits(lab, gateway, token)


@case("a token, a session and an API key revoked on one node close within a second on the others", needs=NEEDS, seconds=40)
async def revoke_everywhere(lab):
    _, gateways = await nodes(lab)
    by_id = await lab.token("--subject", "ada")
    by_session = await lab.token("--subject", "bob", "--claim", "sid=s-17")
    _, out, _ = await cli(gateways[0], "key", "create", "--subject", "svc", "--json")
    made = json.loads(out)
    text, name = made["secret"], made["key"]["id"]
    for gateway in gateways:
        await until(lambda gateway=gateway: admits(lab, gateway, text), "the API key is known on every node", 3)
    first = [await opened(lab, gateway, by_id) for gateway in gateways]
    second = [await opened(lab, gateway, by_session) for gateway in gateways]
    third = [await opened(lab, gateway, text) for gateway in gateways]
    await cli(gateways[1], "revoke", "--token-id", claims_of(by_id)["jti"])
    await closed_within_a_second(first, 4001)
    await cli(gateways[2], "revoke", "--session", "s-17")
    await closed_within_a_second(second, 4001)
    await cli(gateways[0], "key", "revoke", name)
    await closed_within_a_second(third, 4001)


@case("a lockdown ordered on one node shuts anonymous callers out of all within a second, and its end lets them in", needs=NEEDS, seconds=40)
async def lockdown_everywhere(lab):
    _, gateways = await nodes(lab, route={"authenticate": "optional"})
    users = [await (await lab.npm()).open(gateway.url + "/") for gateway in gateways]
    await post(gateways[0], "/api/security/lockdown", "PUT", **{"for": "5m", "reason": "drill"})
    await closed_within_a_second(users, 1013)
    await gateways[1].admin("/api/security/lockdown", "DELETE")

    async def open_again(gateway):
        return await gateway.metric("portcullis_lockdown") == 0

    for gateway in gateways:
        await until(lambda gateway=gateway: open_again(gateway), "the lockdown has ended", 3)


@case("a Redis that comes back empty is filled again from the nodes, and nothing is lost", needs=NEEDS, seconds=60)
async def filled_again(lab):
    redis, gateways = await nodes(lab)
    eve, mallory = await lab.token("--subject", "eve"), await lab.token("--subject", "mallory")
    await cli(gateways[0], "ban", "--user", "mallory", "--for", "1h")
    await cli(gateways[0], "ban", "--user", "lifted", "--for", "1h")
    for gateway in gateways:
        await until(lambda gateway=gateway: refuses(lab, gateway, mallory), "mallory is refused", 3)
    await redis.kill()
    for gateway in gateways:
        await alone(gateway)
        await gateway.event(type="shared_state_lost")
    # Said while they are apart.
    await cli(gateways[1], "ban", "--user", "eve", "--for", "1h")
    await cli(gateways[2], "unban", "--user", "lifted")
    await until(lambda: refuses(lab, gateways[1], eve), "eve is refused where she was banned", 3)
    assert await status(lab, gateways[0], mallory) == 403, "a node alone holds what it knows"
    await redis.begin()
    lifted = await lab.token("--subject", "lifted")
    for gateway in gateways:
        await met(gateway)
        await until(lambda gateway=gateway: refuses(lab, gateway, eve), "eve is refused everywhere", 3)
        await until(lambda gateway=gateway: admits(lab, gateway, lifted), "who was lifted is let in everywhere", 3)
        assert await status(lab, gateway, mallory) == 403
        await gateway.event(type="shared_state_joined")
    # A node that never met the others hears of it all.
    back = await lab.npm_echo()
    late = await lab.gateway(back.url, {**KEYS, "shared_state": {"url": redis.url}}, route=required("header"))
    await met(late)
    await until(lambda: refuses(lab, late, eve), "the new node knows", 3)


@case("a Redis that forgets everything while connected is filled again", needs=NEEDS, seconds=40)
async def flushed(lab):
    redis, gateways = await nodes(lab, 2)
    mallory = await lab.token("--subject", "mallory")
    await cli(gateways[0], "ban", "--user", "mallory", "--for", "1h")
    await until(lambda: refuses(lab, gateways[1], mallory), "mallory is refused", 3)
    assert await redis.ask("FLUSHALL") == b"+OK"

    async def refilled():
        return await redis.ask("HEXISTS", "{portcullis:lists}:entries", "block:user:mallory") == b":1"

    await until(refilled, "the ban is in Redis again", 3)
    await cli(gateways[1], "unban", "--user", "mallory")
    await until(lambda: admits(lab, gateways[0], mallory), "and is lifted through it", 3)


@case("a gateway starts without its Redis, says so, and its password is in no log and no answer", needs=NEEDS, seconds=40)
async def without(lab):
    redis = await lab.redis("--requirepass", "hunter2-hunter2-hunter2-hunter2-hunter2")
    port = redis.port
    await redis.kill()
    back = await lab.npm_echo()
    url = f"redis://:hunter2-hunter2-hunter2-hunter2-hunter2@127.0.0.1:{port}"
    gateway = await lab.gateway(back.url, KEYS, route=required("header"), env={"REDIS_URL": url})
    token = await lab.token("--subject", "ada")
    assert await status(lab, gateway, token) == 101
    event = await gateway.event(type="shared_state_lost")
    _, _, health = await gateway.admin("/api/security/health")
    assert [one for one in json.loads(health)["checks"] if one["name"] == "shared_state" and not one["ok"]], health
    await redis.begin()
    await met(gateway)
    said = "\n".join(gateway.child.lines) + str(event) + str(await gateway.events())
    assert "hunter2" not in said and f"127.0.0.1:{port}" in said, said


@case("portcullis doctor says which server answers, warns of one that forgets, and fails for one that is not there", needs=("redis-server",))
async def doctor(lab):
    redis = await lab.redis()
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, {"shared_state": {"url": redis.url}})
    file = ["--config", gateway.folder / "portcullis.yaml"]
    _, out, _ = await gateway.cli("doctor", *file)
    assert re.search(rf"shared_state {redis.url}: (Redis|Valkey) \d+\.\d+", out), out
    await redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    code, out, _ = await gateway.cli("doctor", *file, ok=False)
    assert code == 1 and "noeviction" in out, (code, out)
    await redis.kill()
    code, out, _ = await gateway.cli("doctor", *file, ok=False)
    assert code == 1 and "FAILED" in out, (code, out)
    code, _, _ = await gateway.cli("check", gateway.folder / "portcullis.yaml")
    assert code == 0, "check fetches nothing"


# Admission, counted together

OPEN = {"authenticate": "off"}


async def knock(lab, gateway) -> int:
    """The status of one anonymous attempt."""
    try:
        connection = await (await lab.python()).open(gateway.url + "/")
    except Refused as error:
        return error.status
    await connection.close(1000)
    return 101


@case("a connection rate of one address is exact over three nodes: twelve of thirty-six attempts come in", needs=NEEDS, seconds=60)
async def rate_everywhere(lab):
    redis, gateways = await nodes(lab, config={"sources": {"connection_rate": "12/h"}}, route=OPEN)
    statuses = []
    for _ in range(12):
        statuses += await asyncio.gather(*(knock(lab, gateway) for gateway in gateways))
    assert statuses.count(101) == 12 and statuses.count(429) == 24, statuses
    answered = sum([await gateway.metric("portcullis_shared_state_questions_total", outcome="answered") for gateway in gateways])
    assert answered >= 12, answered
    # What is counted has an end; only the lists stay.
    for key in await redis.keys():
        if ":lists}" not in key:
            assert int((await redis.ask("PTTL", key))[1:]) > 0, key


@case("failed authentications on three nodes bring one ban, in force on all; an unban on one lifts it everywhere", needs=NEEDS, seconds=60)
async def failures_everywhere(lab):
    _, gateways = await nodes(lab, config={"sources": {"failed_auth_rate": "6/h", "ban_duration": "10m"}})
    for _ in range(2):
        for gateway in gateways:
            assert await status(lab, gateway, "no.such.token") == 401
    token = await lab.token("--subject", "ada")
    for gateway in gateways:
        assert await status(lab, gateway, token) == 403
    # It lasts on a node alone too: bans that were earned travel with the lists.
    for gateway in gateways:
        async def listed(gateway=gateway):
            return "127.0.0.1" in (await gateway.admin("/api/security/blocks"))[2]
        await until(listed, "the earned ban is on the list", 5)
    await cli(gateways[1], "unban", "127.0.0.1")
    for gateway in gateways:
        await until(lambda gateway=gateway: admits(lab, gateway, token), "the address is let in again", 3)


@case("connections of a user are counted over three nodes, given back when they close, and freed when their node dies", needs=NEEDS, seconds=60)
async def users_everywhere(lab):
    _, gateways = await nodes(lab, config={"shared_state": {"lease": "3s"}}, route={"connections_per_user_max": 3})
    token, other = await lab.token("--subject", "ada"), await lab.token("--subject", "bob")
    held = [await opened(lab, gateway, token) for gateway in gateways]
    for gateway in gateways:
        assert await status(lab, gateway, token) == 429
        assert await status(lab, gateway, other) == 101
    await held[0].close(1000)
    await until(lambda: admits(lab, gateways[2], token), "the place that was given back is taken elsewhere", 3)
    again = await opened(lab, gateways[2], token)
    assert await status(lab, gateways[0], token) == 429
    # Longer than a lease: what lives is renewed.
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > 4, "a lease and more", 6)
    assert await status(lab, gateways[0], token) == 429
    gateways[1].child.signal(signal.SIGKILL)
    died = time.monotonic()
    await until(lambda: admits(lab, gateways[0], token), "the dead node's connection is counted no more", 8)
    took = time.monotonic() - died
    assert took < 3 + 1.5, f"{took:.1f} s for a lease of 3 s"
    await again.send("still here")
    assert await again.receive() == "still here"


@case("without Redis each node counts alone and admits at once; when it is back the connections count together again", needs=NEEDS, seconds=60)
async def counts_alone(lab):
    redis, gateways = await nodes(lab, 2, route={"connections_per_user_max": 2})
    token = await lab.token("--subject", "ada")
    held = [await opened(lab, gateway, token) for gateway in gateways]
    assert await status(lab, gateways[0], token) == 429
    await redis.kill()
    for gateway in gateways:
        await alone(gateway)
    held.append(await opened(lab, gateways[0], token))
    assert await status(lab, gateways[0], token) == 429, "its own count holds"
    await redis.begin()
    for gateway in gateways:
        await met(gateway)

    async def counted() -> bool:
        return await refuses(lab, gateways[1], token)

    await until(counted, "what was let in meanwhile counts", 3)
    await held[0].close(1000)
    await held[2].close(1000)
    await until(lambda: admits(lab, gateways[1], token), "and is given back", 3)


@case("a Redis that hangs holds up no message and each admission at most its timeout, and nobody waits twice", needs=NEEDS, seconds=60)
async def hung(lab):
    redis, gateways = await nodes(lab, 1, config={"sources": {"connection_rate": "100000/h"}, "shared_state": {"timeout": "1s"}}, route=OPEN)
    gateway = gateways[0]
    connection = await (await lab.npm()).open(gateway.url + "/")
    redis.hang()
    took = []
    for number in range(30):
        began = time.monotonic()
        await connection.send(f"while it hangs {number}")
        assert await connection.receive() == f"while it hangs {number}"
        between = time.monotonic()
        assert await knock(lab, gateway) == 101
        took.append((between - began, time.monotonic() - between))
    messages, admissions = [one for one, _ in took], [one for _, one in took]
    assert max(messages) < 0.9, f"a message waited: {max(messages):.3f} s"
    waited = [one for one in admissions if one >= 1]
    assert len(waited) <= 3, f"{len(waited)} of 30 waited: {admissions}"
    assert max(admissions) < 1.9, f"an admission waited twice: {admissions}"
    await alone(gateway)
    event = await gateway.event(type="shared_state_lost")
    assert "no answer within" in event["detail"], event
    redis.go_on()
    await met(gateway)
    assert await knock(lab, gateway) == 101


class Traffic:
    """On every gateway one connection that talks and one client that comes and goes; neither may ever fail."""

    def __init__(self, lab, gateways):
        self.lab, self.gateways = lab, gateways
        self.over, self.counts = asyncio.Event(), {"messages": 0, "connections": 0}
        self.tasks = [asyncio.create_task(work(gateway)) for gateway in gateways for work in (self.talk, self.come_and_go)]
        lab.ending(self)

    async def stop(self):
        """A case that failed leaves nothing running."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def talk(self, gateway):
        connection = await (await self.lab.npm()).open(gateway.url + "/")
        while not self.over.is_set():
            self.counts["messages"] += 1
            text = f"m{self.counts['messages']}"
            await connection.send(text)
            assert await connection.receive() == text
        await connection.close(1000)

    async def come_and_go(self, gateway):
        while not self.over.is_set():
            assert await knock(self.lab, gateway) == 101
            self.counts["connections"] += 1

    async def goes_on(self):
        before = dict(self.counts)

        def more() -> bool:
            return all(self.counts[one] > before[one] + 20 for one in self.counts)

        await until(more, f"traffic goes on after {before}", 20)
        assert not [task for task in self.tasks if task.done()], [task.exception() for task in self.tasks if task.done()]

    async def end(self):
        self.over.set()
        await asyncio.gather(*self.tasks)
        for gateway in self.gateways:
            assert gateway.child.process.returncode is None
            assert not [line for line in gateway.child.lines if "panicked" in line]


@case("Redis killed, hung and restarted empty under traffic: no message is lost, no gateway ends, and they act as one again", needs=NEEDS, seconds=90)
async def under_traffic(lab):
    redis, gateways = await nodes(lab, config={"sources": {"connection_rate": "100000/h"}}, route=OPEN)
    traffic = Traffic(lab, gateways)
    goes_on = traffic.goes_on

    await goes_on()
    await redis.kill()
    for gateway in gateways:
        await alone(gateway)
    await goes_on()
    await redis.begin()
    for gateway in gateways:
        await met(gateway)
    await goes_on()
    redis.hang()
    for gateway in gateways:
        await alone(gateway)
    await goes_on()
    redis.go_on()
    for gateway in gateways:
        await met(gateway)
    await goes_on()
    await traffic.end()


# Messages, counted together in the background


@case("a message rate of one user holds over three nodes within the documented overshoot, and messages wait for nobody", needs=NEEDS, seconds=60)
async def messages_everywhere(lab):
    rate, burst, exchange = 40, 40, 0.1
    limits = {"inbound": {"limits": [{"per": "user", "rate": f"{rate}/s burst {burst}", "on_excess": "drop"}]}}
    _, gateways = await nodes(lab, config={"shared_state": {"exchange_interval": "100ms"}}, route=limits)
    token, other = await lab.token("--subject", "ada"), await lab.token("--subject", "bob")
    connections = [await opened(lab, gateway, token) for gateway in gateways]
    echoed, sent = 0, 0
    began = time.monotonic()

    async def talk(connection):
        nonlocal sent
        while time.monotonic() - began < 5:
            await connection.send("m")
            sent += 1

    async def hear(connection):
        nonlocal echoed
        while True:
            await connection.receive()
            echoed += 1

    hearing = [asyncio.create_task(hear(connection)) for connection in connections]
    await asyncio.gather(*(talk(connection) for connection in connections))
    took = time.monotonic() - began
    # What was let through is here once the counters say so.
    async def all_here():
        dropped = sum([await gateway.metric("portcullis_refusals_total", reason="message_rate", decision="dropped") for gateway in gateways])
        return echoed + dropped >= sent
    await until(all_here, "every message is echoed or dropped", 20)
    for one in hearing:
        one.cancel()
    # A clock of ours and a busy machine: an exchange may be a little late.
    bound = burst + rate * took + 2 * (burst + rate * (exchange + 0.4))
    assert sent > 3 * (burst + rate * took), f"only {sent} were sent"
    assert echoed <= bound, f"{echoed} of {sent} in {took:.1f} s, at most {bound:.0f}"
    assert echoed >= rate * took * 0.8, f"only {echoed} of {sent} in {took:.1f} s"
    quiet = await opened(lab, gateways[0], other)
    await quiet.send("mine is another count")
    assert await quiet.receive() == "mine is another count"


@case("a cluster of six: a master killed under traffic costs no message and no connection; its replica takes over, and no ban is lost", needs=(*NEEDS, "redis-cli"), seconds=120)
async def cluster(lab):
    redis = await lab.redis_cluster()
    _, gateways = await nodes(lab, redis=redis, config={"sources": {"connection_rate": "100000/h"}}, route=OPEN)
    await cli(gateways[0], "ban", "203.0.113.9", "--for", "1h")

    for gateway in gateways:
        await until(lambda gateway=gateway: listed(gateway, "203.0.113.9"), "the ban has spread", 3)
    traffic = Traffic(lab, gateways)
    await traffic.goes_on()
    master = await redis.master_of("{portcullis:lists}:entries")
    await master.kill()
    for gateway in gateways:
        await alone(gateway)
    await traffic.goes_on()
    await cli(gateways[1], "ban", "203.0.113.10", "--for", "1h")
    for gateway in gateways:
        await until(lambda gateway=gateway: up(gateway), "the replica has taken over", 30)
    await traffic.goes_on()
    for gateway in gateways:
        for address in ("203.0.113.9", "203.0.113.10"):
            await until(lambda gateway=gateway, address=address: listed(gateway, address), f"{address} is banned", 5)
    await traffic.end()


@case("three Sentinels: a master killed under traffic costs no message and no connection; its replica is found through them, passwords hold, and no ban is lost", needs=(*NEEDS, "redis-cli"), seconds=120)
async def sentinels(lab):
    redis = await lab.redis_watched()
    shared = {"shared_state": {"sentinel_master": redis.NAME, "sentinel_password": redis.OWN_PASSWORD}, "sources": {"connection_rate": "100000/h"}}
    _, gateways = await nodes(lab, redis=redis, config=shared, route=OPEN)
    await cli(gateways[0], "ban", "203.0.113.9", "--for", "1h")
    for gateway in gateways:
        await until(lambda gateway=gateway: listed(gateway, "203.0.113.9"), "the ban has spread", 3)
    traffic = Traffic(lab, gateways)
    await traffic.goes_on()
    master = await redis.master()
    await master.kill()
    for gateway in gateways:
        await alone(gateway)
    await traffic.goes_on()
    await cli(gateways[1], "ban", "203.0.113.10", "--for", "1h")
    for gateway in gateways:
        await until(lambda gateway=gateway: up(gateway), "the replica has taken over", 30)
    assert (await redis.master()).port != master.port
    await traffic.goes_on()
    for gateway in gateways:
        for address in ("203.0.113.9", "203.0.113.10"):
            await until(lambda gateway=gateway, address=address: listed(gateway, address), f"{address} is banned", 5)
    # The old master is back, as a replica: nobody writes to it.
    await master.begin()
    await traffic.goes_on()
    code, out, _ = await gateways[0].cli("doctor", "--config", gateways[0].folder / "portcullis.yaml", ok=False)
    assert re.search(r"shared_state \S+: (Redis|Valkey) \d", out), (code, out)
    await traffic.end()
    said = "\n".join(line for gateway in gateways for line in gateway.child.lines)
    assert redis.OWN not in said and redis.OWN_PASSWORD not in said


@case("Redis with TLS and an account of its own: met through its own authority, refused through another, and only the gateway's keys are open to it", needs=(*NEEDS, "redis-cli", "openssl"), seconds=60)
async def encrypted(lab):
    authority, other = Authority(lab.folder, "redis authority"), Authority(lab.folder, "other authority")
    certificate, key = authority.issue("redis", "/CN=127.0.0.1", alternative="IP:127.0.0.1", purpose="serverAuth")
    port = free_port()
    redis = await lab.redis("--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key,
                            "--tls-ca-cert-file", authority.pem, "--tls-auth-clients", "no",
                            "--user", "gate", "on", ">gate/gate+gate", "~{portcullis:*", *ACCOUNT)
    url = f"rediss://gate:gate%2Fgate%2Bgate@127.0.0.1:{port}"
    shared = {"shared_state": {"url": url, "ca_file": str(authority.pem)}}
    _, gateways = await nodes(lab, 2, redis=redis, config=merged(shared, {"sources": {"connection_rate": "12/h"}}), route=OPEN)
    assert [await knock(lab, gateway) for gateway in gateways] == [101, 101]
    await cli(gateways[0], "ban", "--user", "mallory", "--for", "1h")
    await until(lambda: listed(gateways[1], "mallory"), "the ban has spread", 3)
    _, clients, _ = await run("redis-cli", "-p", redis.port, "client", "list")
    assert sum("user=gate" in line for line in clients.splitlines()) >= 2, clients
    _, denied, _ = await run("redis-cli", "-p", redis.port, "acl", "log")
    assert "gate" not in denied, f"the gateway asked for what it may not: {denied}"
    code, out, _ = await gateways[0].cli("doctor", "--config", gateways[0].folder / "portcullis.yaml", ok=False)
    assert re.search(r"shared_state rediss://127.0.0.1:\d+: (Redis|Valkey) \d", out), (code, out)
    back = await lab.npm_echo()
    stranger = await lab.gateway(back.url, merged(KEYS, merged(shared, {"shared_state": {"ca_file": str(other.pem)}})), route=required("header"))
    event = await stranger.event(type="shared_state_lost")
    assert "certificate" in event["detail"], event
    assert not await up(stranger)
    said = "\n".join(line for gateway in (*gateways, stranger) for line in gateway.child.lines)
    assert "gate%2F" not in said and "gate/gate" not in said


@case("a one-time ticket fetched from one node opens one connection on another, once; without Redis its own node takes it", needs=NEEDS, seconds=40)
async def tickets_everywhere(lab):
    redis = await lab.redis()
    back = await lab.npm_echo()
    identity = {**KEYS["identity"], "tickets": {"path": "/auth/ticket", "ttl": "30s"}}
    config = {"identity": identity, "shared_state": {"url": redis.url}}
    gateways = [await lab.gateway(back.url, config, route=required("header", "query")) for _ in range(3)]
    for gateway in gateways:
        await met(gateway)
    token = await lab.token("--subject", "ada")

    async def use(gateway, text) -> int:
        try:
            connection = await (await lab.python()).open(gateway.url + "/?token=" + text)
        except Refused as error:
            return error.status
        await connection.close(1000)
        return 101

    text = await ticket(gateways[0], "/", token)
    assert await use(gateways[1], text) == 101
    for gateway in gateways:
        assert await use(gateway, text) == 401
    text = await ticket(gateways[2], "/", token)
    assert sorted(await asyncio.gather(*(use(gateway, text) for gateway in gateways))) == [101, 401, 401]
    assert text not in str(await redis.keys())
    await redis.kill()
    for gateway in gateways:
        await alone(gateway)
    text = await ticket(gateways[0], "/", token)
    assert await use(gateways[1], text) == 401
    assert await use(gateways[0], text) == 101
    assert await use(gateways[0], text) == 401


# Scores, waits and flood levels, exchanged in the background


async def listed(gateway, text) -> bool:
    return text in (await gateway.admin("/api/security/blocks"))[2]


@case("an attacker who spreads over three nodes is banned by the sum of them, on all; its neighbour is not, and an unban forgives everywhere", needs=NEEDS, seconds=60)
async def scores_everywhere(lab):
    scored = merged(SCORED, {"reputation": {"suspicious": 25, "slow": "off", "ban": 30}})
    _, gateways = await nodes(lab, config={**PROXIED, **scored}, route=OPEN)
    for gateway in gateways:
        raw, _ = await lab.raw(gateway, headers={"X-Forwarded-For": "203.0.113.9"})
        await raw.send(frame(TEXT, ATTACK.encode()))
    for gateway in gateways:
        await until(lambda gateway=gateway: listed(gateway, "203.0.113.9"), "the sum brings a ban", 5)
        await becomes(lab, gateway, "203.0.113.9", 403)
        assert await status_of(lab, gateway, "203.0.113.10") == 101
    told = [event for gateway in gateways for event in await gateway.events("--type", "reputation_ban")]
    assert told and "score 30 of 30: attacks 30" in told[0]["detail"], told
    assert sum([await gateway.metric("portcullis_shared_state_marks_total", direction="told") for gateway in gateways]) >= 3
    await cli(gateways[1], "unban", "203.0.113.9")
    for gateway in gateways:
        await becomes(lab, gateway, "203.0.113.9", 101)
    # Forgiven, where nodes meet too: one attack is one again.
    raw, _ = await lab.raw(gateways[2], headers={"X-Forwarded-For": "203.0.113.9"})
    heard = await gateways[2].metric("portcullis_shared_state_marks_total", direction="heard")
    await raw.send(frame(TEXT, ATTACK.encode()))

    async def exchanged() -> bool:
        return await gateways[2].metric("portcullis_shared_state_marks_total", direction="heard") > heard

    await until(exchanged, "the attack was told and heard", 5)
    for gateway in gateways:
        assert not await listed(gateway, "203.0.113.9")


@case("a repeat offender who is made to wait on one node waits on the others, and so while Redis is gone and after it came back empty", needs=NEEDS, seconds=60)
async def waits_everywhere(lab):
    inbound = {"limits": [{"per": "connection", "rate": "1/h", "on_excess": "reply"}],
               "offenders": {"after": "2/1h", "waits": ["1h"], "forgive_after": "1h"}}
    redis, gateways = await nodes(lab, route={"inbound": inbound})
    token, other = await lab.token("--subject", "mallory"), await lab.token("--subject", "ada")

    async def first_answer(gateway, text) -> str:
        connection = await opened(lab, gateway, text)
        await connection.send("hello")
        answer = await connection.receive()
        await connection.close(1000)
        return "hello" if answer == "hello" else json.loads(answer)["code"]

    connection = await opened(lab, gateways[0], token)
    for _ in range(6):
        await connection.send("again")
        await connection.receive()
    await gateways[0].event(type="offender_slowed")

    async def waits(gateway) -> bool:
        return await first_answer(gateway, token) == "offender_waits"

    for gateway in gateways:
        await until(lambda gateway=gateway: waits(gateway), "mallory waits on every node", 5)
        assert await first_answer(gateway, other) == "hello"
    await redis.kill()
    for gateway in gateways:
        await alone(gateway)
        assert await waits(gateway)
    await redis.begin()
    for gateway in gateways:
        await met(gateway)
    # A node that never met the others hears of it.
    back = await lab.npm_echo()
    late = await lab.gateway(back.url, {**KEYS, "shared_state": {"url": redis.url}}, route={**required("header"), "inbound": inbound})
    await met(late)
    await until(lambda: waits(late), "the new node knows", 5)


@case("failures that one node sees raise the flood level of all, and a node that is cut off from the others judges alone", needs=NEEDS, seconds=60)
async def floods_everywhere(lab):
    floods = {"sources": {"failed_auth_rate": "off", "connection_rate": "off"},
              "floods": {"enabled": True, "failures_floor": 1, "over": [2, 3, 4], "rise_after": "1s", "fall_after": "10m"}}
    redis, gateways = await nodes(lab, config=floods)

    async def others(gateway) -> bool:
        return await gateway.metric("portcullis_shared_state_others") == 2

    for gateway in gateways:
        await until(lambda gateway=gateway: others(gateway), "each hears of two others", 10)

    async def raised() -> bool:
        for _ in range(10):
            assert await status(lab, gateways[0], "not.a.token") == 401
        return all([await gateway.metric("portcullis_flood_level") == 3 for gateway in gateways])

    await until(raised, "all are critical", 20)
    event = await gateways[1].event(type="flood_level")
    assert "3 nodes together: " in event["detail"] and "failed handshakes" in event["detail"], event
    await redis.kill()

    async def calm(gateway) -> bool:
        return await gateway.metric("portcullis_flood_level") == 0

    for gateway in gateways[1:]:
        await until(lambda gateway=gateway: calm(gateway), "it saw no failure itself", 10)
    assert await gateways[0].metric("portcullis_flood_level") > 0, "it saw them"
