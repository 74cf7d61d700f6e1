"""The list of cases: a case is a coroutine that takes a Lab, with a sentence for a name and the tools it needs."""

import dataclasses
import importlib
import pathlib
import shutil
import sys
from collections.abc import Awaitable, Callable

HERE = pathlib.Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
SUITES = ROOT.parent / "shared" / "suites"


@dataclasses.dataclass(frozen=True)
class Case:
    """One assertion about the running gateway."""

    topic: str
    name: str
    run: Callable[..., Awaitable[None]]
    needs: tuple[str, ...]
    seconds: float
    suite: bool

    @property
    def title(self) -> str:
        return f"{self.topic}: {self.name}"


class Skip(Exception):
    """Raised by a case that finds it cannot run here; its text is the printed reason."""


CASES: list[Case] = []
OPTIONS: dict[str, str] = {"autobahn": "fast"}


def case(name: str, *, needs: tuple[str, ...] = (), seconds: float = 20, suite: bool = False):
    """Registers a coroutine as a case. `seconds` bounds it; a `suite` is someone else's, and runs last."""

    def register(run):
        topic = run.__module__.rsplit(".", 1)[-1]
        CASES.append(Case(topic, name, run, needs, seconds, suite))
        return run

    return register


def load() -> list[Case]:
    """Imports every topic and returns its cases, quick topics first."""
    for file in sorted((HERE / "cases").glob("*.py")):
        if file.stem != "__init__":
            importlib.import_module(f"cases.{file.stem}")
    return sorted(CASES, key=lambda one: one.suite)


def missing_tool(need: str) -> str | None:
    """Why a needed tool cannot be used here, or None."""
    modules = HERE / "node_modules"
    if need == "node":
        return None if shutil.which("node") and (modules / "ws").is_dir() else "npm `ws` is not installed (tests/setup)"
    if need == "oidc":
        return None if shutil.which("node") and (modules / "oidc-provider").is_dir() else "npm `oidc-provider` is not installed (tests/setup)"
    if need == "chromium":
        if not shutil.which("chromium"):
            return "chromium is not installed (apt-get install chromium)"
        return None if (modules / "playwright-core").is_dir() else "playwright-core is not installed (tests/setup)"
    if need == "sqlmap":
        return None if shutil.which("sqlmap", path=str(pathlib.Path(sys.executable).parent)) else "sqlmap is not installed (tests/setup)"
    if need == "suites":
        return None if SUITES.is_dir() else "../shared/suites is not beside this repository"
    return None if shutil.which(need) else f"{need} is not installed (tests/setup)"
