"""sqlmap against ../shared/suites/sqli.py, a backend open to injection: reached directly it dumps the table, through the gateway
it finds nothing."""

import json
import socket
import sys

from harness.lab import SECRET
from harness.processes import Child, until
from harness.registry import SUITES, case

SQLMAP = sys.executable.removesuffix(sys.executable.rsplit("/", 1)[-1]) + "sqlmap"
# What stops a scanner by its speed or its past would prove nothing about detection.
CALM = {
    "sources": {"connection_rate": "off", "failed_auth_rate": "off"}, "reputation": {"ban": "off", "slow": "off"},
    "messages": {"inbound": {"limits": [], "offenders": "off"}},
}


async def backend(lab) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await lab.program(sys.executable, SUITES / "sqli.py", port, name="sqli.py")

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    await until(listens, "the backend")
    return f"ws://127.0.0.1:{port}"


async def scan(lab, url: str, *more) -> str:
    child: Child = await lab.program(SQLMAP, "-u", url, "--data", '{"id":"1"}', "--batch", "--flush-session", "--disable-coloring",
                                     "--output-dir", lab.folder / "sqlmap", "--dump", *more, name="sqlmap")
    await child.exit(80)
    return "\n".join(child.lines)


@case("reached directly, the backend gives its table to sqlmap: the suite can find something", needs=("suites", "sqlmap"), seconds=180, suite=True)
async def direct(lab):
    said = await scan(lab, await backend(lab))
    assert "sqlmap identified the following injection point" in said and "alice" in said and "bob" in said, said


async def guarded(lab, back: str, over: dict):
    gateway = await lab.gateway_from({
        "environment": "production", "upstream": back, "listen": {"tls_terminated_by_proxy": True}, "origins": {"missing": "allow"},
        "identity": {"keys": [{"algorithm": "HS256", "secret": SECRET}], "issuers": ["lab"], "audiences": ["lab"], "credentials": ["header"]},
        **over,
    })
    return gateway, "Authorization: Bearer " + lab.hs256({"sub": "scanner", "iss": "lab", "aud": "lab", "exp": lab.now() + 600})


@case("through the gateway with the production preset it finds nothing", needs=("suites", "sqlmap"), seconds=180, suite=True)
async def preset(lab):
    gateway, bearer = await guarded(lab, await backend(lab), {})
    said = await scan(lab, gateway.url + "/", "-H", bearer)
    assert "testing connection to the target URL" in said, said
    assert "injection point" not in said and "alice" not in said and "bob" not in said, said
    assert await gateway.metric("portcullis_refusals_total", reason="threat_sqli", decision="replied") > 0, said


@case("nor where nothing but the detection stops it: no ban, no rate", needs=("suites", "sqlmap"), seconds=180, suite=True)
async def detection(lab):
    gateway, bearer = await guarded(lab, await backend(lab), CALM)
    said = await scan(lab, gateway.url + "/", "-H", bearer)
    assert "do not appear to be injectable" in said, said
    assert "injection point" not in said and "alice" not in said and "bob" not in said, said
    stopped = await gateway.metric("portcullis_refusals_total", reason="threat_sqli", decision="replied")
    assert stopped > 20, f"only {stopped} messages were stopped as attacks\n{said}"
    connection = await (await lab.python()).open(gateway.url + "/", headers=dict([bearer.split(": ")]))
    await connection.send('{"id":"1"}')
    assert json.loads(await connection.receive()) == {"rows": [["alice"]]}, "the honest question is served"
