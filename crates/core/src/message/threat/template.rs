//! Template injection: would an engine evaluate a part of a string (CWE-1336).
//!
//! People write about templates: `{{ user.name }}` and `${name}` are prose. What convicts is an expression that
//! computes or reaches out: literals multiplied, internals (`__class__`, `constructor`, `getRuntime`), a
//! call with something dangerous in it.

use std::sync::LazyLock;

use super::View;
use super::text::{Needles, Words, all, byte, has, has_any, needles, rest, skip_space, window, word_at, words};

/// How far one expression is read.
const EXPRESSION_BYTES_MAX: usize = 512;

/// Shortest expression that reaches anything: `app`, `__(`.
const REACHING_BYTES_MIN: usize = 3;

/// Delimiters of the common engines, and what closes them.
const DELIMITERS: &[(&str, &str)] = &[
    ("{{", "}}"),
    ("${", "}"),
    ("#{", "}"),
    ("*{", "}"),
    ("@{", "}"),
    ("~{", "}"),
    ("<%", "%>"),
    ("{%", "%}"),
    ("{#", "#}"),
    ("@(", ")"),
    ("[[", "]]"),
    ("{$", "}"),
    ("{", "}"),
];

/// Names that an expression has no honest use for in a message.
static INTERNALS: LazyLock<Needles> = LazyLock::new(|| {
    Needles::new(
        "__ getruntime java.lang java.util java.io javax. t(java .getclass forname( constructor popen \
        subprocess os.system .system( system( exec( execute processbuilder child_process mainmodule \
        globals lipsum cycler joiner _self. self.template self.module self.context self.attr self._templatereference \
        mro subclasses freemarker ?new() classloader shell_exec passthru file_get_contents phpinfo \
        |filter( map(\"system map('system |map( |sort( |reduce( getenv request.application \
        request.args request[ config.items config.from config.__ settings.secret secret_key `id` \
        file.open dir.entries io.popen kernel. open( eval( import( require( $output smarty. \
        app.request dump(app registerundefined getfilter scriptengine write( readfile \
        gettemplatefrom .class. ['class'] [\"class\"] protectiondomain #rt _class process.env \
        session. objectspace global.process include( debug url_for get_flashed fetch( sleep( \
        toupper() bean $smarty pagecontext newinstance( new·file( newfile( newurl( .getattribute( getresource( file_excerpt system.shell (_context tourl() .constructor string.sub __lookup this.pop _.templatesettings facescontext \
        applicationscope param. requestscope initparam",
    )
});

/// First words of statements in Jinja, Twig, Django and Liquid.
static STATEMENTS: LazyLock<Words> = LazyLock::new(|| {
    Words::new(
        "for set include extends block macro import from call filter load raw verbatim autoescape with \
         debug csrf_token assign capture case unless render",
    )
});

