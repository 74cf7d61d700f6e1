//! Cross-site scripting: would a browser execute a part of a string (CWE-79).
//!
//! Reads tags as a browser does, forgivingly: a name right after `<`, attributes with or without quotes, an end
//! that may be missing. A tag convicts when it runs by itself (script, an embedded document), carries a
//! handler, or points an address at a script. Without a tag, what convicts is a quote that closes into a
//! handler or into JavaScript, or a script address. `Vec<String>` and `a < b` have nothing of it.

use std::sync::LazyLock;

use super::View;
use super::signs::Signs;
use super::text::{
    Words, all, before, byte, has, has_any, is_space, is_word, needles, rest, skip_space, trimmed, window, word_at,
    word_before, words_up_to,
};

/// How far one tag is read.
const TAG_BYTES_MAX: usize = 1024;

pub(super) fn judge(view: &View<'_>) -> Option<&'static str> {
    let low = view.low;
    let mut read_to = 0;
    for at in memchr::memchr_iter(b'<', low) {
        // A tag inside another tag's text was read with it, unless that one was left open.
        if at < read_to {
            continue;
        }
        let tag = Tag::read(low, at);
        read_to = tag.as_ref().map_or(0, |tag| if tag.closed { tag.end } else { at + 1 });
        if let Some(rule) = tag.and_then(|tag| tag.executes()) {
            return Some(rule);
        }
        if let Some(rule) = declaration(low, at) {
            return Some(rule);
        }
    }
    let shows = |signs| view.signs.any(signs);
    None.or_else(|| shows(Signs::HANDLER).then(|| handler(low)).flatten())
        .or_else(|| shows(Signs::ADDRESS).then(|| address(low)).flatten())
        .or_else(|| shows(Signs::ADDRESS.and(Signs::CALL).and(Signs::TAG)).then(|| styles(low)).flatten())
        .or_else(|| {
            shows(Signs::CALL.and(Signs::BRACKETS).and(Signs::BROWSER).and(Signs::ADDRESS))
                .then(|| script(low).or_else(|| super::sink::judge(low)))
                .flatten()
        })
}

struct Tag<'t> {
    name: &'t [u8],
    attributes: &'t [u8],
    closed: bool,
    /// Prose goes on behind it, without a call or an assignment.
    spoken_of: bool,
    end: usize,
}

impl<'t> Tag<'t> {
    fn read(low: &'t [u8], at: usize) -> Option<Self> {
        let mut start = at + 1;
        // Filters that take out the slash or a zero byte leave these behind.
        while matches!(byte(low, start), b'/' | 0 | b'<') && start < low.len() && start < at + 4 {
            start += 1;
        }
        let tail = window(low, start, TAG_BYTES_MAX);
        if !tail.first().is_some_and(|b| b.is_ascii_alphabetic()) {
            return None;
        }
        let name_len = tail.iter().take_while(|&&b| is_word(b) || matches!(b, b'-' | b':')).count();
        let body = rest(tail, name_len);
        // Without any end in sight a browser goes on to the next tag, and so does the reading.
        let end = memchr::memchr(b'>', body).and_then(|_| attributes_end(body));
        let open_end = || memchr::memchr(b'<', body).unwrap_or(body.len());
        let attributes = body.get(..end.unwrap_or_else(open_end)).unwrap_or_default();
        Some(Self {
            name: tail.get(..name_len)?,
            attributes,
            closed: end.is_some(),
            spoken_of: attributes.is_empty() && spoken_of(rest(tail, name_len + 1)),
            end: start + name_len + attributes.len(),
        })
    }

