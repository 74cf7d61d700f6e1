//! The rules by name, and the page that says what to do about them.

use crate::policy::checked::ThreatClass;

/// Every rule of every class, in its words. `tests/attacks.rs` fails for one that is missing.
pub const RULES: &[(ThreatClass, &[&str])] = &[
    (
        ThreatClass::Sqli,
        &[
            "a call between quotes that close and open",
            "a chain of conditions",
            "a clause and nothing else",
            "a clause by the number of a column",
            "a comparison that somebody else's quote ends",
            "a condition and a comment that swallows the rest",
            "a condition and nothing else",
            "a condition in place of a value",
            "a condition that calls the database",
            "a condition that is always true",
            "a condition that is always true or tells something",
            "a condition whose other side is a statement's own",
            "a database function and a comment that swallows the rest",
            "a database function that waits or reveals",
            "a database's own catalogue or procedure",
            "a literal compared with itself",
            "a name that only a database's own tables and procedures have",
            "a query",
            "a quote closes and a clause follows",
            "a quote closes and a comment swallows the rest",
            "a quote closes and a statement follows",
            "a quote closes and an expression goes on",
            "a second SELECT joined by UNION",
            "a server's variable or a wait",
            "a statement",
            "a statement and a comment that swallows the rest",
            "a statement ends and another begins",
            "a statement follows",
            "a subquery in place of a value",
            "a text full of quotes that close",
            "a value ends and a clause follows",
            "a value ends and a comment swallows the rest",
            "a value ends and a statement follows",
            "an expression and a comment that swallows the rest",
            "an expression that only a database reads",
            "an operator between quotes that close and open",
            "calls compared, and nothing else",
            "calls that read a database letter by letter",
        ],
    ),
    (
        ThreatClass::Nosql,
        &[
            "a JavaScript condition goes on",
            "a JavaScript condition on the document",
            "a database call",
            "a query operator as key",
            "a query operator where a key stands",
            "a quote closes and JavaScript goes on",
            "a quote closes and a JavaScript condition goes on",
        ],
    ),
    (
        ThreatClass::Xss,
        &[
            "JavaScript that hides",
            "JavaScript that probes",
            "a browser's object reached by a spelled name",
            "a declaration that executes",
            "a page that is written by a message",
            "a quote closes and JavaScript goes on",
            "a script address",
            "a style that executes",
            "a tag that executes",
            "a tag that fetches what acts",
            "a tag that points at a script",
            "a tag with an event handler",
            "a way out of a template's sandbox",
            "an event handler",
            "text compiled into JavaScript",
        ],
    ),
    (
        ThreatClass::Command,
        &[
            "a call that runs a program",
            "a call that runs code, and nothing else",
            "a command",
            "a command after a separator",
            "a command on a line of its own",
            "a command run by another",
            "a command in disguise",
            "a command substituted into a value",
            "a program on a line of its own",
            "a quote closes and a command follows",
            "a shell's way to hide or reach out",
            "a system's folder spelt with wildcards",
            "a text full of commands",
            "a text piped into a shell",
            "a walk through folders, then a command",
            "an object that acts when it is read",
            "code inside an expansion",
            "code on an interpreter's command line",
        ],
    ),
    (
        ThreatClass::Traversal,
        &[
            "a local file as URL",
            "a path spelled in bytes that are no UTF-8",
            "a path that climbs",
            "a path that climbs by a trick",
            "a path that climbs far",
            "a path that climbs to a secret",
            "a path that climbs under an encoding",
            "a stream wrapper",
            "the path of a secret",
            "the path of a secret, and a byte that ends it",
        ],
    ),
    (
        ThreatClass::Template,
        &[
            "a server page that runs code",
            "a template directive that reaches out",
            "a template's statement",
            "an expression that computes",
            "an expression that reaches out",
        ],
    ),
    (
        ThreatClass::Ldap,
        &[
            "a composed directory filter",
            "a directory filter closed and an absolute one opened",
            "a directory filter closed and another opened",
            "a directory's match by the number of its rule",
        ],
    ),
    (ThreatClass::Xxe, &["a document type with an external subset", "an XML inclusion", "an entity declaration"]),
    (ThreatClass::Lookup, &["a `jndi` lookup", "a hidden `jndi` lookup", "lookups nested beyond reason"]),
];

/// `a quote closes` of `sqli` → `sqli/a-quote-closes`.
#[must_use]
pub fn name(class: ThreatClass, rule: &str) -> String {
    named(class.label(), rule)
}

/// The same of any class.
pub(crate) fn named(class: &str, rule: &str) -> String {
    let mut name = format!("{class}/");
    for c in rule.chars() {
        match c {
            ' ' => name.push('-'),
            c if c.is_ascii_alphanumeric() => name.push(c.to_ascii_lowercase()),
            _ => {}
        }
    }
    name
}

/// Where the class is explained.
#[must_use]
pub const fn page(class: ThreatClass) -> &'static str {
    match class {
        ThreatClass::Sqli => "docs/threats.md#sqli",
        ThreatClass::Nosql => "docs/threats.md#nosql",
        ThreatClass::Xss => "docs/threats.md#xss",
        ThreatClass::Command => "docs/threats.md#command",
        ThreatClass::Traversal => "docs/threats.md#traversal",
        ThreatClass::Template => "docs/threats.md#template",
        ThreatClass::Ldap => "docs/threats.md#ldap",
        ThreatClass::Xxe => "docs/threats.md#xxe",
        ThreatClass::Lookup => "docs/threats.md#lookup",
    }
}
