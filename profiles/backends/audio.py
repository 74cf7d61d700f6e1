#!/usr/bin/env python3
"""A small backend for profiles/audio.yaml: acknowledges every message of the workstation."""

import argparse
import asyncio
import json

from websockets.asyncio.server import serve


async def client(connection) -> None:
    """One connection; the gateway's header says who it is."""
    print(json.dumps({"opened": connection.request.path, "user": connection.request.headers.get("X-Portcullis-Subject", "")}), flush=True)
    async for text in connection:
        told = json.loads(text)
        await connection.send(json.dumps({"type": "ack", "id": told["id"], "timestamp": told["timestamp"]}))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8450)
    options = parser.parse_args()
    async with serve(client, "127.0.0.1", options.port, max_size=2 << 20) as server:
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
