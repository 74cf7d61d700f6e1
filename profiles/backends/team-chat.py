#!/usr/bin/env python3
"""A small chat for profiles/team-chat.yaml: what somebody says goes to everybody, everything else is answered."""

import json

from serving import run, say, who
from websockets.asyncio.server import broadcast

PRESENT: set = set()


async def client(connection) -> None:
    """One connection; the gateway's headers say who it is."""
    speaker = who(connection, user="Subject", roles="Roles")
    say(opened=connection.request.path, **speaker)
    PRESENT.add(connection)
    try:
        async for text in connection:
            told = json.loads(text)
            say(heard=told)
            if told["type"] == "chat.send":
                said = {"type": "chat.said", "user": speaker["user"], "text": told["text"]}
                # A sealed field travels as it came.
                broadcast(PRESENT, json.dumps(said | ({"phone": told["phone"]} if "phone" in told else {})))
            else:
                await connection.send(json.dumps({"type": told["type"] + ".done"}))
    finally:
        PRESENT.discard(connection)


if __name__ == "__main__":
    run(client, __doc__, 8766)
