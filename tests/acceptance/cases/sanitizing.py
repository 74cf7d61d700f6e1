"""HTML that the gateway cleaned, in a real browser: DOMPurify's own cases and the cross-site scripting of a corpus, from
../shared; nothing of what is left runs."""

import json

from harness.backends import pages
from harness.registry import ROOT, Skip, case

SHARED = ROOT.parent / "shared"
# Nothing may run, and whatever tries is told to the page: scripts, handlers, `javascript:`, frames, plug-ins, styles.
PAGE = """<!doctype html><title>page</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; connect-src ws:; base-uri 'none'; form-action 'none'">"""
# As many elements as a policy may let stay, and their attributes.
TAGS = ["a", "abbr", "audio", "b", "blockquote", "body", "br", "button", "caption", "center", "code", "col", "dd", "details", "dialog",
        "div", "dl", "dt", "em", "fieldset", "figure", "font", "form", "h1", "h2", "h3", "head", "hr", "html", "i", "img", "input",
        "ins", "kbd", "label", "legend", "li", "main", "map", "area", "mark", "marquee", "menu", "ol", "optgroup", "option", "p",
        "picture", "pre", "q", "section", "small", "source", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td",
        "tfoot", "th", "thead", "tr", "u", "ul", "video", "x"]
WIDE = {"tags": TAGS, "attributes": {tag: ["id", "name", "class", "title", "href", "src", "alt", "action", "background", "poster", "type",
                                           "value", "width", "target"] for tag in TAGS},
        "schemes": ["https", "http", "mailto", "tel"]}

# Sends every text and gives what came back in its place; null for what was refused.
SEND = """({ url, texts }) => new Promise((resolve, reject) => {
  const back = new Array(texts.length).fill(null);
  let heard = 0;
  const socket = new WebSocket(url);
  socket.onopen = () => texts.forEach((text, n) => socket.send(JSON.stringify({ n, text })));
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type !== 'error') back[message.n] = message.text;
    if (++heard === texts.length) resolve(back);
  };
  socket.onclose = ({ code }) => reject(new Error(`closed with ${code} after ${heard} of ${texts.length}`));
})"""

# Writes each into documents of its own, by the parser, as `innerHTML`, and as `innerHTML` of what that made of it. Gives what
# tried to run or load, and addresses that would.
LOAD = """async (texts) => {
  // A name in what was written may hide the methods of its document and its forms.
  const all = (inner) => Document.prototype.querySelectorAll.call(inner, '*');
  const attributes = Object.getOwnPropertyDescriptor(Element.prototype, 'attributes').get;
  const end = (inner) => Document.prototype.close.call(inner);
  const found = texts.map(() => new Set());
  const document_of = (heard) => {
    const frame = document.body.appendChild(document.createElement('iframe'));
    const inner = frame.contentDocument;
    inner.open();
    frame.contentWindow.addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) =>
      heard(`${effectiveDirective} ${blockedURI}`));
    return [frame, inner];
  };
  // Only a mail program, a web page or a telephone: what else would an address do?
  const addresses = (inner, heard) => {
    for (const element of all(inner)) {
      for (const { name, value } of attributes.call(element)) {
        if (name.startsWith('on')) heard(`attribute ${name}`);
        if (!['href', 'src', 'action', 'formaction', 'background', 'poster', 'xlink:href', 'data'].includes(name)) continue;
        const url = URL.canParse(value, 'about:blank') ? new URL(value, 'about:blank').protocol : 'none';
        if (!['http:', 'https:', 'mailto:', 'tel:', 'about:', 'none'].includes(url)) heard(`address ${url}`);
      }
    }
  };
  for (let at = 0; at < texts.length; at += 40) {
    const frames = [];
    texts.slice(at, at + 40).forEach((text, offset) => {
      // Pictures may be shown; this page has none.
      const heard = (what) => what.startsWith('img-src') || what.startsWith('media-src') || found[at + offset].add(what);
      const [parsed, inner] = document_of(heard);
      inner.write(text);
      end(inner);
      addresses(inner, heard);
      const [set, other] = document_of(heard);
      other.write('<!doctype html><body><div id=one></div><div id=two></div>');
      end(other);
      const one = other.getElementById('one'), two = other.getElementById('two');
      one.innerHTML = text;
      two.innerHTML = one.innerHTML;
      addresses(other, heard);
      frames.push(parsed, set);
    });
    // What is asked for after all of them is told after all of them.
    await new Promise((resolve) => {
      const [frame, inner] = document_of(resolve);
      frames.push(frame);
      inner.write('<script>1</script>');
      end(inner);
    });
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    for (const frame of frames) frame.remove();
  }
  return found.map((set) => [...set]);
}"""


