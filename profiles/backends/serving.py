"""What the backends of the profiles share: the port they are told, and the lines they print of what they hear."""

import argparse
import asyncio
import json

from websockets.asyncio.server import serve


def say(**line) -> None:
    """One line of JSON on standard output."""
    print(json.dumps(line), flush=True)


def who(connection, **headers: str) -> dict[str, str]:
    """Who a connection is, by headers of the gateway: `user="Subject"` reads `X-Portcullis-Subject`."""
    return {name: connection.request.headers.get(f"X-Portcullis-{header}", "") for name, header in headers.items()}


def run(client, about: str, port: int, flags=lambda parser: None, beside=lambda options: {}, **options) -> None:
    """Serves `client` on `--port`; `flags` adds flags, `beside` starts what stands beside it and names its ports."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--port", type=int, default=port)
    flags(parser)
    told = parser.parse_args()

    async def main() -> None:
        ports = beside(told)
        async with serve(client, "127.0.0.1", told.port, **options) as server:
            say(port=server.sockets[0].getsockname()[1], **ports)
            await server.serve_forever()

    asyncio.run(main())
