//! What the prefilter sees in a string, and which classes rest on it.
//!
//! Each constant states the necessary condition of the rules that rest on it: a rule whose sign is not shown is not
//! asked.

use super::ClassSet;
use crate::policy::checked::ThreatClass;

/// What a string shows; a set of the constants below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Signs(u32);

impl Signs {
    /// Nothing.
    pub(super) const NONE: Self = Self(0);
    /// A quote, then what continues an expression.
    pub(super) const QUOTE: Self = Self(1);
    /// `<` and what can begin a tag or a declaration.
    pub(super) const TAG: Self = Self(1 << 1);
    /// `<!`.
    pub(super) const DECLARATION: Self = Self(1 << 2);
    /// `<%`, `<#`, `<?`, `<!--#`.
    pub(super) const SERVER: Self = Self(1 << 3);
    /// `;`, `|`, `&` or a line's end, then a program, a statement or a script.
    pub(super) const SEPARATOR: Self = Self(1 << 4);
    /// `$(`, `` ` ``, `<(` and a program.
    pub(super) const SUBSTITUTION: Self = Self(1 << 5);
    /// `${`.
    pub(super) const DOLLAR_BRACE: Self = Self(1 << 6);
    /// `$` and a name.
    pub(super) const DOLLAR: Self = Self(1 << 7);
    /// A mark inside a word that a shell takes out.
    pub(super) const DISGUISE: Self = Self(1 << 8);
    /// `{{`, `{%`, `#{`, `*{`, `@(`, `[[`, `{7`, `#set`…
    pub(super) const TEMPLATE: Self = Self(1 << 9);
    /// A bracket chain of JavaScript without names.
    pub(super) const BRACKETS: Self = Self(1 << 10);
    /// A name that an attacker calls, then `(` or `` ` ``.
    pub(super) const CALL: Self = Self(1 << 11);
    /// `)(`, `(&`, `(|`, `(!`, `*)`.
    pub(super) const FILTER: Self = Self(1 << 12);
    /// `on…=`.
    pub(super) const HANDLER: Self = Self(1 << 13);
    /// A literal on both sides of a comparison.
    pub(super) const COMPARISON: Self = Self(1 << 14);
    /// `--`, `/*`, `#` where SQL has them.
    pub(super) const COMMENT: Self = Self(1 << 15);
    /// `../`, `..\`, `..2f`.
    pub(super) const CLIMB: Self = Self(1 << 16);
    /// A folder of a system after a slash.
    pub(super) const PATH: Self = Self(1 << 17);
    /// `file:`, `php:` and the like.
    pub(super) const SCHEME: Self = Self(1 << 18);
    /// `javascript:`, `data:text/html`, `-moz-binding:`.
    pub(super) const ADDRESS: Self = Self(1 << 19);
    /// `@@`.
    pub(super) const SERVER_VARIABLE: Self = Self(1 << 20);
    /// The string begins as a value and goes on as a condition or clause.
    pub(super) const VALUE: Self = Self(1 << 21);
    /// A word of SQL statements.
    pub(super) const STATEMENT: Self = Self(1 << 22);
    /// A name of the browser's objects.
    pub(super) const BROWSER: Self = Self(1 << 23);
    /// `%c0`, `%00`, `%u`.
    pub(super) const OVERLONG: Self = Self(1 << 24);
    /// `() {`.
    pub(super) const FUNCTION: Self = Self(1 << 25);

    /// How many there are.
    pub(super) const BITS: usize = 26;

    /// Every single one.
    pub(super) fn each() -> impl Iterator<Item = Self> {
        (0..Self::BITS).map(|bit| Self(1 << bit))
    }

    /// Whether any of `others` is shown.
    #[inline]
    pub(super) const fn any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Whether all of `others` are shown.
    #[inline]
    pub(super) const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Nothing is shown.
    #[inline]
    pub(super) const fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All of them.
    #[cfg(test)]
    pub(super) const fn all() -> Self {
        Self(u32::MAX)
    }

    pub(super) const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// The classes whose rules rest on what is shown.
    pub(super) fn classes(self) -> ClassSet {
        use ThreatClass::{Command, Ldap, Lookup, Nosql, Sqli, Template, Traversal, Xss, Xxe};
        const CLASSES: [(ThreatClass, Signs); 9] = [
            (
                Sqli,
                Signs::QUOTE
                    .and(Signs::COMPARISON)
                    .and(Signs::COMMENT)
                    .and(Signs::SERVER_VARIABLE)
                    .and(Signs::VALUE)
                    .and(Signs::STATEMENT)
                    .and(Signs::SEPARATOR)
                    .and(Signs::CALL),
            ),
            (Nosql, Signs::DOLLAR.and(Signs::QUOTE).and(Signs::CALL).and(Signs::COMPARISON).and(Signs::SEPARATOR)),
            (
                Xss,
                Signs::TAG
                    .and(Signs::HANDLER)
                    .and(Signs::ADDRESS)
                    .and(Signs::CALL)
                    .and(Signs::BRACKETS)
                    .and(Signs::BROWSER),
            ),
            (
                Command,
                Signs::SEPARATOR
                    .and(Signs::SUBSTITUTION)
                    .and(Signs::DISGUISE)
                    .and(Signs::CALL)
                    .and(Signs::SERVER)
                    .and(Signs::PATH)
                    .and(Signs::DOLLAR)
                    .and(Signs::DOLLAR_BRACE)
                    .and(Signs::FUNCTION),
            ),
            (Traversal, Signs::CLIMB.and(Signs::PATH).and(Signs::SCHEME).and(Signs::OVERLONG)),
            (Template, Signs::TEMPLATE.and(Signs::DOLLAR_BRACE).and(Signs::SERVER).and(Signs::DOLLAR)),
            (Ldap, Signs::FILTER),
            (Xxe, Signs::DECLARATION.and(Signs::TAG)),
            (Lookup, Signs::DOLLAR_BRACE),
        ];
        CLASSES.iter().filter(|(_, signs)| self.any(*signs)).map(|(class, _)| *class).collect()
    }
}