def lines(*path: str) -> list[dict]:
    file = SHARED.joinpath(*path)
    if not file.exists():
        raise Skip(f"../shared/{'/'.join(path)} is not beside this repository")
    return [json.loads(line) for line in file.read_text().split("\n") if line]


async def cleaned(lab, html: dict, texts: list[str]) -> tuple[list[str | None], list[list[str]]]:
    """What a page gets through the gateway, and what of it runs."""
    back = await lab.npm_echo()
    gateway = await lab.gateway_from({
        "environment": "development", "upstream": back.url, "origins": {"allow": ["*"]},
        "messages": {"inbound": {"html": {"fields": ["/text"], **html}, "limits": [], "threats": {"mode": "off"}}}})
    server = await lab.tcp(pages({"/": (200, "text/html", PAGE)}))
    browser = await lab.chromium(server.http_url + "/")
    back = await browser.evaluate(SEND, {"url": gateway.url, "texts": texts}, 40)
    return back, await browser.evaluate(LOAD, kept(back), 60)


def kept(texts: list[str | None]) -> list[str]:
    """What is worth a look in a browser: each once, and no text without markup."""
    return sorted({text for text in texts if text is not None and "<" in text})


async def raw(lab, texts: list[str]) -> int:
    """How many of these run where nobody cleans them."""
    server = await lab.tcp(pages({"/": (200, "text/html", PAGE)}))
    browser = await lab.chromium(server.http_url + "/")
    return sum(bool(found) for found in await browser.evaluate(LOAD, texts, 60))


def nothing(texts: list[str | None], found: list[list[str]]) -> None:
    ran = [(text, what) for text, what in zip(kept(texts), found, strict=True) if what]
    assert not ran, f"{len(ran)} of {len(texts)} run: {ran[:5]}"


DOMPURIFY = ("vectors", "dompurify", "sanitize_cases.jsonl")
CORPUS = ("corpora", "attacks.jsonl")

for policy, html in (("as it is without a word", {}), ("as wide as it may be written", WIDE)):

    @case(f"DOMPurify's cases, cleaned by `html` {policy}: nothing of what is left runs in Chromium",
          needs=("node", "chromium"), seconds=240, suite=True)
    async def dompurify(lab, html=html):
        texts = [one["payload"] for one in lines(*DOMPURIFY)]
        back, found = await cleaned(lab, html, texts)
        assert sum(text is not None for text in back) > len(texts) * 0.9, "most were refused and not cleaned"
        nothing(back, found)

    @case(f"the corpus's cross-site scripting, cleaned by `html` {policy}: nothing of what is left runs in Chromium",
          needs=("node", "chromium"), seconds=240, suite=True)
    async def corpus(lab, html=html):
        texts = [one["payload"] for one in lines(*CORPUS) if one["class"] == "xss"]
        back, found = await cleaned(lab, html, texts)
        assert sum(text is not None for text in back) > len(texts) * 0.9, "most were refused and not cleaned"
        nothing(back, found)


@case("the same, uncleaned, does run in Chromium: the page above would tell", needs=("node", "chromium"), seconds=240, suite=True)
async def uncleaned(lab):
    for texts in ([one["payload"] for one in lines(*DOMPURIFY)], [one["payload"] for one in lines(*CORPUS) if one["class"] == "xss"][:300]):
        ran = await raw(lab, texts)
        assert ran > len(texts) * 0.3, f"only {ran} of {len(texts)} run"