pub(super) fn judge(view: &View<'_>) -> Option<&'static str> {
    let low = view.low;
    if let Some(rule) = acts(low) {
        return Some(rule);
    }
    if !is_rich(low) {
        return directive(low);
    }
    // One delimiter that holds another (`{{` holds `{`) is read once: the longer one comes first.
    for (opening, closing) in DELIMITERS {
        let weak = matches!(*opening, "{" | "[[" | "@(");
        let mut done = 0;
        for at in all(low, opening) {
            if at < done {
                continue;
            }
            let tail = window(low, at + opening.len(), EXPRESSION_BYTES_MAX);
            let end = memchr::memmem::find(tail, closing.as_bytes());
            let body = tail.get(..end.unwrap_or(tail.len())).unwrap_or_default();
            done = at + opening.len() + body.len();
            // A format string's braces stand right behind its quote.
            let formats = *opening == "{" && matches!(super::text::before(low, at), b'\'' | b'"');
            let conversion = *opening == "<%" && end.is_none() && byte(body, 1) == b'>';
            if formats || conversion {
                continue;
            }
            if let Some(rule) = expression(body, opening, end.is_some(), weak) {
                return Some(rule);
            }
        }
    }
    directive(low)
}

/// Whether any expression could convict: something dangerous is named, or literals are computed with.
fn is_rich(low: &[u8]) -> bool {
    let computes = low.iter().zip(low.iter().skip(1)).any(|(&a, &b)| {
        matches!(a, b'*' | b'+') && (b.is_ascii_digit() || matches!(b, b' ' | b'\'' | b'"' | b'(' | b'@'))
    }) && low.iter().any(u8::is_ascii_digit);
    computes
        || needles!("?c} |add:").occur(low)
        || INTERNALS.occur(low)
        || needles!(
            "self config request this settings app env debug <%[% system( exec( file. dir. popen ` io. runtime eval( |"
        )
        .occur(low)
}

fn expression(body: &[u8], opening: &str, closed: bool, weak: bool) -> Option<&'static str> {
    if closed && computes(body) {
        return Some("an expression that computes");
    }
    if weak {
        // A brace alone is every language's; only what no code in a chat says convicts.
        let smarty = !body.first().is_none_or(u8::is_ascii_whitespace)
            && needles!("php} php system( self:: include·file $smarty").occur(body)
            && body.len() < 200
            && opening == "{";
        return (smarty && has_any(body, &["system(", "self::", "$smarty.version", "$smarty.template"]))
            .then_some("an expression that reaches out");
    }
    if opening == "<%" {
        let script =
            needles!("system( exec( file. dir. popen ` io. runtime response.write eval( request( require").occur(body);
        return script.then_some("a server page that runs code");
    }
    if body.len() < REACHING_BYTES_MIN && opening != "{%" {
        return None;
    }
    let squeezed: Vec<u8> = body.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    let mut framed = squeezed;
    framed.extend_from_slice(b"}}");
    let whole = matches!(
        framed.as_slice(),
        b"self}}" | b"config}}" | b"request}}" | b"this}}" | b"settings}}" | b"app}}" | b"env}}" | b"debug}}"
    );
    if framed.starts_with(b"<%[%") || whole && opening == "{{" || has_internals(&framed, opening) || joins_strings(body)
    {
        return Some("an expression that reaches out");
    }
    None
}

fn has_internals(framed: &[u8], opening: &str) -> bool {
    // `debug`, `bean`, `write(` and the like are ordinary words in `${…}` of shells and JavaScript.
    let calls = has(framed, "(") || has(framed, "[") || has(framed, ".") || opening == "{%";
    calls && INTERNALS.occur(framed)
}

/// `7*7`, `'7'*7`, `3*'3'`, `1-1+2`: literals only.
fn computes(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"=").or_else(|| body.strip_prefix(b"{")).unwrap_or(body).trim_ascii();
    let body = body.strip_prefix(b"print(").unwrap_or(body);
    // `${7*7?c}`, `{{364|add:733}}`: a literal is given to a filter that reckons or spells it.
    if let Some(number) = body.strip_suffix(b"?c") {
        return number.iter().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'+' | b'(' | b')'))
            && !number.is_empty();
    }
    let first = body.iter().take(20).take_while(|b| b.is_ascii_digit()).count();
    if first > 0 && rest(body, first).starts_with(b"|add:") {
        return rest(body, first + 5).iter().all(u8::is_ascii_digit);
    }
    let digits = body.iter().filter(|b| b.is_ascii_digit()).count();
    let operator = body.iter().skip(1).any(|b| matches!(b, b'*' | b'+' | b'/' | b'%' | b'-'));
    let only = body.iter().all(|b| {
        b.is_ascii_digit()
            || matches!(b, b'*' | b'+' | b'-' | b'/' | b'%' | b' ' | b'\'' | b'"' | b'.' | b'(' | b')' | b'@' | b',')
    });
    let product = (body.contains(&b'*') || has(body, "+")) && (byte(body, 0) == b'(' || !body.contains(&b','));
    digits >= 2 && operator && only && product
}

/// `['a','b']|join`, `"x"|attr(`, `()|attr(`: strings put together to hide a name.
fn joins_strings(body: &[u8]) -> bool {
    has(body, "|")
        && needles!("|attr( |·attr( |join |format( |filter( |map( |list) |string) |reverse").occur(body)
        && has_any(body, &["'", "\"", "()", "["])
}

