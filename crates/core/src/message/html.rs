//! HTML by allow-list (SPEC 8.6): what a field may hold of it, and the rest taken out. The text is parsed as browsers parse
//! it, so what they would make of broken markup is what is judged.
//!
//! Text without markup is never changed: `a < b & c` stays. Names of what was taken out are told, never values. A text
//! of more than [`HTML_BYTES_MAX`] bytes or [`MARKUP_MAX`] tags is not cleaned but given up: the parser's work grows with
//! the square of how deep tags nest. Tests: here, with the published cases of DOMPurify where they are at hand.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Longest text cleaned, and longest that may come of it, bytes.
pub const HTML_BYTES_MAX: usize = 64 << 10;
/// Most tags, comments and the like in one text.
pub const MARKUP_MAX: usize = 1000;
/// Most names told of what was taken out, and the longest of them, bytes.
const NAMES_MAX: usize = 8;
const NAME_BYTES_MAX: usize = 32;

/// Elements that run, load or change how the rest is read: never allowed.
pub const TAGS_REFUSED: [&str; 22] = [
    "script",
    "style",
    "svg",
    "math",
    "iframe",
    "frame",
    "frameset",
    "object",
    "embed",
    "applet",
    "base",
    "meta",
    "link",
    "noscript",
    "template",
    "xmp",
    "plaintext",
    "noembed",
    "noframes",
    "title",
    "textarea",
    "select",
];
/// Attributes that are never allowed, beside those that begin with `on`. `rel` is written by the sanitizer.
pub const ATTRIBUTES_REFUSED: [&str; 5] = ["style", "srcdoc", "rel", "formaction", "srcset"];
/// Schemes that run or hold documents: never allowed.
pub const SCHEMES_REFUSED: [&str; 5] = ["javascript", "vbscript", "data", "blob", "filesystem"];

/// What is allowed. All names are lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// Elements.
    pub tags: BTreeSet<String>,
    /// Element → its attributes.
    pub attributes: BTreeMap<String, BTreeSet<String>>,
    /// Schemes of addresses; relative addresses are never allowed.
    pub schemes: BTreeSet<String>,
    /// Hosts that no address may lead to, nor to one below them.
    pub blocked_domains: Arc<BTreeSet<String>>,
}

/// A text after cleaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cleaned {
    /// It is as it should be.
    Same,
    /// It was changed.
    Changed {
        /// What it is then.
        text: String,
        /// Names of elements and attributes taken out.
        removed: Vec<String>,
        /// Nothing was taken out: what looked like markup and is text is written as text.
        only_escaped: bool,
    },
    /// It is too much to be cleaned.
    TooMuch,
}

impl Allowed {
    /// Takes out what is not allowed.
    #[must_use]
    pub fn clean(&self, text: &str) -> Cleaned {
        match markup(text.as_bytes()).take(MARKUP_MAX + 1).count() {
            0 => return Cleaned::Same,
            count if count > MARKUP_MAX || text.len() > HTML_BYTES_MAX => return Cleaned::TooMuch,
            _ => {}
        }
        let blocked = Arc::new(AtomicBool::new(false));
        let cleaned = self.builder(Arc::clone(&blocked)).clean(text).to_string();
        if cleaned == text {
            return Cleaned::Same;
        }
        if cleaned.len() > HTML_BYTES_MAX {
            return Cleaned::TooMuch;
        }
        let mut removed = self.removed(text);
        if blocked.load(Ordering::Relaxed) {
            removed.push("a link to a blocked domain".to_owned());
        }
        let only_escaped = removed.is_empty() && unescaped(&cleaned) == unescaped(text);
        Cleaned::Changed { text: cleaned, removed, only_escaped }
    }

    fn builder(&self, found: Arc<AtomicBool>) -> ammonia::Builder<'_> {
        fn all(names: &BTreeSet<String>) -> HashSet<&str> {
            names.iter().map(String::as_str).collect()
        }
        let attributes: HashMap<&str, HashSet<&str>> =
            self.attributes.iter().map(|(tag, names)| (tag.as_str(), all(names))).collect();
        let (domains, schemes) = (Arc::clone(&self.blocked_domains), self.schemes.clone());
        let mut builder = ammonia::Builder::empty();
        builder
            .tags(all(&self.tags))
            .clean_content_tags(HashSet::from(["script", "style"]))
            .tag_attributes(attributes)
            .generic_attributes(HashSet::new())
            .url_schemes(all(&self.schemes))
            .url_relative(ammonia::UrlRelative::Deny)
            .link_rel(Some("noopener noreferrer nofollow"))
            .attribute_filter(move |_, name, value| {
                let leads_there = leads_to(value, &domains);
                found.fetch_or(leads_there, Ordering::Relaxed);
                let fits = !ADDRESSES.contains(&name) || is_of(value, &schemes);
                (fits && !leads_there).then_some(Cow::Borrowed(value))
            });
        builder
    }

    /// Names of elements and attributes that are not allowed, as they stand in the text: enough to see what it was.
    fn removed(&self, text: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let mut note = |name: String| {
            if names.len() < NAMES_MAX && !names.contains(&name) {
                names.push(name);
            }
        };
        for at in markup(text.as_bytes()) {
            let rest = text.get(at + 1..).unwrap_or_default();
            let tag = name(rest.trim_start_matches('/'));
            if tag.is_empty() {
                note("a comment".to_owned());
                continue;
            }
            if !self.tags.contains(&tag) {
                note(tag.clone());
            }
            let inside = rest.get(..rest.find('>').unwrap_or(rest.len())).unwrap_or_default();
            for word in inside.split(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '"' | '\'')).skip(1) {
                // A value is not told: only what is a name of HTML, or of a handler.
                let attribute = name(word);
                let known = is_handler(&attribute) || KNOWN_ATTRIBUTES.contains(&attribute.as_str());
                if known && !self.attributes.get(&tag).is_some_and(|own| own.contains(&attribute)) {
                    note(attribute);
                }
            }
        }
        names
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}").replace("&amp;", "&")
}