    fn executes(&self) -> Option<&'static str> {
        let local = self.name.rsplit(|&b| b == b':').next().unwrap_or(self.name);
        let opened = self.attributes.first().is_none_or(|&b| {
            is_space(b)
                || matches!(b, b'/' | b'"' | b'\'' | b'`' | b'>' | 0x00..=0x1f | b'<' | b'\\' | b'&' | b'+' | b'%')
        });
        if !opened && !matches!(self.attributes.first(), Some(b'=' | b'(' | 0x80..)) {
            return None;
        }
        let attrs = self.attributes;
        let has_attributes = has(attrs, "=") || has(attrs, " ");
        let runs = match local {
            b"script" | b"xss" => !self.spoken_of && (self.closed || attrs.is_empty() || has_attributes),
            b"iframe" | b"frame" | b"embed" | b"object" | b"applet" | b"bgsound" | b"ilayer" | b"layer" => {
                has(attrs, "=")
            }
            b"frameset" | b"isindex" | b"portal" | b"fencedframe" => has(attrs, "="),
            b"base" => has(attrs, "href"),
            b"link" => has(attrs, "href") && has_any(attrs, &["stylesheet", "import"]),
            b"meta" => has_any(attrs, &["http-equiv", "refresh", "set-cookie"]),
            b"animate" | b"set" | b"animatetransform" | b"animatemotion" => needles!(
                "attributename=href attributename=\"href attributename='href attributename=xlink \
                    attributename=\"xlink attributename=on attributename=\"on javascript"
            )
            .occur(attrs),
            b"style" => has_any(attrs, &["@import", "expression", "onload", "onerror"]),
            b"import" | b"handler" | b"listener" => has_any(attrs, &["implementation", "on", "event", "namespace"]),
            b"stylesheet" | b"transform" if self.name.starts_with(b"xsl") => true,
            b"event-source" => true,
            _ => false,
        };
        if runs {
            return Some("a tag that executes");
        }
        if handler_in(attrs) {
            return Some("a tag with an event handler");
        }
        if script_in(attrs) {
            return Some("a tag that points at a script");
        }
        if fetches(local, attrs) {
            return Some("a tag that fetches what acts");
        }
        let drawn = matches!(local, b"svg" | b"math") && has_any(attrs, &["xlink:href=data", "href=data:"]);
        drawn.then_some("a tag that points at a script")
    }
}

/// Data islands, links of drawings to other places, and styles that fetch: what they name decides what happens.
fn fetches(name: &[u8], attrs: &[u8]) -> bool {
    let island =
        name == b"xml" && has_any(attrs, &["src=", "src ="]) || needles!("datasrc= dataformatas=").occur(attrs);
    let linked =
        needles!("xlink:href=\"http xlink:href='http xlink:href=http xlink:href=\"// xlink:href='//").occur(attrs);
    let styled = has(attrs, "style") && {
        let outside =
            needles!("url(http url(\"http url('http url(// url(test expression( \\00 \\0065 behavior").occur(attrs);
        outside || has(attrs, "url(") && has_any(attrs, &[".svg", ".htc", "*/", "/*", "content:", ".xml"])
    };
    island || linked || styled
}

/// Words behind a tag that no script begins with.
fn spoken_of(after: &[u8]) -> bool {
    let after = window(after, 0, 200);
    after.starts_with(b" ")
        && byte(after, 1).is_ascii_alphabetic()
        && !after.iter().any(|b| matches!(b, b'(' | b'=' | b'<' | b'`' | b';'))
}

/// Where the attributes end: an angle bracket outside quotes.
fn attributes_end(body: &[u8]) -> Option<usize> {
    let mut quote = 0;
    let mut after_equals = false;
    for (at, &b) in body.iter().enumerate() {
        match b {
            b'>' if quote == 0 => return Some(at),
            b'"' | b'\'' if quote == 0 && after_equals => quote = b,
            b if b == quote && quote != 0 => quote = 0,
            _ => {}
        }
        if !is_space(b) {
            after_equals = b == b'=';
        }
    }
    // A quote that never closes hides nothing from a browser that recovers.
    if quote != 0 { memchr::memchr(b'>', body) } else { None }
}

/// `on…=` where an attribute can stand.
fn handler_in(attributes: &[u8]) -> bool {
    all(attributes, "on").any(|at| {
        let lead = before(attributes, at);
        let name = word_at(attributes, at);
        let end = at + name.len();
        let equals = if name.len() > 4 { skip_space(attributes, end) } else { return false };
        name.len() > 4
            && (is_space(lead) || matches!(lead, b'/' | b'"' | b'\'' | b'`' | b'<' | b'+' | 0..=0x1f | 0x80..))
            && name.iter().skip(2).all(u8::is_ascii_lowercase)
            && equals - end < 8
            && byte(attributes, equals) == b'='
            && byte(attributes, equals + 1) != b'='
    })
}

