"""What a case is given: starts gateways, backends and clients, and ends all of them when the case ends."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import pathlib
import shutil
import tempfile
import time

from harness import backends
from harness.clients import Chromium, NpmWs, Program, PyWebsockets, start_node
from harness.gateway import Gateway, binary, merged
from harness.processes import Child, run
from harness.providers import OidcProvider
from harness.raw import Raw, Response
from harness.redis import Cluster, Redis, Watched

SECRET = "acceptance-secret-of-forty-two-characters!"


class Shared:
    """Programs that serve many cases: one npm `ws` driver, one Chromium."""

    def __init__(self):
        self._programs: dict[str, Program] = {}

    async def program(self, name: str) -> Program:
        found = self._programs.get(name)
        if found is None or found.child.process.returncode is not None:
            if name == "browser":
                found = await start_node("browser.mjs", shutil.which("chromium"), name="chromium driver")
                await found.child.line('"ready"', 30)
            else:
                found = await start_node("client.mjs", name="npm ws driver")
            self._programs[name] = found
        return found

    async def stop(self) -> None:
        for program in self._programs.values():
            await program.stop()


class Lab:
    """One case's resources."""

    def __init__(self, shared: Shared):
        self.shared = shared
        self.stack = contextlib.AsyncExitStack()
        self.browsed = False
        self.gateways: list[Gateway] = []

    async def __aenter__(self) -> "Lab":
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="portcullis-acceptance-"))
        self.stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        return self

    async def __aexit__(self, *error) -> None:
        await self.stack.aclose()

    def ending(self, thing):
        """Ends `thing` (its `stop`) with the case."""
        self.stack.push_async_callback(thing.stop)
        return thing

    # Backends

    async def npm_echo(self, **options) -> backends.NpmEcho:
        return self.ending(await backends.NpmEcho.start(**options))

    async def py_echo(self, **options) -> backends.PyEcho:
        return self.ending(await backends.PyEcho.start(**options))

    async def tcp(self, handler) -> backends.Tcp:
        return self.ending(await backends.Tcp.start(handler))

    async def oidc_provider(self) -> OidcProvider:
        return self.ending(await OidcProvider.start())

    async def redis(self, *flags: str) -> Redis:
        return self.ending(await Redis.start(self.folder / "redis", *flags))

    async def redis_cluster(self) -> Cluster:
        return self.ending(await Cluster.start(self.folder / "cluster"))

    async def redis_watched(self) -> Watched:
        return self.ending(await Watched.start(self.folder / "watched"))

    async def program(self, *command, name: str, env=None) -> Child:
        return self.ending(await Child.start(*command, name=name, env=env, cwd=self.folder))

    # The gateway

    async def gateway(self, upstream: str, config: dict | None = None, *, route: dict | None = None,
                      flags: list[str] | None = None, env: dict[str, str] | None = None) -> Gateway:
        """A gateway with one catch-all route to `upstream`; `config` and `route` are laid over it."""
        base = {
            "environment": "development",
            "routes": [merged({"name": "main", "path": "/{*rest}", "upstream": upstream}, route or {})],
        }
        return await self.gateway_from(merged(base, config or {}), flags, env)

    async def gateway_from(self, config: dict | None, flags: list[str] | None = None, env: dict[str, str] | None = None) -> Gateway:
        folder = self.folder / f"gateway-{len(self.gateways)}"
        folder.mkdir()
        gateway = self.ending(await Gateway.start(folder, config, flags or [], env or {}))
        self.gateways.append(gateway)
        return gateway

    async def gateway_in(self, folder: pathlib.Path, flags: list[str], env: dict[str, str]) -> Gateway:
        """A gateway in a folder that is there, with everything about it in its flags."""
        gateway = self.ending(await Gateway.start(folder, None, flags, env))
        self.gateways.append(gateway)
        return gateway

    async def demo(self) -> Gateway:
        """`portcullis demo`: gateway, chat and live page."""
        return self.ending(await Gateway.start(self.folder, None, [], {}, command=["demo"]))

    # Clients

    async def npm(self) -> NpmWs:
        return NpmWs(await self.shared.program("client"))

    async def python(self) -> PyWebsockets:
        return self.ending(PyWebsockets())

    async def chromium(self, url: str | None = None) -> Chromium:
        """Chromium on an empty page of a server of its own, or on `url`."""
        program = await self.shared.program("browser")
        if not self.browsed:
            self.browsed = True
            self.stack.push_async_callback(program.call, "leave", 30)
        if url is None:
            server = await self.tcp(backends.pages({"/": (200, "text/html", "<!doctype html><title>page</title>")}))
            url = server.http_url + "/"
        return Chromium(program, (await program.call("page", 30, url=url))["id"])

    async def raw(self, gateway: Gateway, path: str = "/", headers: dict | None = None, **options) -> tuple[Raw, Response]:
        """A raw connection that has sent a handshake."""
        raw = await Raw.connect(gateway.port)
        self.stack.callback(raw.close)
        return raw, await raw.request(path, headers, **options)

    async def tcp_to(self, gateway: Gateway) -> Raw:
        """A raw connection that has sent nothing."""
        raw = await Raw.connect(gateway.port)
        self.stack.callback(raw.close)
        return raw

    # Tokens

    async def token(self, *arguments: str) -> str:
        """`portcullis token issue` with the labs's secret."""
        file = self.folder / "secret"
        file.write_text(SECRET)
        _, out, _ = await run(binary(), "token", "issue", "--secret-file", file, *arguments)
        return out.strip().splitlines()[-1].strip()

    @staticmethod
    def hs256(claims: dict, secret: str = SECRET, header: dict | None = None) -> str:
        """A token made by hand, right or wrong."""
        def b64(data: bytes) -> str:
            return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

        head = b64(json.dumps(header or {"alg": "HS256", "typ": "JWT"}).encode()) + "." + b64(json.dumps(claims).encode())
        return head + "." + b64(hmac.new(secret.encode(), head.encode(), hashlib.sha256).digest())

    @staticmethod
    def now() -> int:
        return int(time.time())


async def all_of(*awaitables):
    """Runs them together; the first failure ends the case."""
    return await asyncio.gather(*awaitables)
