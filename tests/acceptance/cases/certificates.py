"""Client certificates (SPEC 15): made with openssl, verified in the TLS handshake, a credential where a route says so."""

import asyncio
import ssl
import subprocess

import websockets
from websockets.asyncio.client import connect

from harness.processes import until
from harness.registry import case

from cases.control import closed_within_a_second
from cases.identity import KEYS


def openssl(folder, *arguments) -> str:
    told = subprocess.run(["openssl", *map(str, arguments)], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stderr
    return told.stdout


class Authority:
    """An authority of openssl's in a folder of its own."""

    def __init__(self, folder, name: str):
        self.folder, self.name = folder / name, name
        self.folder.mkdir()
        (self.folder / "index.txt").write_text("")
        (self.folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ncertificate=ca.pem\nprivate_key=ca.key\n"
            "default_md=sha256\ndefault_days=30\ndefault_crl_days=30\npolicy=any\ncopy_extensions=copy\nunique_subject=no\n"
            "crlnumber=crlnumber\ncrl_extensions=list\n[list]\nauthorityKeyIdentifier=keyid:always\n"
            "[any]\ncommonName=optional\norganizationName=optional\n")
        for name_of_file in ("serial", "crlnumber"):
            (self.folder / name_of_file).write_text("01\n")
        openssl(self.folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
                "-days", 30, "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-addext", "basicConstraints=critical,CA:TRUE")

    @property
    def pem(self):
        return self.folder / "ca.pem"

    def issue(self, file: str, subject: str, alternative: str = "", purpose: str = "clientAuth"):
        names = ["-addext", f"subjectAltName={alternative}"] if alternative else []
        openssl(self.folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{file}.key", "-out", f"{file}.csr",
                "-subj", subject, "-addext", f"extendedKeyUsage={purpose}", *names)
        openssl(self.folder, "ca", "-batch", "-config", "ca.cnf", "-in", f"{file}.csr", "-out", f"{file}.pem", "-notext")
        return self.folder / f"{file}.pem", self.folder / f"{file}.key"

    def revoke(self, file: str):
        openssl(self.folder, "ca", "-config", "ca.cnf", "-revoke", f"{file}.pem")

    def list(self):
        openssl(self.folder, "ca", "-config", "ca.cnf", "-gencrl", "-out", "crl.pem")
        return self.folder / "crl.pem"


ROUTES = [
    {"name": "plant", "path": "/plant/{who}", "authenticate": "required", "credentials": ["header", "certificate"], "bind": {"who": "subject"}},
    {"name": "first", "path": "/first", "authenticate": "required", "credentials": ["certificate", "header"], "roles": ["device"]},
    {"name": "tokens", "path": "/tokens", "authenticate": "required", "credentials": ["header"]},
]


async def house(lab, **clients):
    authority = Authority(lab.folder, "plant")
    certificate, key = authority.issue("server", "/CN=gateway", "IP:127.0.0.1", "serverAuth")
    back = await lab.npm_echo()
    config = {
        "environment": "development",
        **KEYS,
        "listen": {"tls": {"certificate": str(certificate), "key": str(key), "client_certificates": {"ca": str(authority.pem), **clients}}},
        "routes": [{**route, "upstream": back.url} for route in ROUTES],
    }
    return authority, back, await lab.gateway_from(config)


class Device:
    """Python `websockets` over TLS with a certificate, or without one."""

    def __init__(self, authority, shown=None):
        self.tls = ssl.create_default_context(cafile=str(authority.pem))
        if shown:
            self.tls.load_cert_chain(*map(str, shown))

    async def open(self, gateway, path, headers=None):
        return await connect(f"wss://127.0.0.1:{gateway.port}{path}", ssl=self.tls, additional_headers=headers, proxy=None, ping_interval=None)

    async def status(self, gateway, path, headers=None):
        try:
            connection = await self.open(gateway, path, headers)
        except websockets.InvalidStatus as refusal:
            return refusal.response.status_code
        except (ssl.SSLError, ConnectionError, EOFError, websockets.InvalidHandshake):
            return "no TLS"
        await connection.close()
        return 101


class Socket:
    """What `closed_within_a_second` asks of a connection."""

    def __init__(self, connection):
        self.connection = connection

    async def closed(self, seconds):
        await asyncio.wait_for(self.connection.wait_closed(), seconds)
        return self.connection.close_code, self.connection.close_reason


@case("a client certificate is a credential where a route lists it: subject, roles, binding; without one the token decides", needs=("openssl", "node"))
async def credential(lab):
    authority, back, gateway = await house(lab, roles=["device"], tenant="acme")
    pump = Device(authority, authority.issue("pump", "/CN=pump-7"))
    connection = await pump.open(gateway, "/plant/pump-7")
    await connection.send("hello")
    assert await connection.recv() == "hello"
    seen = (await back.seen())[0]["headers"]
    assert (seen["x-portcullis-subject"], seen["x-portcullis-tenant"], seen["x-portcullis-roles"]) == ("pump-7", "acme", "device"), seen
    assert await pump.status(gateway, "/plant/pump-8") == 403, "another's path"
    assert await pump.status(gateway, "/tokens") == 401, "the route does not take certificates"
    token = {"Authorization": f"Bearer {await lab.token('--subject', 'ada', '--ttl', '1h')}"}
    assert await pump.status(gateway, "/plant/ada", token) == 101, "listed first, the token decides"
    assert await pump.status(gateway, "/first", token) == 101, "listed first, the certificate decides"
    nobody = Device(authority)
    assert await nobody.status(gateway, "/plant/pump-7") == 401
    assert await nobody.status(gateway, "/plant/ada", token) == 101
    assert await nobody.status(gateway, "/first", token) == 403, "a token without the role"
    event = await gateway.event(type="connection_accepted", user="pump-7")
    assert event["tenant"] == "acme", event


@case("a certificate of another authority, for another purpose or without the name gets nothing", needs=("openssl", "node"))
async def refused(lab):
    authority, _, gateway = await house(lab, subject="uri")
    good = Device(authority, authority.issue("good", "/CN=x", "URI:spiffe://plant/pump-7"))
    assert await good.status(gateway, "/first") == 403, "it is known, and has no role"
    assert await Device(authority, authority.issue("none", "/CN=pump-7")).status(gateway, "/first") == 401
    await gateway.event(type="certificate_name")
    two = Device(authority, authority.issue("two", "/CN=x", "URI:spiffe://plant/a,URI:spiffe://plant/b"))
    assert await two.status(gateway, "/first") == 401
    stranger = Authority(lab.folder, "stranger")
    foreign = Device(authority, stranger.issue("pump", "/CN=pump-7", "URI:spiffe://plant/pump-7"))
    assert await foreign.status(gateway, "/first") == "no TLS"
    server = Device(authority, authority.issue("purpose", "/CN=x", "URI:spiffe://plant/c", "serverAuth"))
    assert await server.status(gateway, "/first") == "no TLS"


@case("where certificates are required nobody without one gets TLS; one on the authority's list gets none after a reload", needs=("openssl", "node"))
async def required(lab):
    authority, _, gateway = await house(lab, mode="required", roles=["device"])
    shown = authority.issue("pump", "/CN=pump-7")
    assert await Device(authority).status(gateway, "/first") == "no TLS"
    assert await Device(authority, shown).status(gateway, "/first") == 101
    authority.revoke("pump")
    gateway.rewrite({"listen": {"tls": {"client_certificates": {"crl": str(authority.list())}}}})
    await gateway.event(type="config_reloaded")
    assert await Device(authority, shown).status(gateway, "/first") == "no TLS"
    assert await Device(authority, authority.issue("spare", "/CN=pump-8")).status(gateway, "/first") == 101


@case("portcullis revoke by a certificate's fingerprint closes its connection with 4001 within a second", needs=("openssl", "node"))
async def revoked(lab):
    authority, _, gateway = await house(lab, roles=["device"])
    shown = authority.issue("pump", "/CN=pump-7")
    fingerprint = openssl(authority.folder, "x509", "-in", "pump.pem", "-noout", "-fingerprint", "-sha256").split("=")[1].strip().replace(":", "").lower()
    device = Device(authority, shown)
    connection = Socket(await device.open(gateway, "/first"))
    await gateway.cli("revoke", "--token-id", fingerprint, "--state", gateway.folder / "state")
    await closed_within_a_second(connection, 4001)

    async def out():
        return await device.status(gateway, "/first") == 401

    await until(out, "the certificate is refused", 3)
