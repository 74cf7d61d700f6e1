"""The pages on authentication, followed to the letter: what a new user copies works, and prints what the page shows."""

from harness.manual import Page
from harness.providers import GATE_SECRET
from harness.registry import case


async def followed(lab, name: str, least: int, swaps: dict | None = None, env: dict | None = None):
    back = await lab.npm_echo()
    page = Page(lab, name, {"ws://127.0.0.1:3000": back.url, **(swaps or {})}, env or {})
    gateway, compared = await page.follow()
    assert compared >= least, f"only {compared} blocks say what they print"
    return back, gateway


for name, least in {"jwt": 3, "api-keys": 2, "sessions": 2, "tickets": 2, "client-certificates": 1}.items():

    @case(f"docs/authentication/{name}.md, as it is printed there", needs=("node", "openssl"), seconds=40)
    async def page(lab, name=name, least=least):
        back, gateway = await followed(lab, name, least)
        subjects = {seen["headers"].get("x-portcullis-subject") for seen in await back.seen()}
        meant = {"jwt": "ada", "api-keys": "svc-import", "sessions": "u1", "tickets": "u1", "client-certificates": "pump-7"}
        assert subjects == {meant[name]}, subjects


@case("docs/authentication/openid.md, as it is printed there, with oidc-provider", needs=("node", "oidc"), seconds=40)
async def openid(lab):
    provider = await lab.oidc_provider()
    swaps = {"https://clerk.example.com": provider.issuer, "audiences: [chat]": "audiences: [urn:jwt]"}
    await followed(lab, "openid", 1, swaps, {"TOKEN": await provider.token()})


@case("docs/authentication/opaque-tokens.md, as it is printed there, with oidc-provider", needs=("node", "oidc"), seconds=40)
async def opaque(lab):
    provider = await lab.oidc_provider()
    secret = lab.folder / "introspection.secret"
    secret.write_text(GATE_SECRET + "\n")
    swaps = {
        "https://issuer.example/oauth/introspect": f"{provider.issuer}/token/introspection",
        "client_id: portcullis": "client_id: gate",
        "introspection.secret": str(secret),
    }
    back, _ = await followed(lab, "opaque-tokens", 1, swaps, {"TOKEN": await provider.user("ada")})
    assert {seen["headers"]["x-portcullis-subject"] for seen in await back.seen()} == {"ada"}