/// An address or style that is a script.
fn script_in(attributes: &[u8]) -> bool {
    if !has_any(attributes, &["=", ":"]) {
        return false;
    }
    // Browsers drop white space and control characters inside a scheme.
    let squeezed: Vec<u8> = attributes.iter().copied().filter(|&b| b > 0x20 && b != b'\\').collect();
    needles!(
        "javascript: vbscript: livescript: mocha: data:text/html data:image/svg data:application/x \
                    data:text/xml srcdoc= expression( -moz-binding behavior:url data:;base64 \
                    data:text/javascript data:text/css"
    )
    .occur(&squeezed)
        || has(&squeezed, "style=") && has_any(&squeezed, &["javascript", "\\65xpression", "exp/*"])
}

/// `<?xml-stylesheet`, `<![CDATA[<script`, `<!--` that hides a script, `<%`.
fn declaration(low: &[u8], at: usize) -> Option<&'static str> {
    let tail = window(low, at, 256);
    let sheet = tail.starts_with(b"<?xml-stylesheet") && has(tail, "href");
    let import = tail.starts_with(b"<?import") || tail.starts_with(b"<!--[if");
    let hidden = (tail.starts_with(b"<![cdata[") || tail.starts_with(b"<!--"))
        && has_any(tail, &["<script", "onerror=", "onload=", "javascript:"]);
    let list = tail.starts_with(b"<!attlist") && has_any(tail, &["javascript", "onload", "xlink"]);
    (sheet || import || hidden || list).then_some("a declaration that executes")
}

/// Events whose handlers run with little help from the user, or none.
static EVENTS: LazyLock<Words> = LazyLock::new(|| {
    Words::new(
        "onerror onload onclick onmouseover onfocus onblur ontoggle onstart onbegin onend onscroll \
        onresize onkeydown onkeypress onkeyup onmouseenter onmousemove onmouseout onmousedown \
        onmouseup onpageshow onanimationstart onanimationend ontransitionend onpointerover \
        onpointerdown onpointerenter onsubmit onchange oninput onwheel oncopy onpaste oncut ondrag \
        ondrop onhashchange onmessage onbeforeunload onunload onreadystatechange onpropertychange \
        onfinish onbounce onloadstart oncanplay onplay onafterscriptexecute onbeforescriptexecute \
        onfocusin onauxclick oncontextmenu ondblclick onselect onsearch oninvalid onshow onpopstate \
        ontouchstart onrepeat onactivate onwebkittransitionend onanimationcancel onloadend \
        onsecuritypolicyviolation",
    )
});

/// `" onmouseover=alert(1)`: a handler behind a quote, or a known one that calls.
fn handler(low: &[u8]) -> Option<&'static str> {
    all(low, "on")
        .any(|at| {
            let lead = before(low, at);
            if is_word(lead) || matches!(lead, b'.' | b'-' | b'$') {
                return false;
            }
            let name = word_at(low, at);
            let equals = skip_space(low, at + name.len());
            if !EVENTS.has(name) || byte(low, equals) != b'=' || matches!(byte(low, equals + 1), b'=' | b'>' | b'{') {
                return false;
            }
            let value = skip_space(low, equals + 1);
            // Code that assigns (`onclick = function`, `onload = () =>`) or JSX is not an attribute.
            let assigned = is_space(byte(low, equals + 1)) && !matches!(lead, b'"' | b'\'' | b'/');
            let tail = window(low, value, 160);
            !assigned && needles!("( ` = &# javascript \\u00").occur(tail)
        })
        .then_some("an event handler")
}