/// Attributes that hold an address, of old and new elements, beside `href` and `src`.
const ADDRESSES: [&str; 15] = [
    "action",
    "background",
    "cite",
    "classid",
    "codebase",
    "data",
    "dynsrc",
    "formaction",
    "icon",
    "longdesc",
    "lowsrc",
    "manifest",
    "ping",
    "poster",
    "profile",
];

/// Whether an address is whole and of one of the schemes.
fn is_of(value: &str, schemes: &BTreeSet<String>) -> bool {
    ammonia::Url::parse(value).is_ok_and(|url| schemes.contains(url.scheme()))
}

/// Attributes that are told by name.
const KNOWN_ATTRIBUTES: [&str; 14] = [
    "style",
    "src",
    "srcset",
    "srcdoc",
    "href",
    "action",
    "formaction",
    "target",
    "class",
    "id",
    "data",
    "poster",
    "background",
    "xmlns",
];

/// Whether an attribute's name is a handler's: it runs what it holds.
#[must_use]
pub fn is_handler(name: &str) -> bool {
    name.len() > 2 && name.starts_with("on") && name.bytes().all(|b| b.is_ascii_alphabetic())
}

/// Where markup begins as HTML reads it: everything else is text.
fn markup(text: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b'<', text)
        .filter(|at| text.get(at + 1).is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'/' | b'!' | b'?')))
}

