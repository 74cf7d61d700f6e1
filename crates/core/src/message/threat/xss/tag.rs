//! Tags as a browser reads them: a name, attributes with or without quotes, an end that may be missing.

use super::super::text::{
    all, before, byte, has, has_any, is_space, is_word, needles, rest, skip_space, window, word_at,
};

/// How far one tag is read.
const TAG_BYTES_MAX: usize = 1024;

pub(super) struct Tag<'t> {
    name: &'t [u8],
    attributes: &'t [u8],
    pub(super) closed: bool,
    /// Prose goes on behind it, without a call or an assignment.
    spoken_of: bool,
    pub(super) end: usize,
}

impl<'t> Tag<'t> {
    /// The tag that begins at an offset. `last` is where the text's last `>` stands.
    pub(super) fn read(low: &'t [u8], at: usize, last: usize) -> Option<Self> {
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
        let end = if last < start { None } else { memchr::memchr(b'>', body).and_then(|_| attributes_end(body)) };
        let open_end = || memchr::memchr(b'<', body).unwrap_or(body.len());
        let attributes = body.get(..end.unwrap_or_else(open_end)).unwrap_or_default();
        Some(Self {
            name: tail.get(..name_len)?,
            attributes,
            closed: end.is_some(),
            spoken_of: attributes.is_empty() && spoken_of(before(low, at), rest(tail, name_len + 1)),
            end: start + name_len + attributes.len(),
        })
    }

    pub(super) fn executes(&self) -> Option<&'static str> {
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
fn spoken_of(lead: u8, after: &[u8]) -> bool {
    let after = window(after, 0, 200);
    let after = after.get(..memchr::memchr(b'\n', after).unwrap_or(after.len())).unwrap_or_default();
    // `Data::<Script>::new()`, `Vec<Script>`, Pod's `C<script>s`.
    if (is_word(lead) || lead == b':') && !has(after, "</") {
        let code = matches!(byte(after, 0), b':' | b'>' | b',' | b')' | b'(' | b'{' | b'.' | b'[' | 0)
            || after.starts_with(b" {")
            || after.starts_with(b" =");
        let spoken = !after.iter().any(|b| matches!(b, b'(' | b'=' | b'`' | b'<'));
        if code || spoken {
            return true;
        }
    }
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
    if attributes.len() < "onxxx=".len() {
        return false;
    }
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
    if memchr::memchr2(b'=', b':', attributes).is_none() {
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