/// `javascript:…` where an address begins, and documents in an address.
fn address(low: &[u8]) -> Option<&'static str> {
    for scheme in ["script:", "script&colon;"] {
        for at in all(low, scheme) {
            let word = word_before(low, at + 6);
            if !matches!(word, b"javascript" | b"vbscript" | b"livescript") && !word.ends_with(b"javascript") {
                continue;
            }
            let tail = window(low, at + scheme.len(), 160);
            let code = skip_space(tail, 0);
            let glued = code == 0 || byte(tail, 0) != b' ';
            if glued && !rest(tail, code).is_empty() && needles!("( ` = // % & \\ .").occur(tail) {
                return Some("a script address");
            }
        }
    }
    let spread = has(low, "script") && squeezed_address(low);
    let document = ["data:text/html", "data:image/svg+xml", "data:application/xhtml", "data:text/xml"]
        .iter()
        .any(|kind| all(low, kind).any(|at| {
            let tail = window(low, at, 200);
            has(tail, ",") && (has_any(tail, &["<", "%3c", "base64", "&lt"]))
        } && !has(window(low, at, 200), "image/svg+xml;base64") || kind.ends_with("html") && has(window(low, at, 200), ",")));
    (spread || document).then_some("a script address")
}

/// `jav\tascript:` at the start of the string.
fn squeezed_address(low: &[u8]) -> bool {
    let mut wanted = b"javascript:".iter();
    let mut skipped = 0;
    for &b in trimmed(low).iter().take(64) {
        if is_space(b) && b != b' ' || b < 0x20 {
            skipped += 1;
        } else if wanted.next() != Some(&b) {
            return false;
        }
        if wanted.as_slice().is_empty() {
            return skipped > 0;
        }
    }
    false
}

fn styles(low: &[u8]) -> Option<&'static str> {
    let sheet = all(low, "<style").any(|at| {
        let tail = window(low, at, 400);
        has_any(tail, &["@import'", "@import ", "@import\"", "expression("]) || has(tail, "javascript:")
    });
    let expression = all(low, "expression(").any(|at| {
        matches!(before(low, at), b':' | b' ' | b'/' | b'*')
            && needles!("alert javascript eval document write =").occur(window(low, at, 80))
            && has(low, ":")
    });
    let binding = needles!(
        "-moz-binding: behavior:url( behaviour:url( url(javascript: url('javascript: \
                    url(\"javascript: @import'javascript @import·'javascript @import·\"javascript"
    )
    .occur(low);
    (sheet || expression || binding).then_some("a style that executes")
}

/// Calls that a probe makes to show that it ran.
static PROBES: LazyLock<Words> = LazyLock::new(|| {
    Words::new(
        "alert confirm prompt eval settimeout setinterval function import fetch write writeln print \
        open atob",
    )
});

/// JavaScript without a tag: behind a quote that closes, or nothing but a probe.
fn script(low: &[u8]) -> Option<&'static str> {
    let (mut quotes, mut counted) = (0_usize, 0_usize);
    for at in memchr::memchr2_iter(b'(', b'`', low) {
        let name_end = low
            .get(..at)
            .unwrap_or_default()
            .iter()
            .rev()
            .take(8)
            .position(|b| !is_space(*b) && !matches!(b, b')' | b'?' | b'.'))
            .map_or(0, |n| at - n);
        let name = word_before(low, name_end);
        if !PROBES.has(name) {
            continue;
        }
        let start = name_end - name.len();
        quotes += memchr::memchr3_iter(b'\'', b'"', b'`', low.get(counted..start).unwrap_or_default()).count();
        counted = start.max(counted);
        if breaks_out(low, start, quotes % 2 == 1)
            && !matches!(name, b"function" | b"import" | b"write" | b"print" | b"open")
        {
            return Some("a quote closes and JavaScript goes on");
        }
        if is_probe(low, name, at) {
            return Some("JavaScript that probes");
        }
    }
    let method = has_any(
        low,
        &[
            "].find(alert",
            "].map(alert",
            "].foreach(alert",
            "].filter(alert",
            "].every(alert",
            "].some(alert",
            "].findindex(alert",
        ],
    );
    let spelled = ["alert", "eval", "cookie", "prompt", "confirm"].iter().any(|name| {
        all(low, name).any(|at| {
            let quote = before(low, at);
            matches!(quote, b'\'' | b'"' | b'/')
                && before(low, at - 1) == b'['
                && is_word(before(low, at.saturating_sub(2)))
        })
    });
    if method || spelled || has_any(low, &["+adw-", "eval('", "eval(\""]) && has_any(low, &["+adw-", "'+'", "\"+\""]) {
        return Some("JavaScript that hides");
    }
    obfuscated(low).then_some("JavaScript that hides")
}

