#!/usr/bin/env python3
"""A small backend for profiles/tenants.yaml. It sends everything to everybody: what reaches whom is the gateway's to say."""

import json

from serving import run, say, who

NEWS = [
    {"type": "stuck_account_alert", "tenant": "pay_ready", "account": "a-17"},
    {"type": "team_performance", "tenant": "sophia_intel", "team": "north"},
    {"type": "deployment_event", "tenant": "artemis_tactical", "service": "api"},
    {"type": "report", "text": "paid with 4111 1111 1111 1111"},
]


async def client(connection) -> None:
    """One connection; the gateway's headers say who it is."""
    say(opened=connection.request.path, **who(connection, user="Subject", tenant="Tenant"))
    async for text in connection:
        told = json.loads(text)
        say(heard=told)
        if told["type"] == "sync":
            for one in NEWS:
                await connection.send(json.dumps(one))
        await connection.send(json.dumps({"type": told["type"] + ".done"}))


if __name__ == "__main__":
    run(client, __doc__, 8001)
