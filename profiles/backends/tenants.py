#!/usr/bin/env python3
"""A small backend for profiles/tenants.yaml. It sends everything to everybody: what reaches whom is the gateway's to say."""

import argparse
import asyncio
import json

from websockets.asyncio.server import serve

NEWS = [
    {"type": "stuck_account_alert", "tenant": "pay_ready", "account": "a-17"},
    {"type": "team_performance", "tenant": "sophia_intel", "team": "north"},
    {"type": "deployment_event", "tenant": "artemis_tactical", "service": "api"},
    {"type": "report", "text": "paid with 4111 1111 1111 1111"},
]


async def client(connection) -> None:
    """One connection; the gateway's headers say who it is."""
    headers = connection.request.headers
    who = {"user": headers.get("X-Portcullis-Subject", ""), "tenant": headers.get("X-Portcullis-Tenant", "")}
    print(json.dumps({"opened": connection.request.path, **who}), flush=True)
    async for text in connection:
        told = json.loads(text)
        print(json.dumps({"heard": told}), flush=True)
        if told["type"] == "sync":
            for one in NEWS:
                await connection.send(json.dumps(one))
        await connection.send(json.dumps({"type": told["type"] + ".done"}))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8001)
    options = parser.parse_args()
    async with serve(client, "127.0.0.1", options.port) as server:
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