/// The statement before `start` is a string that was closed.
fn breaks_out(low: &[u8], start: usize, odd: bool) -> bool {
    let head = low.get(..start).unwrap_or_default();
    let lead: Vec<u8> = head.iter().rev().copied().take(12).collect();
    let operator = lead.iter().position(|b| !is_space(*b));
    let Some(first) = operator.and_then(|n| lead.get(n)) else { return false };
    if !matches!(
        first,
        b';' | b'-'
            | b'+'
            | b'*'
            | b'/'
            | b'^'
            | b'|'
            | b'&'
            | b','
            | b'('
            | b'}'
            | b'='
            | b'?'
            | b'<'
            | b'>'
            | b'%'
            | b'['
            | b':'
    ) {
        return false;
    }
    let quote = lead.iter().find(|b| {
        !is_space(**b)
            && !matches!(
                b,
                b';' | b'-'
                    | b'+'
                    | b'*'
                    | b'^'
                    | b'|'
                    | b'&'
                    | b'}'
                    | b')'
                    | b'('
                    | b','
                    | b'/'
                    | b'?'
                    | b'<'
                    | b'>'
                    | b'%'
                    | b'!'
                    | b'~'
                    | b'='
            )
    });
    // A text that itself begins as a string joins the call to it.
    let joined = matches!(head.first(), Some(b'\'' | b'"')) && start < 200 && words_up_to(low, 8) < 8;
    matches!(quote, Some(b'\'' | b'"' | b'`' | b'\\')) && odd || joined && matches!(quote, Some(b'\'' | b'"'))
}

/// `alert(1)`, `prompt(document.cookie)`: a call made only to be seen.
fn is_probe(low: &[u8], name: &[u8], paren: usize) -> bool {
    if !matches!(name, b"alert" | b"confirm" | b"prompt" | b"eval") {
        return false;
    }
    let argument = window(low, skip_space(low, paren + 1), 48);
    let first = byte(argument, 0);
    let number = first.is_ascii_digit()
        && argument
            .iter()
            .take(12)
            .find(|b| !b.is_ascii_digit())
            .is_none_or(|b| matches!(b, b')' | b'`' | b';' | b'/'));
    let spoils = needles!(
        "document cookie origin location xss string.fromcharcode atob( window. name) domain 1337 \
                    self[ hash /x/ 'x' \"x\""
    )
    .occur(argument);
    number
        || spoils && argument.len() < 200
        || first == b'/' && has(argument, ".source")
        || matches!(first, b')') && name != b"eval" && low.len() < 24
}

/// Ways to name a function without its name.
fn obfuscated(low: &[u8]) -> bool {
    needles!(
        "fromcharcode( [].constructor constructor.constructor .constructor( []['constructor (![]+[]) \
                    [][( eval(atob eval(name eval(location document['cookie document[\"cookie window['alert \
                    window[\"alert self['alert self[\"alert top['al top[\"al top[/al top[8680439 parent['al \
                    window['al globalthis[ settimeout` document.cookie innerhtml= outerhtml= document.write( \
                    document.location= window.location= location.href= location=' location=\" location=name \
                    location=location self['\\x eval.call alert.call alert.apply .source+/ throw·onerror \
                    onerror=alert onerror=eval document.domain __proto__[ __proto__. constructor[prototype"
    )
    .occur(low)
        && (has(low, "(") || has(low, "=") || has(low, "`") || low.len() < 24)
        && !is_prose(low)
}

/// Several words and a sentence's end: somebody explains.
fn is_prose(low: &[u8]) -> bool {
    words_up_to(low, 12) >= 12
}
