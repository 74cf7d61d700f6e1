"""The real `portcullis` binary: started from a configuration on port 0, asked through its own commands."""

import asyncio
import copy
import functools
import http.client
import json
import os
import pathlib
import re
import subprocess

from harness.processes import Child, run, until
from harness.registry import ROOT


@functools.cache
def binary() -> pathlib.Path:
    """The binary under test: $PORTCULLIS, or the development build, wherever this machine's cargo puts it."""
    if given := os.environ.get("PORTCULLIS"):
        return pathlib.Path(given)
    asked = ["cargo", "metadata", "--format-version=1", "--no-deps", "--offline", "--locked"]
    told = subprocess.run(asked, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    target = json.loads(told.stdout)["target_directory"] if told.returncode == 0 else ROOT / "target"
    return pathlib.Path(target) / "debug" / "portcullis"


def merged(base: dict, over: dict) -> dict:
    """`over` laid on `base`, objects merged, everything else replaced."""
    out = copy.deepcopy(base)
    for key, value in over.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else copy.deepcopy(value)
    return out


class Gateway:
    """A running gateway; `port` and `admin_port` are what it printed."""

    def __init__(self, child: Child, folder: pathlib.Path, config: dict | None):
        self.child, self.folder, self.config = child, folder, config
        self.port = self.admin_port = 0

    @classmethod
    async def start(cls, folder: pathlib.Path, config: dict | None, flags: list[str], env: dict[str, str],
                    command: list[str] | None = None) -> "Gateway":
        arguments = [binary(), *(command or ["serve"]), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        if "--state" not in flags:
            arguments += ["--state", folder / "state"]
        if config is not None:
            cls._write(folder, config)
            arguments += ["--config", folder / "portcullis.yaml"]
        child = await Child.start(*arguments, *flags, name="portcullis", env={"NO_COLOR": "1", **env}, cwd=folder)
        self = cls(child, folder, config)
        try:
            await self._ready()
        except BaseException:
            await child.stop()
            raise
        return self

    @staticmethod
    def _write(folder: pathlib.Path, config: dict) -> None:
        # JSON is YAML; the rename makes the change one event, as an editor's save is.
        new = folder / "portcullis.yaml.new"
        new.write_text(json.dumps(config, indent=2))
        new.replace(folder / "portcullis.yaml")

    async def _ready(self) -> None:
        def port_of(line: str) -> int | None:
            found = re.search(r":(\d+)", line.split("listening", 1)[1])
            return int(found[1]) if found else None

        def both() -> bool:
            for line in self.child.lines:
                if "listening" in line:
                    if "admin" in line:
                        self.admin_port = port_of(line) or self.admin_port
                    else:
                        self.port = self.port or port_of(line) or 0
            if self.child.process.returncode is not None:
                raise AssertionError("the gateway ended at start:\n" + "\n".join(self.child.lines[-40:]))
            return bool(self.port and self.admin_port)

        try:
            await until(both, "both `listening` lines", 15)
        except AssertionError as error:
            raise AssertionError(f"{error}\n" + "\n".join(self.child.lines[-40:])) from None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self.child.pid

    def rewrite(self, config: dict) -> None:
        """Lays `config` on the configuration and writes the file."""
        self.config = merged(self.config, config)
        self._write(self.folder, self.config)

    def write_text(self, text: str) -> None:
        (self.folder / "portcullis.yaml").write_text(text)

    async def said(self, pattern: str, seconds: float = 10, after: int = 0) -> re.Match[str]:
        return await self.child.line(pattern, seconds, after)

    async def admin(self, path: str, method: str = "GET", body: str | None = None,
                    headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], str]:
        """A request to the admin listener: status, headers, body."""

        def ask():
            connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
            try:
                connection.request(method, path, body, headers or {})
                response = connection.getresponse()
                return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode()
            finally:
                connection.close()

        return await asyncio.to_thread(ask)

    async def http(self, path: str = "/", headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, dict[str, str], str]:
        """A plain HTTP request to the client-facing listener."""

        def ask():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                connection.request(method, path, None, headers or {})
                response = connection.getresponse()
                return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode()
            finally:
                connection.close()

        return await asyncio.to_thread(ask)

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples whose labels match."""
        _, _, text = await self.admin("/metrics")
        total = 0.0
        for line in text.splitlines():
            found = re.match(rf"{re.escape(name)}(?:\{{(.*)\}})? ([0-9.eE+-]+)$", line)
            if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
                total += float(found[2])
        return total

    async def cli(self, *arguments, ok: bool = True) -> tuple[int, str, str]:
        """Another command of the same binary."""
        return await run(binary(), *arguments, ok=ok, cwd=self.folder)

    async def events(self, *arguments) -> list[dict]:
        """`portcullis audit search --json`, as a list of events: all that was accepted before the call."""
        await self._settled()
        _, out, _ = await self.cli("audit", "search", "--json", "--limit", "1000", "--state", self.folder / "state", *arguments, ok=False)
        text = out.strip()
        if not text:
            return []
        return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]

    async def _settled(self) -> None:
        """Waits until no accepted event is still on its way to the disk: the writer gathers for some milliseconds."""
        if self.child.process.returncode is not None:
            return
        token = ((self.config or {}).get("admin") or {}).get("token")

        async def written() -> bool:
            try:
                status, _, text = await self.admin("/metrics", headers={"Authorization": f"Bearer {token}"} if token else None)
            except (OSError, http.client.HTTPException):
                return True  # It is ending; what it accepted it writes at its end.
            return status != 200 or "\nportcullis_audit_events_queued 0\n" in text

        try:
            await until(written, "the audit is written", 5)
        except AssertionError:
            pass  # A case may hold the disk on purpose: then what is there is what counts.

    async def event(self, seconds: float = 5, **wanted: str) -> dict:
        """Waits for an event whose fields, or notes in its metadata, equal these (`type` is the reason's label)."""

        async def look():
            for event in await self.events():
                notes = dict(event.get("metadata") or [])
                if all(str(event.get(key, notes.get(key))) == value for key, value in wanted.items()):
                    return event
            return None

        return await until(look, f"an event with {wanted}", seconds)

    async def explain(self, reference: str) -> str:
        _, out, _ = await self.cli("explain", reference, "--state", self.folder / "state")
        return out

    async def stop(self) -> None:
        await self.child.stop()
