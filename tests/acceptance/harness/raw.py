"""A WebSocket client without manners: bytes as the case wants them, frames built and read by hand (RFC 6455 5.2)."""

import asyncio
import base64
import dataclasses
import os
import struct

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = b"\x11\x22\x33\x44",
          length: int | None = None, width: int | None = None) -> bytes:
    """One frame. `length` lies about the payload's size, `width` (7, 16 or 64) forces how it is written."""
    declared = len(payload) if length is None else length
    if width is None:
        width = 7 if declared < 126 else 16 if declared < 1 << 16 else 64
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if mask is not None else 0
    if width == 7:
        head = struct.pack("!BB", first, bit | declared)
    elif width == 16:
        head = struct.pack("!BBH", first, bit | 126, declared)
    else:
        head = struct.pack("!BBQ", first, bit | 127, declared)
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def close_payload(code: int, reason: str = "") -> bytes:
    return struct.pack("!H", code) + reason.encode()


@dataclasses.dataclass
class Response:
    """An HTTP response head, and the body where it has a length."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


async def read_response(reader: asyncio.StreamReader, seconds: float = 10) -> Response:
    """Reads one HTTP response."""
    async with asyncio.timeout(seconds):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = head.rstrip().split("\r\n")
        headers: dict[str, str] = {}
        for line in rest:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
        status = int(first.split()[1])
        body = b""
        if status not in (101, 204, 304):
            if "content-length" in headers:
                body = await reader.readexactly(int(headers["content-length"]))
            elif "chunked" in headers.get("transfer-encoding", ""):
                while size := int(await reader.readuntil(b"\r\n"), 16):
                    body += await reader.readexactly(size)
                    await reader.readexactly(2)
            else:
                body = await reader.read()
        return Response(status, headers, body)


class Raw:
    """A TCP connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer
        self.response: Response | None = None

    @classmethod
    async def connect(cls, port: int, host: str = "127.0.0.1") -> "Raw":
        return cls(*await asyncio.open_connection(host, port, limit=64 << 20))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def request(self, path: str = "/", headers: dict[str, str | None] | None = None, *, method: str = "GET",
                      before: bytes = b"", host: str = "127.0.0.1") -> Response:
        """A handshake; `headers` adds, replaces, or (None) removes a header by its name."""
        full: dict[str, str | None] = {
            "Host": host,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
        }
        full.update(headers or {})
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in full.items() if v is not None) + "\r\n"
        await self.send(before + head.encode("latin-1"))
        self.response = await read_response(self.reader)
        return self.response

    async def frame(self, seconds: float = 10) -> tuple[int, bytes]:
        """The next frame from the gateway: opcode and payload. Fails at the end of the stream."""
        async with asyncio.timeout(seconds):
            first, second = await self.reader.readexactly(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
            assert not second & 0x80, "a server must not mask"
            return first & 0x0F, await self.reader.readexactly(length)

    async def close_code(self, seconds: float = 10) -> int | None:
        """The code of the next Close frame (pings and messages are passed over); None when the stream ends without one."""
        try:
            while True:
                opcode, payload = await self.frame(seconds)
                if opcode == CLOSE:
                    return struct.unpack("!H", payload[:2])[0] if payload else 1005
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def ended(self, seconds: float = 10) -> bool:
        """Waits for the end of the stream, passing over what still comes."""
        async with asyncio.timeout(seconds):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass
            return True

    def close(self) -> None:
        self.writer.close()