fn name(text: &str) -> String {
    let is_part = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    text.chars().take(NAME_BYTES_MAX).take_while(is_part).map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether an address leads to one of the hosts or below. What is no address leads nowhere.
fn leads_to(value: &str, domains: &BTreeSet<String>) -> bool {
    let Ok(url) = ammonia::Url::parse(value) else { return false };
    let host = url.host_str().or_else(|| url.path().rsplit_once('@').map(|(_, host)| host));
    let Some(host) = host.map(|host| host.trim_end_matches('.').to_ascii_lowercase()) else { return false };
    domains
        .iter()
        .any(|domain| host.strip_suffix(domain.as_str()).is_some_and(|head| head.is_empty() || head.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn allowed() -> Allowed {
        Allowed {
            tags: set(&["b", "i", "u", "strong", "em", "code", "pre", "a"]),
            attributes: [("a".to_owned(), set(&["href", "title"]))].into(),
            schemes: set(&["https", "http", "mailto"]),
            blocked_domains: Arc::new(set(&["evil.example"])),
        }
    }

    fn clean(text: &str) -> Option<(String, String)> {
        match allowed().clean(text) {
            Cleaned::Same => None,
            Cleaned::Changed { text, removed, .. } => Some((text, removed.join(" "))),
            Cleaned::TooMuch => Some(("too much".into(), String::new())),
        }
    }

    #[test]
    fn what_is_allowed_and_what_is_text_stays() {
        for text in [
            "",
            "a < b && c > d",
            "I <3 you & them, 5<6",
            "<b>bold</b> <i>and</i> <u>u</u> <strong>s</strong> <em>e</em> <code>c</code><pre>p</pre>",
        ] {
            assert_eq!(clean(text), None, "{text}");
        }
    }

    #[test]
    fn the_rest_is_taken_out_and_named() {
        const REL: &str = r#" rel="noopener noreferrer nofollow""#;
        for (text, expected, removed) in [
            ("x<script>alert(1)</script>y", "xy", "script"),
            ("<b onclick=alert(1)>x</b>", "<b>x</b>", "onclick"),
            ("<img src=x onerror=alert(1)>hi", "hi", "img src onerror"),
            ("<b>x", "<b>x</b>", ""),
            ("a<!-- secret -->b", "ab", "a comment"),
            ("<div><b>x</b></div>", "<b>x</b>", "div"),
            ("<a href='javascript:alert(1)'>x</a>", &format!("<a{REL}>x</a>"), ""),
            ("<a href='JaVa&#115;cript:alert(1)'>x</a>", &format!("<a{REL}>x</a>"), ""),
            ("<a href='/path'>x</a>", &format!("<a{REL}>x</a>"), ""),
            ("<a href='//evil.example'>x</a>", &format!("<a{REL}>x</a>"), ""),
            (
                "<a href='https://a.example/?q=1' target=_top>x</a>",
                &format!("<a href=\"https://a.example/?q=1\"{REL}>x</a>"),
                "target",
            ),
            ("<a href='https://evil.example/'>x</a>", &format!("<a{REL}>x</a>"), "a link to a blocked domain"),
            ("<a href='https://www.EVIL.example./'>x</a>", &format!("<a{REL}>x</a>"), "a link to a blocked domain"),
            ("<a href='mailto:x@evil.example'>x</a>", &format!("<a{REL}>x</a>"), "a link to a blocked domain"),
            (
                "<a href='https://notevil.example/'>x</a>",
                &format!("<a href=\"https://notevil.example/\"{REL}>x</a>"),
                "",
            ),
            ("<svg><g/onload=alert(2)//<p>", "", "svg g onload p"),
            ("<math><mi//xlink:href=\"data:x,<script>alert(4)</script>\">", "", "math mi data script"),
            ("<b title='<script>'>x</b>", "<b>x</b>", "script"),
        ] {
            let (text, names) = clean(text).unwrap_or_else(|| panic!("{text} stays"));
            assert_eq!(text, expected, "{names}");
            assert_eq!(names, removed, "{text}");
        }
    }

    #[test]
    fn an_address_is_held_to_the_schemes_wherever_it_stands() {
        let attributes: Vec<&str> = ADDRESSES.into_iter().chain(["href", "src", "title"]).collect();
        let tags = ["a", "table", "td", "body", "blockquote", "img", "video", "input", "form"];
        let allowed = Allowed {
            tags: set(&tags),
            attributes: tags.iter().map(|tag| ((*tag).to_owned(), set(&attributes))).collect(),
            ..allowed()
        };
        let clean = |text: &str| match allowed.clean(text) {
            Cleaned::Changed { text, .. } => text,
            other => panic!("{text}: {other:?}"),
        };
        for attribute in ADDRESSES {
            for address in
                ["javascript:alert(1)", " jAvA&#10;script:alert(1)", "data:text/html,x", "/path", "//evil.example/"]
            {
                let text = format!("<table {attribute}=\"{address}\"></table>");
                assert_eq!(clean(&text), "<table></table>", "{text}");
            }
            let honest = format!("<table {attribute}=\"https://a.example/x\"></table>");
            assert_eq!(allowed.clean(&honest), Cleaned::Same);
        }
        let title = "<table title=\"javascript: a language\"></table>";
        assert_eq!(allowed.clean(title), Cleaned::Same, "a title is text");
    }

    #[test]
    fn text_beside_markup_is_written_as_text_and_that_is_no_finding() {
        let escaped = |text: &str| match allowed().clean(text) {
            Cleaned::Changed { text, only_escaped: true, .. } => text,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(escaped("<b>a</b> < c & d"), "<b>a</b> &lt; c &amp; d");
        for text in ["<b>x", "<a href='javascript:x'>y</a>", "<script>&lt;</script>", "<b>a</b> <i"] {
            assert!(
                !matches!(allowed().clean(text), Cleaned::Same | Cleaned::Changed { only_escaped: true, .. }),
                "{text}"
            );
        }
    }

    #[test]
    fn values_are_not_told() {
        let (_, names) = clean("<img alt='my password is hunter2' src=hunter2 onerror=hunter2>").unwrap();
        assert!(!names.contains("hunter2") && !names.contains("password"), "{names}");
    }

    #[test]
    fn more_than_can_be_cleaned_is_given_up() {
        assert_eq!(allowed().clean(&"<div>".repeat(MARKUP_MAX + 1)), Cleaned::TooMuch);
        assert_eq!(allowed().clean(&("<b>".to_owned() + &"x".repeat(HTML_BYTES_MAX))), Cleaned::TooMuch);
        assert!(matches!(allowed().clean(&"<div>".repeat(MARKUP_MAX)), Cleaned::Changed { .. }));
        assert_eq!(allowed().clean(&"x < ".repeat(HTML_BYTES_MAX)), Cleaned::Same, "text of any length is text");
    }

    #[test]
    fn the_published_cases_of_a_browsers_sanitizer_leave_nothing_but_what_is_allowed() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../../shared/vectors/dompurify/sanitize_cases.jsonl");
        let Ok(cases) = std::fs::read_to_string(&path) else {
            println!("skipped: {} is not here", path.display());
            return;
        };
        let mut judged = 0;
        for line in cases.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let payload = case["payload"].as_str().unwrap();
            let cleaned = match allowed().clean(payload) {
                Cleaned::Same => payload.to_owned(),
                Cleaned::Changed { text, .. } => text,
                Cleaned::TooMuch => continue,
            };
            judged += 1;
            assert_eq!(allowed().clean(&cleaned), Cleaned::Same, "{payload}\n{cleaned}");
            for at in markup(cleaned.as_bytes()) {
                let tag = name(cleaned[at + 1..].trim_start_matches('/'));
                assert!(allowed().tags.contains(&tag), "{payload}\n{cleaned}");
            }
        }
        assert!(judged > 200, "{judged}");
    }
}
