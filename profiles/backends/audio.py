#!/usr/bin/env python3
"""A small backend for profiles/audio.yaml: acknowledges every message of the workstation."""

import json

from serving import run, say, who


async def client(connection) -> None:
    """One connection; the gateway's header says who it is."""
    say(opened=connection.request.path, **who(connection, user="Subject"))
    async for text in connection:
        told = json.loads(text)
        await connection.send(json.dumps({"type": "ack", "id": told["id"], "timestamp": told["timestamp"]}))


if __name__ == "__main__":
    run(client, __doc__, 8450, max_size=2 << 20)
