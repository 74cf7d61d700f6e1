"""A user's connections over a group of routes, counted over several gateways (SPEC 6.6, 14.3)."""

import signal

from harness.clients import Refused
from harness.processes import until
from harness.registry import case

from cases.identity import KEYS
from cases.nodes import NEEDS, met

PATHS = ("/general", "/talk/c1")


async def house(lab):
    """Three gateways that have met; two routes of a group, and one that counts alone."""
    redis = await lab.redis()
    back = await lab.npm_echo()
    counted = {"upstream": back.url, "authenticate": "required", "credentials": ["header"]}
    grouped = {**counted, "connections_per_user_max": 3, "connections_per_user_group": "user"}
    routes = [
        {"name": "general", "path": "/general", **grouped},
        {"name": "talk", "path": "/talk/{conversation}", **grouped},
        {"name": "apart", "path": "/apart", **counted, "connections_per_user_max": 1, "refuse_with": "close"},
    ]
    config = {"environment": "development", **KEYS, "shared_state": {"url": redis.url, "lease": "3s"}, "routes": routes}
    gateways = [await lab.gateway_from(config) for _ in range(3)]
    for gateway in gateways:
        await met(gateway)
    return back, gateways


async def opened(lab, gateway, path, token):
    user = await lab.npm()
    return await user.open(gateway.url + path, headers={"Authorization": f"Bearer {token}"})


async def takes(lab, gateway, path, token):
    """A connection where there is room, else nothing."""
    try:
        return await opened(lab, gateway, path, token)
    except Refused as refused:
        assert refused.status == 429, refused
        return None


@case("a user's connections over two routes of a group and three gateways: the fourth is refused everywhere, other routes and users are not concerned, and a dead node's are given back", needs=NEEDS, seconds=60)
async def group(lab):
    back, gateways = await house(lab)
    token, other = await lab.token("--subject", "ada"), await lab.token("--subject", "ben")
    held = [await opened(lab, gateway, path, token) for gateway, path in zip(gateways, (*PATHS, PATHS[0]))]
    for gateway in gateways:
        for path in PATHS:
            assert await takes(lab, gateway, path, token) is None, path
    for gateway, path in zip(gateways, PATHS):
        assert await takes(lab, gateway, path, other), "another user"
    await opened(lab, gateways[0], "/apart", token)
    full = await opened(lab, gateways[1], "/apart", token)
    assert (await full.closed())[0] == 4008, "a route that counts alone is full on every node, and only then"
    assert len(back.requests) == 6, "a refused one reached the backend"
    event = await gateways[2].event(type="connections_per_user", user="ada")
    assert event["route"] in ("general", "talk"), event
    await held[0].close(1000)
    again = await until(lambda: takes(lab, gateways[2], PATHS[1], token), "the place that was given back is taken on another node and route")
    assert await takes(lab, gateways[0], PATHS[0], token) is None
    gateways[1].child.signal(signal.SIGKILL)
    await until(lambda: takes(lab, gateways[0], PATHS[0], token), "the dead node's connection is counted no more", 8)
    await again.send("still here")
    assert await again.receive() == "still here"
