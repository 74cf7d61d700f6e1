#!/usr/bin/env python3
"""A small backend for profiles/live.yaml: every message is answered with its own text."""

import json

from serving import run, say, who


async def client(connection) -> None:
    """One connection; the gateway's headers say who it is."""
    say(opened=connection.request.path, **who(connection, user="Subject", roles="Roles"))
    async for text in connection:
        told = json.loads(text)
        await connection.send(json.dumps({"type": told["type"] + ".done", "text": told.get("text", "")}))


if __name__ == "__main__":
    run(client, __doc__, 8460)
