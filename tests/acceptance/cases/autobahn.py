"""Autobahn|Testsuite both ways, through ../shared/suites: as a client against gateway and echo backend, as a hostile backend."""

import asyncio
import collections
import contextlib
import json
import pathlib
import socket

from websockets.asyncio.client import connect

from harness import registry
from harness.processes import Child, until
from harness.registry import HERE, ROOT, SUITES, Skip, case

# A home of our own: the suite installs itself once (from PyPI) and keeps its report there.
HOME = ROOT / ".test-tools" / "autobahn"
POLICY = HERE / "autobahn.yaml"
MINUTES = {"fast": 3, "deflate": 10, "full": 40}
# From bad to good; INFORMATIONAL judges nothing.
RANK = {"FAILED": 0, "WRONG CODE": 0, "UNCLEAN": 0, "NON-STRICT": 1, "OK": 2, "INFORMATIONAL": 2}
# Cases that may be one rank worse through the gateway, and why.
RACED = "the echo of the message before the violation has one more hop to come; the gateway fails the connection at once (RFC 6455 7.1.7)"
# Cases whose messages are pieces of a file, nearly all of one of JSON: what begins as JSON and breaks off is not passed on
# where JSON is read, which is what reading it is for.
PIECES = ("12.", "13.")
WORSE_WITH_REASON = {"3.2": RACED, "3.3": RACED, "3.4": RACED, "4.1.3": RACED, "4.1.4": RACED, "4.1.5": RACED,
                     "4.2.3": RACED, "4.2.4": RACED, "4.2.5": RACED}



async def autobahn(*arguments, home: pathlib.Path) -> tuple[int, str]:
    """Runs the suite's script: exit code (77: it cannot run here) and what it printed."""
    home.mkdir(parents=True, exist_ok=True)
    child = await Child.start(SUITES / "autobahn.sh", *arguments, name="autobahn", env={"AUTOBAHN_HOME": str(home)})
    try:
        code = await child.exit(MINUTES[registry.OPTIONS["autobahn"]] * 60)
    finally:
        await child.stop()
    return code, "\n".join(child.lines)


def verdicts(home: pathlib.Path) -> dict[str, tuple[str, str]]:
    """The last report: case → behaviour and behaviour of the close."""
    (agent,) = json.loads((home / "report" / "index.json").read_text()).values()
    return {name: (result["behavior"], result["behaviorClose"]) for name, result in agent.items()}


for json_mode in ("off", "as the preset has it"):

    @case(f"as a client, through the gateway (checks: json {json_mode}): no case FAILED",
          needs=("suites", "node"), seconds=2400, suite=True)
    async def client(lab, json_mode=json_mode):
        # Its own limit on fragments would fail 9.3.x and 9.4.x, which send 65,536 of them.
        back = await lab.npm_echo(perMessageDeflate=True, maxFragments=1_000_000, maxBufferedChunks=1_000_000)
        text = POLICY.read_text().replace("ws://127.0.0.1:9001", back.url)
        file = lab.folder / "autobahn.yaml"
        file.write_text(text)
        flags = ["--config", str(file)]
        if json_mode != "off":
            flags += ["--set", "messages.inbound.json.mode=detect"]
        gateway = await lab.gateway_from(None, flags)
        code, said = await autobahn("client", gateway.url, registry.OPTIONS["autobahn"], home=HOME)
        if code == 77:
            raise Skip(said.strip() or "Autobahn cannot run here (it needs Python 2.7)")
        print("          " + said.replace("\n", "\n          "))
        failed = [name for name, (behaviour, _) in verdicts(HOME).items() if behaviour not in ("OK", "INFORMATIONAL", "NON-STRICT")]
        if json_mode != "off":
            pieces = [name for name in failed if name.startswith(PIECES)]
            print(f"          refused as broken JSON: {len(pieces)} cases of 12 and 13")
            failed = [name for name in failed if name not in pieces]
        else:
            assert code == 0, said
        assert not failed, failed


@contextlib.asynccontextmanager
async def fuzzing_server(home: pathlib.Path):
    """The suite as a hostile backend; gives its port."""
    with socket.socket() as probe:  # the suite cannot pick a port by itself
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    child = await Child.start(SUITES / "autobahn.sh", "server", port, registry.OPTIONS["autobahn"], name="autobahn server",
                              env={"AUTOBAHN_HOME": str(home)})
    try:
        async def up():
            if child.process.returncode is not None:
                raise Skip("\n".join(child.lines) or "Autobahn cannot run here") if child.process.returncode == 77 else \
                    AssertionError("the suite ended:\n" + "\n".join(child.lines[-10:]))
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return True
            return False

        await until(up, "the suite's server", 400)  # installs itself the first time
        yield port
    finally:
        await child.stop()


async def drive(url: str, agent: str) -> None:
    """Plays the suite's cases with Python `websockets` as the echo client (autobahntestsuite's own protocol)."""
    options = {"max_size": None, "ping_interval": None, "proxy": None, "open_timeout": 20, "close_timeout": 5}
    async with connect(f"{url}/getCaseCount", **options) as socket_:
        count = int(await socket_.recv())
    for number in range(1, count + 1):
        with contextlib.suppress(Exception):  # what the hostile server does to us is its report's business
            async with connect(f"{url}/runCase?case={number}&agent={agent}", **options) as socket_:
                async for message in socket_:
                    await socket_.send(message)
    with contextlib.suppress(Exception):
        async with connect(f"{url}/updateReports?agent={agent}", **options) as socket_:
            await socket_.wait_closed()


async def hostile(lab, through: bool, home: pathlib.Path) -> dict[str, tuple[str, str]]:
    async with fuzzing_server(home) as port:
        url = f"ws://127.0.0.1:{port}"
        if through:
            file = lab.folder / "hostile.yaml"
            file.write_text(POLICY.read_text().replace("ws://127.0.0.1:9001", url))
            url = (await lab.gateway_from(None, ["--config", str(file)])).url
        await drive(url, "through" if through else "direct")
        await until(lambda: (home / "report" / "index.json").exists(), "the suite's report", 20)
        return verdicts(home)


@case("as a hostile backend: no verdict is worse through the gateway than for the client reached directly",
      needs=("suites",), seconds=2400, suite=True)
async def server(lab):
    direct = await hostile(lab, False, HOME)
    through = await hostile(lab, True, HOME)
    count = collections.Counter(behaviour for behaviour, _ in through.values())
    print(f"          through: {len(through)} cases: " + ", ".join(f"{number} {kind}" for kind, number in count.most_common()))
    count = collections.Counter(behaviour for behaviour, _ in direct.values())
    print(f"          direct:  {len(direct)} cases: " + ", ".join(f"{number} {kind}" for kind, number in count.most_common()))
    assert set(through) == set(direct)
    worse = []
    for name, verdict in sorted(through.items()):
        for seen, reference in zip(verdict, direct[name]):
            lost = RANK.get(reference, 0) - RANK.get(seen, 0)
            if lost > 1 or lost == 1 and name not in WORSE_WITH_REASON:
                worse.append(f"{name}: direct {direct[name]}, through {verdict}")
        if verdict != direct[name]:
            print(f"          {name}: direct {direct[name]}, through {verdict}")
    assert not worse, "\n".join(worse)
    # The client itself fails some of `full`; what it passes alone it passes through the gateway.
    failed = {name for name, (behaviour, _) in through.items() if behaviour == "FAILED"}
    assert failed <= {name for name, (behaviour, _) in direct.items() if behaviour == "FAILED"}, failed
