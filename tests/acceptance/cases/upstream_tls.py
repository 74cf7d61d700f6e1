"""Backends with TLS: whose certificates are believed, and pinned keys (SPEC 1.4). Certificates are made with openssl."""

import base64
import hashlib
import ssl
import subprocess

from harness.processes import until
from harness.registry import case

from cases.certificates import Authority


def pin(certificate) -> str:
    """As docs/upstreams.md prints it."""
    def openssl(*arguments, given: bytes) -> bytes:
        return subprocess.run(["openssl", *arguments], input=given, capture_output=True, check=True, timeout=60).stdout

    key = openssl("x509", "-pubkey", "-noout", given=certificate.read_bytes())
    der = openssl("pkey", "-pubin", "-outform", "der", given=key)
    return "sha256/" + base64.b64encode(hashlib.sha256(der).digest()).decode()


async def echo(lab, authority, name: str = "backend", names: str = "IP:127.0.0.1"):
    """Python `websockets` with a certificate of this authority, and the certificate."""
    certificate, key = authority.issue(name, f"/CN={name}", names, purpose="serverAuth")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    back = await lab.py_echo(ssl=context)
    back.url = back.url.replace("ws://", "wss://")
    return back, certificate


async def opened(lab, gateway) -> int:
    raw, response = await lab.raw(gateway)
    raw.close()
    return response.status


@case("a backend of the house's own authority is believed where the route names that authority, and not otherwise; an event says why", seconds=40)
async def authority(lab):
    own, strange = Authority(lab.folder, "own"), Authority(lab.folder, "strange")
    back, _ = await echo(lab, own)
    for tls in ({}, {"upstream_tls": {"ca_file": str(strange.pem)}}):
        gateway = await lab.gateway(back.url, route=tls)
        assert await opened(lab, gateway) == 502
        event = await gateway.event(type="upstream_untrusted")
        assert "not believed" in event["detail"] and f"127.0.0.1:{back.port}" in event["detail"], event
        assert await gateway.metric("portcullis_refusals_total", reason="upstream_untrusted") == 1
    assert back.requests == []
    gateway = await lab.gateway(back.url, route={"upstream_tls": {"ca_file": str(own.pem)}})
    connection = await (await lab.python()).open(gateway.url)
    await connection.send("hello")
    assert await connection.receive() == "hello"
    named, _ = await echo(lab, own, "elsewhere", "DNS:elsewhere.example")
    gateway = await lab.gateway(named.url, route={"upstream_tls": {"ca_file": str(own.pem)}})
    assert await opened(lab, gateway) == 502, "a certificate of another name"


@case("a pinned key: the backend with it is believed, one with another key of the same authority is not; the next key is pinned by a reload", seconds=40)
async def pinned(lab):
    own = Authority(lab.folder, "own")
    back, first = await echo(lab, own)
    other, second = await echo(lab, own, "other")
    trust = {"ca_file": str(own.pem), "pins": [pin(first)]}
    gateway = await lab.gateway("", route={"upstream": back.url, "upstream_tls": trust})
    assert await opened(lab, gateway) == 101
    gateway.rewrite({"routes": [{"name": "main", "path": "/{*rest}", "upstream": other.url, "upstream_tls": trust}]})
    await gateway.event(type="config_reloaded")
    assert await opened(lab, gateway) == 502
    event = await gateway.event(type="upstream_untrusted")
    assert pin(second) in event["detail"] and "is not pinned" in event["detail"], event
    assert other.requests == []
    both = {**trust, "pins": [pin(first), pin(second)]}
    gateway.rewrite({"routes": [{"name": "main", "path": "/{*rest}", "upstream": other.url, "upstream_tls": both}]})

    async def believed() -> bool:
        return await opened(lab, gateway) == 101

    await until(believed, "the next key is believed", 5)


@case("a pin takes nothing away: the right key in a certificate of a stranger's authority is refused, and the authority's own pin is none of the backend", seconds=40)
async def no_less(lab):
    own, strange = Authority(lab.folder, "own"), Authority(lab.folder, "strange")
    back, certificate = await echo(lab, own)
    gateway = await lab.gateway(back.url, route={"upstream_tls": {"ca_file": str(strange.pem), "pins": [pin(certificate)]}})
    assert await opened(lab, gateway) == 502
    gateway = await lab.gateway(back.url, route={"upstream_tls": {"ca_file": str(own.pem), "pins": [pin(own.pem)]}})
    assert await opened(lab, gateway) == 502, "only the backend's own key counts"
    assert back.requests == []


@case("a health check looks at the certificate too: a backend whose key is not pinned is unwell before a client comes", seconds=40)
async def asked(lab):
    own = Authority(lab.folder, "own")
    back, first = await echo(lab, own)
    other, _ = await echo(lab, own, "other")
    gateway = await lab.gateway("", route={
        "upstream": None, "upstreams": [other.url, back.url], "health": {"interval": "100ms"},
        "upstream_tls": {"ca_file": str(own.pem), "pins": [pin(first)]}})
    event = await gateway.event(type="upstream_unhealthy")
    assert f"127.0.0.1:{other.port}" in event["detail"] and "is not pinned" in event["detail"], event
    assert await opened(lab, gateway) == 101
    assert len(back.requests) == 1 and not other.requests


@case("an authority's file that is none is refused at the start, with its key", seconds=40)
async def broken(lab):
    file = lab.folder / "ca.pem"
    file.write_text("no certificate\n")
    try:
        await lab.gateway("wss://127.0.0.1:9", route={"upstream_tls": {"ca_file": str(file)}})
    except AssertionError as error:
        assert "ca_file" in str(error) and "CERTIFICATE" in str(error), error
        return
    raise AssertionError("it started")
