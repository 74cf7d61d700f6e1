"""The profiles as an operator starts them: exactly the file, with ports, folders and secrets from outside."""

import json
import sys

from harness.gateway import Gateway
from harness.processes import Child
from harness.registry import ROOT

PROFILES = ROOT / "profiles"


async def backend(lab, name: str, *flags: str, env: dict[str, str] | None = None) -> tuple[Child, dict[str, int]]:
    """The profile's own small backend on free ports: its process, and the ports it printed."""
    child = await lab.program(sys.executable, PROFILES / "backends" / f"{name}.py", "--port", "0", *flags,
                              name=f"{name} backend", env=env)
    found = await child.line(r'^(\{"port":.*\})$')
    return child, json.loads(found[1])


def opened(child: Child) -> list[str]:
    """Paths of the connections that reached the backend."""
    return [json.loads(line)["opened"] for line in child.lines if line.startswith('{"opened"')]


async def gateway(lab, name: str, sets: dict[str, object], env: dict[str, str]) -> Gateway:
    """`portcullis serve --config profiles/NAME.yaml` with a `--set` for each of `sets`."""
    flags = ["--config", str(PROFILES / f"{name}.yaml")]
    for key, value in sets.items():
        flags += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return await lab.gateway_from(None, flags, env)


async def said(connection, **message) -> dict:
    """What is answered to a message."""
    await connection.send(json.dumps(message))
    return json.loads(await connection.receive())
