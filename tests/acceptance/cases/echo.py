"""People can connect: three clients and two backends nobody here wrote, with no special setting (SPEC 1.1, 15)."""

import asyncio
import random

from harness.processes import until
from harness.raw import CLOSE, frame
from harness.registry import case

CLOSE_CODES = [1000, 3000, 3999, 4000, 4321, 4999]
BACKENDS = {"npm ws": "npm_echo", "Python websockets": "py_echo"}
CLIENTS = {"npm ws": ("npm", ("node",)), "Python websockets": ("python", ()), "Chromium": ("chromium", ("node", "chromium"))}

# Sizes at the edges of the three length forms (RFC 6455 5.2), and just under the development preset's 1 MiB.
SIZES = [0, 1, 125, 126, 127, 65535, 65536, (1 << 20) - 1]


def words(size: int) -> str:
    """Text of at most `size` bytes in UTF-8, no more repetitive than a person is."""
    dice = random.Random(size)
    return "".join(dice.choice("eeetaoin shrdlu.ÜñЖ€漢𝄞") for _ in range(size))[:size].encode()[:size].decode(errors="ignore")


def pair(client: str, backend: str, name: str, backend_options: dict | None = None):
    """Registers a case for one client and one backend; it gets the lab, a gateway between them, and both."""

    def register(run):
        async def with_parts(lab):
            back = await getattr(lab, BACKENDS[backend])(**(backend_options or {}))
            gateway = await lab.gateway(back.url, {"sources": {"connection_rate": "off"}}, route={"inbound": {"limits": []}})
            await run(lab, gateway, back, await getattr(lab, CLIENTS[client][0])())

        with_parts.__module__ = __name__
        needs = set(CLIENTS[client][1]) | ({"node"} if backend == "npm ws" else set())
        case(f"{client} → {backend}: {name}", needs=tuple(sorted(needs)), seconds=60)(with_parts)

    return register


for client in CLIENTS:
    for backend in BACKENDS:

        @pair(client, backend, "text and binary of every length form come back as they were")
        async def sizes(lab, gateway, back, client):
            connection = await client.open(gateway.url + "/echo")
            for size in SIZES:
                text = words(size)
                await connection.send(text)
                assert await connection.receive() == text, f"text of {size} bytes"
                blob = random.Random(size).randbytes(size)
                await connection.send(blob)
                assert await connection.receive() == blob, f"binary of {size} bytes"

        @pair(client, backend, "close codes pass from the client to the backend and back")
        async def client_closes(lab, gateway, back, client):
            for code in CLOSE_CODES:
                before = len(back.closes)
                connection = await client.open(gateway.url)
                await connection.send("hello")
                assert await connection.receive() == "hello"
                await connection.close(code, f"because {code}")
                assert await connection.closed() == (code, f"because {code}")
                await until(lambda: len(back.closes) > before, f"the backend sees {code}")
                assert back.closes[-1] == (code, f"because {code}"), back.closes[-1]

        @pair(client, backend, "close codes pass from the backend to the client")
        async def backend_closes(lab, gateway, back, client):
            for code in CLOSE_CODES + [1001, 1008, 1011, 1012, 1013]:
                connection = await client.open(gateway.url)
                await connection.send(f"close {code} that is all")
                assert await connection.closed() == (code, "that is all"), code

        # npm `ws` takes the first that is offered, Python `websockets` the one it was told.
        chosen, told = ("chat.v2", {}) if backend == "npm ws" else ("chat.v1", {"subprotocols": ["chat.v1"]})

        @pair(client, backend, "the subprotocol is negotiated end to end", told)
        async def subprotocol(lab, gateway, back, client, chosen=chosen):
            connection = await client.open(gateway.url, protocols=["chat.v2", "chat.v1"])
            offered = (await back.seen())[-1]["headers"]["sec-websocket-protocol"]
            assert [name.strip() for name in offered.split(",")] == ["chat.v2", "chat.v1"], offered
            assert connection.protocol == back.requests[-1]["protocol"] == chosen, (connection.protocol, back.requests[-1]["protocol"])

    if client == "Chromium":
        continue

    for backend in BACKENDS:

        @pair(client, backend, "fragments arrive whole, pings are answered")
        async def fragments(lab, gateway, back, client):
            connection = await client.open(gateway.url)
            await connection.send_fragments(["one ", "", "two ", "three"])
            assert await connection.receive() == "one two three"
            await connection.ping()


