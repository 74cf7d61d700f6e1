"""The demo, as a person meets it: the page in Chromium, an honest message, attacks, a flood, and what the gate decided."""

import json
import re

from harness.clients import Refused
from harness.processes import until
from harness.registry import case


async def page(lab):
    """The demo with its page open in Chromium."""
    gateway = await lab.demo()
    browser = await lab.chromium(f"http://127.0.0.1:{gateway.port}/")
    return gateway, browser


async def log(browser) -> str:
    return await browser.evaluate("() => document.getElementById('log').innerText")


async def press(browser, selector: str) -> None:
    await browser.program.call("click", id=browser.page, selector=selector)


async def connected(browser) -> None:
    await press(browser, "[data-door=token]")

    async def open_now():
        return await browser.evaluate("() => document.getElementById('state').dataset.state") == "open"

    await until(open_now, "the page is connected", 10)


def shows(browser, *words: str):
    async def look():
        text = await log(browser)
        return text if all(word in text for word in words) else None

    return until(look, f"the log shows {words}", 10)


@case("the demo prints its addresses, a token and things to try, and the token works", needs=("node",))
async def prints(lab):
    gateway = await lab.demo()
    token = re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "\n".join(gateway.child.lines))
    assert token, gateway.child.lines
    client = await lab.npm()
    connection = await client.open(f"{gateway.url}/ws", protocols=["bearer", token[0]])
    assert json.loads(await connection.receive())["type"] == "welcome"
    refused = await client.open(f"{gateway.url}/ws")  # refuse_with: close
    assert (await refused.closed())[0] == 4001


@case("an honest message with SQL words is delivered", needs=("node", "chromium"), seconds=60)
async def honest(lab):
    gateway, browser = await page(lab)
    await connected(browser)
    await press(browser, "#say button")
    await shows(browser, "Shall we select a table", "Delivered")
    assert await browser.evaluate("() => document.getElementById('count-refused').textContent") == "0"


@case("every attack on offer is refused with its reason and a reference that `explain` finds", needs=("node", "chromium"), seconds=90)
async def attacks(lab):
    gateway, browser = await page(lab)
    await connected(browser)
    names = await browser.evaluate("() => [...document.getElementById('payload').options].map((option) => option.textContent)")
    assert len(names) >= 10, names
    await press(browser, "#say button")
    await shows(browser, "Delivered")
    texts = []
    for at, name in enumerate(names):
        if not await browser.evaluate("() => document.getElementById('state').dataset.state === 'open'"):
            await connected(browser)
            await press(browser, "#clear")
            await press(browser, "#say button")  # ids are remembered for a connection: a replay needs one of this one
            await shows(browser, "Delivered")
        before = await browser.evaluate("() => document.querySelectorAll('#log li.refused, #log li.closed').length")
        await browser.evaluate("(at) => { const list = document.getElementById('payload'); list.value = String(at);"
                               " list.dispatchEvent(new Event('change')); }", at)
        await press(browser, "#attack button")

        async def refused():
            return await browser.evaluate("() => document.querySelectorAll('#log li.refused, #log li.closed').length") > before

        await until(refused, f"{name!r} is refused", 10)
        texts.append(await log(browser))
    text = "\n".join(texts)
    for reason in ("threat_sqli", "threat_xss", "threat_traversal", "threat_command", "json_malformed", "json_duplicate_key",
                   "type_refused", "replayed"):
        assert reason in text, (reason, text)
    reference = re.search(r"reference ([0-9a-f-]{36})", text)[1]
    assert "check" in (await gateway.explain(reference)).lower()
    said = await browser.program.call("said", id=browser.page)
    assert said["violations"] == [], said
    assert [line for line in said["said"] if line["kind"] == "pageerror"] == [], said


@case("a flood of 200: some delivered, the rest refused, the socket stays up", needs=("node", "chromium"), seconds=60)
async def flood(lab):
    gateway, browser = await page(lab)
    await connected(browser)
    await press(browser, "#flood")
    text = await shows(browser, "Flood over")
    found = re.search(r"Flood over: (\d+) delivered, (\d+) refused", text)
    delivered, refused = int(found[1]), int(found[2])
    assert delivered + refused == 200 and 20 <= delivered <= 120 and refused >= 80, found[0]
    assert await browser.evaluate("() => document.getElementById('state').dataset.state") == "open"


@case("the doors: 4001 without a token or with a forged one, 4003 for someone else's room, 4008 past the limit",
      needs=("node", "chromium"), seconds=60)
async def doors(lab):
    gateway, browser = await page(lab)
    for door, code in (("none", "4001"), ("forged", "4001"), ("foreign", "4003")):
        await press(browser, "#clear")
        await press(browser, f"[data-door={door}]")
        await shows(browser, code)
    await connected(browser)
    await press(browser, "[data-door=many]")
    await shows(browser, "4008")


@case("a page of another origin cannot reach the demo's socket", needs=("node", "chromium"), seconds=40)
async def other_origin(lab):
    gateway = await lab.demo()
    client = await lab.python()
    try:
        await client.open(f"{gateway.url}/ws", headers={"Origin": "https://evil.example"})
    except Refused as refused:
        assert refused.status == 403
        return
    # refuse_with: close
    connection = await client.open(f"{gateway.url}/ws", headers={"Origin": "https://evil.example"})
    assert (await connection.closed())[0] == 4003
