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


class Cluster:
    """Three masters, each with a replica."""

    def __init__(self, servers: list[Redis]):
        self.servers = servers
        # Three of six: the others are found through them.
        self.url = ",".join(server.url for server in servers[:3])

    @classmethod
    async def start(cls, folder: pathlib.Path) -> "Cluster":
        folder.mkdir()
        servers = []
        self = cls(servers)
        try:
            for number in range(6):
                servers.append(await Redis.start(
                    folder / str(number), "--cluster-enabled", "yes", "--cluster-node-timeout", "2000",
                    "--cluster-port", str(free_port()), "--cluster-config-file", "nodes.conf",
                    "--repl-diskless-sync-delay", "0"))
            places = [f"127.0.0.1:{server.port}" for server in servers]
            await run("redis-cli", "--cluster", "create", *places, "--cluster-replicas", "1", "--cluster-yes", seconds=60)
            for server in servers:
                await until(lambda server=server: self.whole(server), "the cluster is whole", 30)
        except BaseException:
            await self.stop()
            raise
        return cls(servers)

    @staticmethod
    async def whole(server: Redis) -> bool:
        """It knows all the others, and a replica has what its master has."""
        _, cluster, _ = await run("redis-cli", "-p", server.port, "cluster", "info")
        _, own, _ = await run("redis-cli", "-p", server.port, "info", "replication")
        synced = "master_link_status:up" in own or ("role:master" in own and "connected_slaves:1" in own)
        return "cluster_state:ok" in cluster and "cluster_known_nodes:6" in cluster and synced

    async def master_of(self, key: str) -> Redis:
        """The server that holds a key."""
        slot = int((await self.servers[0].ask("CLUSTER", "KEYSLOT", key))[1:])
        _, out, _ = await run("redis-cli", "-p", self.servers[0].port, "cluster", "nodes")
        for line in out.splitlines():
            fields = line.split()
            if "master" in fields[2] and "fail" not in fields[2]:
                for span in fields[8:]:
                    low, _, high = span.partition("-")
                    if low.isdigit() and int(low) <= slot <= int(high or low):
                        port = int(fields[1].split("@")[0].rsplit(":", 1)[1])
                        return next(server for server in self.servers if server.port == port)
        raise AssertionError(f"nobody holds {key}:\n{out}")

    async def stop(self) -> None:
        for server in self.servers:
            await server.stop()


# What a gateway may do, as docs/nodes.md says.
ACCOUNT = ("+@all", "-@admin", "-@dangerous", "+info", "+role")


class Watched:
    """A master and a replica with a password, and three Sentinels with another one that watch them."""

    NAME = "portcullis"
    PASSWORD, OWN_PASSWORD = "server-server-server-server", "sentinel-sentinel-sentinel"
    OWN = "gateway-gateway-gateway-gateway"

    def __init__(self):
        self.servers: list[Redis] = []
        self.sentinels: list[Child] = []
        self.ports: list[int] = []

    @property
    def url(self) -> str:
        account = f"portcullis:{self.OWN}@"
        return ",".join(f"redis://{account if at == 0 else ''}127.0.0.1:{port}" for at, port in enumerate(self.ports))

    @classmethod
    async def start(cls, folder: pathlib.Path) -> "Watched":
        folder.mkdir()
        self = cls()
        # Whoever watches and replicates is somebody else than the gateway.
        lock = ("--user", "default", "on", f">{cls.PASSWORD}", "~*", "&*", "+@all", "--masterauth", cls.PASSWORD, "--repl-diskless-sync-delay", "0",
                "--user", "portcullis", "on", f">{cls.OWN}", "~{portcullis:*", *ACCOUNT)
        try:
            master = await Redis.start(folder / "0", *lock)
            self.servers.append(master)
            self.servers.append(await Redis.start(folder / "1", *lock, "--replicaof", "127.0.0.1", str(master.port)))
            for number in range(3):
                await self.watch(folder / f"s{number}", master.port)
            for port in self.ports:
                await until(lambda port=port: self.sees(port), "the Sentinels know each other and the replica", 30)
        except BaseException:
            await self.stop()
            raise
        return self

    async def watch(self, folder: pathlib.Path, master: int) -> None:
        folder.mkdir()
        port = free_port()
        (folder / "sentinel.conf").write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\nrequirepass {self.OWN_PASSWORD}\nsentinel sentinel-pass {self.OWN_PASSWORD}\n"
            f"sentinel monitor {self.NAME} 127.0.0.1 {master} 2\nsentinel auth-pass {self.NAME} {self.PASSWORD}\n"
            f"sentinel down-after-milliseconds {self.NAME} 1000\nsentinel failover-timeout {self.NAME} 5000\n")
        program = shutil.which("redis-server") or "valkey-server"
        self.sentinels.append(await Child.start(program, folder / "sentinel.conf", "--sentinel", name=f"sentinel {port}"))
        self.ports.append(port)

    async def sees(self, port: int) -> bool:
        code, out, _ = await run("redis-cli", "--no-auth-warning", "-a", self.OWN_PASSWORD, "-p", port, "sentinel", "master", self.NAME, ok=False)
        words = out.split("\n")
        count = {key: value for key, value in zip(words[::2], words[1::2])}
        return code == 0 and count.get("num-other-sentinels") == "2" and count.get("num-slaves") == "1" and count.get("flags") == "master"

    async def master(self) -> Redis:
        for port in self.ports:
            code, out, _ = await run("redis-cli", "--no-auth-warning", "-a", self.OWN_PASSWORD, "-p", port, "sentinel", "get-master-addr-by-name", self.NAME, ok=False)
            if code == 0:
                return next(server for server in self.servers if str(server.port) == out.split()[1])
        raise AssertionError("no Sentinel answers")

    async def stop(self) -> None:
        for sentinel in self.sentinels:
            await sentinel.stop()
        for server in self.servers:
            await server.stop()