@case("a close without a code passes as one without a code")
async def empty_close(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url)
    raw, response = await lab.raw(gateway)
    assert response.status == 101
    await raw.send(frame(CLOSE))
    assert await raw.close_code() == 1005
    code, _ = await back.closed()
    assert code == 1005, code


def deflate(client: str, backend: str):
    # npm `ws` servers have it off until they are told, Python `websockets` has it on.
    told = {"perMessageDeflate": True} if backend == "npm ws" else {}

    @pair(client, backend, "permessage-deflate is negotiated and its messages come back", told)
    async def negotiated(lab, gateway, back, client):
        connection = await client.open(gateway.url, deflate=True)
        assert "permessage-deflate" in connection.extensions, connection.extensions
        for text in ["short", "compress me " * 5000, '{"a":[' + ",".join(["1"] * 2000) + "]}"]:
            for _ in range(3):  # the window survives from message to message
                await connection.send(text)
                assert await connection.receive() == text

    @pair(client, backend, "a client that does not offer permessage-deflate gets none", told)
    async def not_offered(lab, gateway, back, client):
        connection = await client.open(gateway.url, deflate=False)
        assert "permessage-deflate" not in connection.extensions, connection.extensions
        await connection.send("plain " * 1000)
        assert await connection.receive() == "plain " * 1000


for client in ("npm ws", "Python websockets"):
    for backend in BACKENDS:
        deflate(client, backend)


@case("npm ws backend with perMessageDeflate on: Chromium negotiates and echoes", needs=("node", "chromium"), seconds=30)
async def chromium_deflate(lab):
    back = await lab.npm_echo(perMessageDeflate=True)
    gateway = await lab.gateway(back.url)
    connection = await (await lab.chromium()).open(gateway.url)
    assert "permessage-deflate" in connection.extensions, connection.extensions
    await connection.send("again " * 5000)
    assert await connection.receive() == "again " * 5000


for takeover in ("server_no_context_takeover", "client_no_context_takeover", "client_max_window_bits=10", "server_max_window_bits=9"):

    @case(f"raw offer of permessage-deflate; {takeover} is answered within RFC 7692 7.1")
    async def parameters(lab, takeover=takeover):
        back = await lab.py_echo()
        gateway = await lab.gateway(back.url)
        raw, response = await lab.raw(gateway, headers={"Sec-WebSocket-Extensions": f"permessage-deflate; {takeover}"})
        assert response.status == 101
        agreed = response.headers.get("sec-websocket-extensions", "")
        if agreed and takeover.startswith("server_"):
            assert takeover.split("=")[0] in agreed, agreed


@case("`portcullis serve --upstream` with nothing else serves npm ws", needs=("node",))
async def one_command(lab):
    back = await lab.npm_echo()
    gateway = await lab.gateway_from(None, ["--upstream", back.url])
    connection = await (await lab.npm()).open(gateway.url + "/any/path?x=1")
    await connection.send('{"hello":"world"}')
    assert await connection.receive() == '{"hello":"world"}'
    assert (await back.seen())[0]["url"] == "/any/path?x=1"


@case("deflate off in the policy: none is negotiated, messages pass")
async def deflate_off(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(back.url, route={"compression": {"enabled": False}})
    connection = await (await lab.python()).open(gateway.url)
    assert connection.extensions == ""
    await connection.send("plain")
    assert await connection.receive() == "plain"


async def chatter(client, gateway, number: int) -> None:
    """Speaks in bursts, small and large, and waits for none before the next is sent."""
    connection = await client.open(gateway.url + "/echo")
    sizes = [random.Random(number * 100 + burst).choice([10, 900, 20_000, 70_000]) for burst in range(12)]
    texts = [f"{number}.{burst} " + "x" * size for burst, size in enumerate(sizes)]
    heard = []
    for first in range(0, len(texts), 4):
        for text in texts[first : first + 4]:
            await connection.send(text)
        for _ in texts[first : first + 4]:
            heard.append(await connection.receive())
    assert heard == texts, f"connection {number} did not hear what it said, in order"
    await connection.close(4000, f"by {number}")
    assert await connection.closed() == (4000, f"by {number}")


@case("forty that speak at once, small, large and pipelined, each hear their own, in order", seconds=60)
async def at_once(lab):
    back = await lab.py_echo()
    gateway = await lab.gateway(
        back.url, {"sources": {"connection_rate": "off", "connections_per_ip_max": 100}}, route={"inbound": {"limits": []}}
    )
    client = await lab.python()
    await asyncio.gather(*(chatter(client, gateway, number) for number in range(40)))
    assert sorted(code for code, _ in back.closes) == [4000] * 40, back.closes
