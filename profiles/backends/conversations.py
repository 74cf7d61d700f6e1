#!/usr/bin/env python3
"""A small backend for profiles/conversations.yaml: three channels, and the service that knows who is in which conversation.

It trusts the gateway for everything that the profile asks of it: nobody is authenticated or refused here.
"""

import http.server
import json
import os
import threading

from serving import run, say
from websockets.asyncio.server import broadcast

MEMBERS = {"ada": ["c1", "c2"], "ben": ["c2"]}
GENERAL: set = set()


class Authorizer(http.server.BaseHTTPRequestHandler):
    """Answers the gateway's question: may this caller be here, and which conversations may it read?"""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        mine = MEMBERS.get(asked["principal"]["subject"], [])
        wanted = asked["params"].get("conversation_id")
        if self.headers.get("Authorization") != f"Bearer {os.environ['AUTHORIZER_TOKEN']}":
            status, answer = 401, {"allow": False}
        elif wanted is not None and wanted not in mine:
            status, answer = 200, {"allow": False, "reason": "not in this conversation"}
        else:
            status, answer = 200, {"allow": True, "permissions": [f"conversation.read:{one}" for one in mine]}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


def authorizer(options) -> dict[str, int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options.authorizer_port), Authorizer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return {"authorizer": server.server_port}


async def client(connection) -> None:
    """One connection; the path says which channel."""
    path = connection.request.path.split("?")[0].strip("/").split("/")
    say(opened=connection.request.path)
    if len(path) == 2:
        GENERAL.add(connection)
    try:
        async for text in connection:
            told = json.loads(text)
            if told["type"] == "message":
                for token in told["content"].split():
                    await connection.send(json.dumps({"type": "token", "token": token}))
                await connection.send(json.dumps({"type": "status", "status": "complete"}))
                # To everybody, whoever is in the conversation: what a client may hear is the gateway's to say.
                broadcast(GENERAL, json.dumps({"type": "conversation_update", "conversation_id": path[3]}))
            else:
                await connection.send(json.dumps({**told, "type": told["type"] + ".done"}))
    finally:
        GENERAL.discard(connection)


if __name__ == "__main__":
    run(client, __doc__, 8001, lambda parser: parser.add_argument("--authorizer-port", type=int, default=8002), authorizer)
