#!/usr/bin/env python3
"""A small chat for profiles/team-chat.yaml: what somebody says goes to everybody, everything else is answered."""

import argparse
import asyncio
import json

from websockets.asyncio.server import broadcast, serve

PRESENT: set = set()


async def client(connection) -> None:
    """One connection; the gateway's headers say who it is."""
    headers = connection.request.headers
    who = {"user": headers.get("X-Portcullis-Subject", ""), "roles": headers.get("X-Portcullis-Roles", "")}
    print(json.dumps({"opened": connection.request.path, **who}), flush=True)
    PRESENT.add(connection)
    try:
        async for text in connection:
            told = json.loads(text)
            print(json.dumps({"heard": told}), flush=True)
            if told["type"] == "chat.send":
                said = {"type": "chat.said", "user": who["user"], "text": told["text"]}
                # A sealed field travels as it came.
                broadcast(PRESENT, json.dumps(said | ({"phone": told["phone"]} if "phone" in told else {})))
            else:
                await connection.send(json.dumps({"type": told["type"] + ".done"}))
    finally:
        PRESENT.discard(connection)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8766)
    options = parser.parse_args()
    async with serve(client, "127.0.0.1", options.port) as server:
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
