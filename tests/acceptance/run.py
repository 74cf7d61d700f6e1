#!/usr/bin/env python3
"""Runs the acceptance cases against the real binary.

  run.py                     all cases
  run.py echo identity       the topics whose name, or cases whose title, holds one of these words
  run.py --list              names only
  run.py --autobahn full     all 517 cases of Autobahn in the autobahn topic (default: fast)

The binary is $PORTCULLIS, or the development build. Exit 0 when nothing failed; skipped cases print their reason.
A case that failed runs once more, alone, after the others. What passes then is called unsteady and shown with its
first failure: a busy machine explains two of them, not three.
"""

import argparse
import asyncio
import pathlib
import signal
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import registry  # noqa: E402
from harness.gateway import binary  # noqa: E402
from harness.lab import Lab, Shared  # noqa: E402


UNSTEADY_MAX = 2


async def run_one(case: registry.Case, shared: Shared, verbose: bool) -> tuple[str, str]:
    """passed, failed or skipped, and why."""
    for need in case.needs:
        if reason := registry.missing_tool(need):
            return "skipped", reason
    lab = Lab(shared)
    try:
        async with asyncio.timeout(case.seconds):
            async with lab:
                try:
                    await case.run(lab)
                except BaseException:
                    if verbose:
                        for gateway in lab.gateways:
                            print("    --- the gateway's last lines:\n    " + "\n    ".join(gateway.child.lines[-25:]))
                    raise
        return "passed", ""
    except registry.Skip as reason:
        return "skipped", str(reason)
    except TimeoutError as error:
        return "failed", f"took longer than {case.seconds} s, or a wait in it ran out\n" + "".join(traceback.format_exception(error)[-3:])
    except Exception as error:
        return "failed", "".join(traceback.format_exception(error))


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--autobahn", choices=["fast", "deflate", "full"], default="fast")
    parser.add_argument("--suites", choices=["with", "without", "only"], default="with", help="Autobahn, slowhttptest, promtool")
    parser.add_argument("-v", "--verbose", action="store_true", help="the gateway's output with each failure")
    options = parser.parse_args()

    registry.OPTIONS["autobahn"] = options.autobahn
    cases = [case for case in registry.load() if not options.words or any(word in case.title for word in options.words)]
    if options.suites != "with":
        cases = [case for case in cases if case.suite == (options.suites == "only")]
    if options.list:
        print("\n".join(case.title for case in cases))
        return 0
    if not cases:
        print(f"no case matches {options.words}")
        return 2
    if not binary().exists():
        print(f"{binary()} is not there: cargo build -p portcullis")
        return 2

    # A term ends the running case in good order, as Ctrl-C does.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    shared = Shared()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    failures = []
    started = time.monotonic()
    try:
        for case in cases:
            began = time.monotonic()
            outcome, why = await run_one(case, shared, options.verbose)
            counts[outcome] += 1
            took = time.monotonic() - began
            print(f"  {outcome:7} {took:5.1f} s  {case.title}" + (f"\n          {why}" if outcome == "skipped" else ""), flush=True)
            if outcome == "failed":
                failures.append((case, why))
                if options.verbose:
                    print("    " + why.replace("\n", "\n    "), flush=True)
        unsteady = []
        for case, why in list(failures) if len(failures) <= UNSTEADY_MAX else []:
            outcome, _ = await run_one(case, shared, options.verbose)
            print(f"  {outcome:7} the second time  {case.title}", flush=True)
            if outcome == "passed":
                unsteady.append((case, why))
                failures = [one for one in failures if one[0] is not case]
                counts["failed"] -= 1
                counts["passed"] += 1
    finally:
        await shared.stop()
    for case, why in unsteady:
        print(f"\nUNSTEADY {case.title}\n  " + why.rstrip().replace("\n", "\n  "))
    for case, why in failures:
        print(f"\nFAILED {case.title}\n  " + why.rstrip().replace("\n", "\n  "))
    print(f"\nacceptance: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped"
          f", {len(unsteady)} unsteady in {time.monotonic() - started:.0f} s")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("ended before its end")
