"""A Redis of our own on a private port, in the case's folder, that keeps nothing; killed, stopped and started again."""

import asyncio
import contextlib
import pathlib
import shutil
import signal
import socket

from harness.processes import Child, run, until


def free_port() -> int:
    with contextlib.closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def ask(port: int, *words, seconds: float = 2.0) -> bytes:
    """One command, and the first line of its answer."""
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            parts = [str(word).encode() for word in words]
            writer.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
            return (await reader.readline()).strip()
        finally:
            writer.close()


class Redis:
    """One server."""

    def __init__(self, folder: pathlib.Path, port: int, flags: tuple[str, ...]):
        self.folder, self.port, self.flags = folder, port, flags
        self.url = f"redis://127.0.0.1:{port}"
        self.child: Child | None = None

    @classmethod
    async def start(cls, folder: pathlib.Path, *flags: str, port: int | None = None) -> "Redis":
        self = cls(folder, port or free_port(), flags)
        folder.mkdir(exist_ok=True)
        await self.begin()
        return self

    async def begin(self) -> None:
        """Starts it, empty."""
        for left in self.folder.glob("dump*"):
            left.unlink()
        program = shutil.which("redis-server") or "valkey-server"
        self.child = await Child.start(
            program, "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--dir", self.folder, *self.flags, name="redis-server")
        await until(self.answers, "redis-server answers", 10)

    async def answers(self) -> bool:
        try:
            return await self.ask("PING") in (b"+PONG", b"-NOAUTH Authentication required.")
        except (OSError, TimeoutError):
            return False

    async def ask(self, *words) -> bytes:
        return await ask(self.port, *words)

    async def keys(self) -> list[str]:
        """Every key there is."""
        _, out, _ = await run("redis-cli", "-p", self.port, "--scan")
        return out.split()

    async def kill(self) -> None:
        self.child.signal(signal.SIGKILL)
        await self.child.exit()

    def hang(self) -> None:
        self.child.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.child.signal(signal.SIGCONT)

    async def stop(self) -> None:
        if self.child.process.returncode is None:
            self.go_on()
        await self.child.stop()