/// Tags that no reader sees: statements, sections, calls on literals, code in an expansion.
fn acts(low: &[u8]) -> Option<&'static str> {
    let statement = all(low, "{%").any(|at| {
        let from = skip_space(low, at + 2 + usize::from(matches!(byte(low, at + 2), b'-' | b'+')));
        let word = word_at(low, from);
        let body = window(low, from, EXPRESSION_BYTES_MAX);
        let body = memchr::memmem::find(body, b"%}").and_then(|end| body.get(..end));
        body.is_some_and(|body| match word {
            // People show each other `{% if user %}`; a condition that is a literal is a probe.
            b"if" => matches!(body.get(2..).unwrap_or_default().trim_ascii(), b"true" | b"false" | b"1" | b"0"),
            b"endif" | b"else" | b"elif" => false,
            word => STATEMENTS.has(word) || word.starts_with(b"end") || word.starts_with(b"get_"),
        })
    });
    let section = all(low, "{{").any(|at| {
        let sign = matches!(byte(low, at + 2), b'#' | b'/' | b'>' | b'=');
        sign && has(window(low, at, 96), "}}") && words!("with each if unless lookup helper").has(word_at(low, at + 3))
            || byte(low, at + 2) == b'=' && has(window(low, at, 48), "_.")
    });
    let literal = all(low, "{{").any(|at| {
        let body = window(low, skip_space(low, at + 2), EXPRESSION_BYTES_MAX);
        let quote = matches!(byte(body, 0), b'\'' | b'"' | b'(' | b'[');
        let end = memchr::memmem::find(body, b"}}").unwrap_or(0);
        quote
            && has(body.get(..end).unwrap_or_default(), "(")
            && has(body.get(..end).unwrap_or_default(), ").")
                | needles!("'. \". ').").occur(body.get(..end).unwrap_or_default())
    });
    let page = all(low, "<%").any(|at| {
        let body = window(low, at + 2, EXPRESSION_BYTES_MAX);
        let body = memchr::memmem::find(body, b"%>").and_then(|end| body.get(..end));
        body.is_some_and(|body| needles!("system. (system _. if· for· %> exec shell `").occur(body))
    });
    let expansion = all(low, "${").any(|at| {
        let body = window(low, at + 2, EXPRESSION_BYTES_MAX);
        let end = memchr::memchr(b'}', body).unwrap_or(body.len());
        let body = body.get(..end).unwrap_or_default();
        let made = body.starts_with(b"new ") || body.starts_with(b"this.") || body.starts_with(b"=");
        // `"a.b"?new`, `'a'.length`: something is asked of a text. Perl joins texts with dots and spaces.
        let quote = byte(body, 0);
        let asked = matches!(quote, b'\'' | b'"')
            && memchr::memchr(quote, rest(body, 1))
                .is_some_and(|len| matches!(byte(body, len + 2), b'.' | b'?' | b'['));
        (made || asked) && (has(body, "(") || quote == b'=')
    });
    let block = has(low, "{php}") || all(low, "[=").any(|at| has(window(low, at, 120), "?new(")) || {
        all(low, "<#assign").any(|at| has(window(low, at, 200), "("))
    };
    if statement || section || literal || page || expansion || block {
        return Some("a template's statement");
    }
    None
}

/// Engines that write their statements without closing marks.
fn directive(low: &[u8]) -> Option<&'static str> {
    let velocity = all(low, "#set").any(|at| {
        let tail = window(low, at, EXPRESSION_BYTES_MAX);
        has(tail, "(") && needles!(".class runtime forname .exec inspect( getclass *7 process").occur(tail)
    });
    let freemarker = ["<#assign", "<#include", "[#assign", "<#list", "<#import"].iter().any(|tag| {
        all(low, tag).any(|at| {
            needles!("freemarker new() class execute ?eval ?api /etc/ file: .data_model ?interpret").occur(window(
                low,
                at,
                EXPRESSION_BYTES_MAX,
            ))
        })
    });
    let jade = needles!("#{root #{global -·var·x·-var·x·#{function() <%include <%page <%import").occur(low)
        && has_any(low, &["process", "require", "(", "import"]);
    let razor = all(low, "@").any(|at| {
        let tail = rest(low, at + 1);
        tail.starts_with(b"{//")
            || tail.starts_with(b"(1+")
            || tail.starts_with(b"system.diagnostics")
            || tail.starts_with(b"system.io")
            || tail.starts_with(b"@{")
    });
    let edge = all(low, "$").any(|at| {
        let tail = window(low, at, 80);
        byte(tail, 1).is_ascii_alphabetic()
            && has_any(tail, &[".class.inspect(", ".getclass()", ".class.forname(", ".inspect.class."])
    });
    if velocity || freemarker || jade || razor || edge {
        return Some("a template directive that reaches out");
    }
    None
}
