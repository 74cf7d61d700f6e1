"""A page of the manual, done as a reader would: files written, commands run, programs started, what they print compared.

A page is its fenced blocks in their order, up to the first heading after `## Try it`. YAML that begins with the comment
`# portcullis.yaml` is that file; `sh`, `python` and `js` run in its folder, and keep exported variables; a `text` block is what
the block before printed, `…` standing for anything.
"""

import os
import re
import stat
import sys

from harness.gateway import binary
from harness.processes import run
from harness.registry import HERE, ROOT

SERVE = "portcullis serve --config portcullis.yaml"


class Page:
    """A page that is being followed."""

    def __init__(self, lab, name: str, swaps: dict[str, str], env: dict[str, str]):
        self.lab, self.swaps, self.env = lab, swaps, env
        self.folder = lab.folder / "manual"
        self.folder.mkdir()
        (self.folder / "node_modules").symlink_to(HERE / "node_modules")
        shims = self.folder / "bin"
        shims.mkdir()
        (shims / "portcullis").symlink_to(binary())
        python = shims / "python3"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(python.stat().st_mode | stat.S_IXUSR)
        self.path = f"{shims}:{os.environ['PATH']}"
        text = (ROOT / "docs" / "authentication" / f"{name}.md").read_text()
        tried = re.search(r"^## Try it\n(.*?)(?=^## |\Z)", text, re.S | re.M)[1]
        self.blocks = re.findall(r"^```(\w+)\n(.*?)^```$", tried, re.S | re.M)
        self.gateway = None

    async def follow(self):
        """Every block. Gives the gateway, and how many were compared with what the page says."""
        printed, compared = "", 0
        for kind, block in self.blocks:
            for told, meant in self.swaps.items():
                block = block.replace(told, meant)
            match kind:
                case "yaml":
                    assert block.startswith("# portcullis.yaml\n"), block
                    (self.folder / "portcullis.yaml").write_text(block)
                case "sh":
                    before, serves, after = block.partition(SERVE + "\n")
                    printed = await self.shell(before)
                    if serves:
                        await self.serve()
                        printed += await self.shell(after)
                case "python":
                    printed = await self.program("sample.py", block, "python3")
                case "js":
                    printed = await self.program("sample.mjs", block, "node")
                case "text":
                    self.compare(block, printed)
                    compared += 1
                case other:
                    raise AssertionError(f"what to do with a block of {other}?")
        assert self.gateway, "the page starts no gateway"
        return self.gateway, compared

    async def serve(self) -> None:
        flags = ["--config", "portcullis.yaml", "--state", "portcullis-state"]
        self.gateway = await self.lab.gateway_in(self.folder, flags, self.env)
        self.swaps["127.0.0.1:8350"] = f"127.0.0.1:{self.gateway.port}"

    async def program(self, name: str, text: str, interpreter: str) -> str:
        (self.folder / name).write_text(text)
        return await self.shell(f"{interpreter} {name}")

    async def shell(self, text: str) -> str:
        kept = self.folder / "exported"
        script = f"set -eo pipefail\n[ -e {kept} ] && . {kept}\nPATH={self.path}\n{text}\nexport -p > {kept}\n"
        _, out, _ = await run("bash", "-c", script, env=self.env, cwd=self.folder, seconds=30)
        return out

    @staticmethod
    def compare(shown: str, printed: str) -> None:
        pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
        assert re.fullmatch(pattern, printed.strip()), f"the page shows\n{shown}\nand it printed\n{printed}"
