"""Child processes that cannot outlive us, whose output is read line by line.

Nothing here sleeps to wait: every wait is for a line, an exit or a condition, with a bound.
"""

import asyncio
import atexit
import contextlib
import ctypes
import os
import re
import signal
import time

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_LIVE: set[int] = set()


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    """To a child and what it started: each child leads a process group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _kill_leftovers() -> None:
    for pid in list(_LIVE):
        _signal(pid, signal.SIGKILL)


atexit.register(_kill_leftovers)


async def until(condition, what: str, seconds: float = 5.0):
    """Polls an (async) condition until it returns something true; gives that, or fails saying what never came."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        await asyncio.sleep(0.02)


class Child:
    """A running program; `lines` holds everything it printed."""

    def __init__(self, process: asyncio.subprocess.Process, name: str):
        self.process = process
        self.name = name
        self.lines: list[str] = []
        self._news = asyncio.Condition()
        self._readers = [asyncio.create_task(self._read(stream)) for stream in (process.stdout, process.stderr)]

    @classmethod
    async def start(cls, *command, name: str, env: dict[str, str] | None = None, cwd=None, stdin: bool = False) -> "Child":
        process = await asyncio.create_subprocess_exec(
            *map(str, command),
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            limit=64 << 20,
            process_group=0,
            preexec_fn=_die_with_parent,
        )
        _LIVE.add(process.pid)
        return cls(process, name)

    @property
    def pid(self) -> int:
        return self.process.pid

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            async with self._news:
                self.lines.append(line.decode(errors="replace").rstrip("\n"))
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()

    async def line(self, pattern: str, seconds: float = 10.0, after: int = 0) -> re.Match[str]:
        """The first line past `after` that matches; fails if the program ends or the time passes."""
        seen = after
        async with asyncio.timeout(seconds):
            async with self._news:
                while True:
                    while seen < len(self.lines):
                        if found := re.search(pattern, self.lines[seen]):
                            return found
                        seen += 1
                    if all(reader.done() for reader in self._readers):
                        raise AssertionError(f"{self.name} ended without printing /{pattern}/:\n" + "\n".join(self.lines[-30:]))
                    try:
                        await asyncio.wait_for(self._news.wait(), timeout=0.5)
                    except TimeoutError:
                        pass

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def exit(self, seconds: float = 10.0) -> int:
        """Waits for the end and gives the exit code."""
        code = await asyncio.wait_for(self.process.wait(), seconds)
        await asyncio.gather(*self._readers)
        _LIVE.discard(self.pid)
        return code

    async def stop(self) -> None:
        """Ends it and what it started, by its process group: a term, then a kill."""
        if self.process.returncode is None:
            _signal(self.pid, signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), 2.0)
            except TimeoutError:
                pass
            _signal(self.pid, signal.SIGKILL)
            await self.process.wait()
        _LIVE.discard(self.pid)
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def rss_kib(self) -> int:
        """Resident memory, KiB."""
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        raise AssertionError(f"{self.name} is gone")


async def run(*command, env: dict[str, str] | None = None, seconds: float = 30, cwd=None, ok: bool = True) -> tuple[int, str, str]:
    """Runs a program to its end: exit code, output, errors. Fails on a code that is not 0 unless told otherwise."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        process_group=0,
        preexec_fn=_die_with_parent,
    )
    _LIVE.add(process.pid)
    try:
        out, err = await asyncio.wait_for(process.communicate(), seconds)
    except BaseException:
        _signal(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    finally:
        _LIVE.discard(process.pid)
    out, err = out.decode(errors="replace"), err.decode(errors="replace")
    if ok and process.returncode != 0:
        raise AssertionError(f"`{' '.join(map(str, command))}` ended with {process.returncode}:\n{out}{err}")
    return process.returncode, out, err
