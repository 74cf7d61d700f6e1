//! Which classes a string could belong to: bytes first, then a few words.
//!
//! It may suspect the honest; it must not clear the guilty: each judge's necessary condition is stated here.

use std::sync::LazyLock;

use aho_corasick::packed;

use super::text::{Words, all, before, byte, has, has_any, is_word, needles, rest, skip_space};
use super::{ClassSet, View};
use crate::policy::checked::ThreatClass;

/// A word without white space or punctuation that is shorter than this carries nothing.
const BLAND_BYTES_MAX: usize = 16;

/// Letters, digits, `-` and `_` only, and few: names, ids, keys.
#[inline]
pub(super) fn is_bland(text: &[u8]) -> bool {
    text.len() < BLAND_BYTES_MAX && text.iter().all(|&b| is_word(b) || b == b'-')
}

/// Which bytes occur.
#[derive(Clone, Copy)]
struct Marks(u32);

impl Marks {
    const QUOTE: u32 = 1;
    const ANGLE: u32 = 1 << 1;
    const SHELL: u32 = 1 << 2; // ; | & ` newline
    const DOLLAR: u32 = 1 << 3;
    const BRACE: u32 = 1 << 4;
    const PAREN: u32 = 1 << 5;
    const EQUALS: u32 = 1 << 6;
    const SLASH: u32 = 1 << 7;
    const HASH: u32 = 1 << 8;
    const DIGIT: u32 = 1 << 9;
    const STAR: u32 = 1 << 10;
    const AT: u32 = 1 << 11;
    const SQUARE: u32 = 1 << 12;
    const MATH: u32 = 1 << 13; // + - * ^ ~ ! |

    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut b = 0;
        while b < 256 {
            #[expect(clippy::indexing_slicing, reason = "evaluated at compilation; the index is below 256")]
            {
                table[b] = Self::of(b as u8);
            }
            b += 1;
        }
        table
    };

    const fn of(b: u8) -> u32 {
        match b {
            b'\'' | b'"' => Self::QUOTE,
            b'`' => Self::QUOTE | Self::SHELL,
            b'<' | b'>' => Self::ANGLE | Self::SHELL,
            b';' | b'&' | b'\n' | b'\r' => Self::SHELL,
            b'|' => Self::SHELL | Self::MATH,
            b'$' => Self::DOLLAR,
            b'{' | b'}' => Self::BRACE,
            b'(' | b')' => Self::PAREN,
            b'=' => Self::EQUALS,
            b'/' | b'\\' => Self::SLASH,
            b'#' => Self::HASH,
            b'0'..=b'9' => Self::DIGIT,
            b'*' => Self::STAR | Self::MATH,
            b'@' => Self::AT,
            b'[' | b']' => Self::SQUARE,
            b'+' | b'^' | b'~' | b'!' | b'%' => Self::MATH,
            _ => 0,
        }
    }

    fn read(text: &[u8]) -> Self {
        let mut seen = [0_u32; 4];
        let (blocks, tail) = text.as_chunks::<4>();
        for block in blocks {
            for (seen, &b) in seen.iter_mut().zip(block) {
                *seen |= Self::TABLE.get(b as usize).copied().unwrap_or(0);
            }
        }
        let tail = tail.iter().fold(0, |seen, &b| seen | Self::TABLE.get(b as usize).copied().unwrap_or(0));
        Self(seen.iter().fold(tail, |all, one| all | one))
    }

    const fn any(self, marks: u32) -> bool {
        self.0 & marks != 0
    }
}

/// Words that make a class possible without any rare byte, with the class.
const WORDS: &[(&str, ThreatClass)] = &[
    ("select", ThreatClass::Sqli),
    ("union", ThreatClass::Sqli),
    ("having", ThreatClass::Sqli),
    ("insert", ThreatClass::Sqli),
    ("delete", ThreatClass::Sqli),
    ("update", ThreatClass::Sqli),
    ("waitfor", ThreatClass::Sqli),
    ("exec", ThreatClass::Sqli),
    ("script", ThreatClass::Xss),
    ("alert", ThreatClass::Xss),
    ("etc/", ThreatClass::Traversal),
    ("passwd", ThreatClass::Traversal),
];

/// The words, searched for together.
#[derive(Debug)]
pub(super) struct Prefilter {
    words: Option<packed::Searcher>,
}

impl Prefilter {
    pub(super) fn new() -> Self {
        Self { words: packed::Searcher::new(WORDS.iter().map(|(word, _)| word)) }
    }

    /// The classes worth judging.
    pub(super) fn suspects(&self, view: &View<'_>) -> ClassSet {
        let low = view.low;
        let marks = Marks::read(low);
        let mut set = ClassSet::default();
        self.words(low, &mut set);
        if marks.any(Marks::ANGLE) {
            set.insert(ThreatClass::Xss);
            if has(low, "<!") || has(low, "include") {
                set.insert(ThreatClass::Xxe);
            }
            if has_any(low, &["<%", "<#", "<?"]) {
                set.insert(ThreatClass::Template);
                set.insert(ThreatClass::Command);
            }
        }
        if marks.any(Marks::EQUALS | Marks::PAREN | Marks::SQUARE) && is_scripted(low, marks) {
            set.insert(ThreatClass::Xss);
        }
        if marks.any(Marks::DOLLAR) {
            for class in [ThreatClass::Lookup, ThreatClass::Nosql, ThreatClass::Template, ThreatClass::Command] {
                set.insert(class);
            }
        }
        if marks.any(Marks::BRACE) {
            set.insert(ThreatClass::Template);
        }
        if marks.any(Marks::HASH) && marks.any(Marks::PAREN) || marks.any(Marks::AT) && marks.any(Marks::PAREN) {
            set.insert(ThreatClass::Template);
        }
        if marks.any(Marks::SHELL) {
            set.insert(ThreatClass::Command);
            set.insert(ThreatClass::Nosql);
        }
        if marks.any(Marks::SLASH) && (has(low, "..") || has(low, "://") || has(low, ":\\") || words_of_paths(low)) {
            set.insert(ThreatClass::Traversal);
        }
        if marks.any(Marks::PAREN) {
            if marks.any(Marks::EQUALS | Marks::STAR | Marks::SHELL) && needles!(")( (& (| (! *)").occur(low) {
                set.insert(ThreatClass::Ldap);
            }
            if calls(low) {
                set.insert(ThreatClass::Command);
                set.insert(ThreatClass::Sqli);
                set.insert(ThreatClass::Xss);
                set.insert(ThreatClass::Nosql);
            }
        }
        if marks.any(Marks::SLASH) && needles!("/bin/ /sh cmd /dev/tcp etc/").occur(low) {
            set.insert(ThreatClass::Command);
        }
        if marks.any(Marks::EQUALS | Marks::HASH | Marks::STAR | Marks::AT)
            || marks.any(Marks::DIGIT) && marks.any(Marks::SHELL | Marks::MATH | Marks::ANGLE)
            || has(low, "--")
        {
            set.insert(ThreatClass::Sqli);
        }
        if marks.any(Marks::QUOTE) && quote_continues(low) || marks.any(Marks::DIGIT) && number_continues(low) {
            set.insert(ThreatClass::Sqli);
            set.insert(ThreatClass::Nosql);
            set.insert(ThreatClass::Xss);
        }
        set
    }

    fn words(&self, low: &[u8], set: &mut ClassSet) {
        match &self.words {
            Some(searcher) => {
                for found in searcher.find_iter(low) {
                    if let Some((_, class)) = WORDS.get(found.pattern().as_usize()) {
                        set.insert(*class);
                    }
                }
            }
            // No SIMD here: every word by itself.
            None => WORDS.iter().filter(|(word, _)| has(low, word)).for_each(|(_, class)| set.insert(*class)),
        }
    }
}

/// A word stands directly before a parenthesis.
fn calls(low: &[u8]) -> bool {
    memchr::memchr_iter(b'(', low).any(|at| is_word(before(low, at)))
}

fn is_scripted(low: &[u8], marks: Marks) -> bool {
    marks.any(Marks::SQUARE) && marks.any(Marks::PAREN)
        || marks.any(Marks::EQUALS) && all(low, "on").any(|at| !is_word(before(low, at)))
        || has_any(low, &["document", "window", "location", "eval"])
}

fn words_of_paths(low: &[u8]) -> bool {
    needles!("etc proc/ windows boot.ini web-inf .ssh .git .htpasswd var/log winnt").occur(low)
}

/// A quote is followed by what continues an expression, not by a letter of a word.
fn quote_continues(low: &[u8]) -> bool {
    memchr::memchr3_iter(b'\'', b'"', b'`', low).any(|at| {
        let next = skip_space(low, at + 1);
        let b = byte(low, next);
        match b {
            b'a'..=b'z' => {
                next == at + 1 && before(low, at) != 0 && !is_word(before(low, at)) || is_operator_word(rest(low, next))
            }
            0 => before(low, at) == b'\\',
            b',' | b'.' | b'?' | b'!' | b':' | 0x80.. => false,
            _ => true,
        }
    })
}

/// A number is followed by a word that operates on it.
fn number_continues(low: &[u8]) -> bool {
    low.iter().enumerate().any(|(at, b)| {
        b.is_ascii_digit() && {
            let next = skip_space(low, at + 1);
            matches!(byte(low, next), b')' | b'\'' | b'"') || is_operator_word(rest(low, next))
        }
    })
}

fn is_operator_word(text: &[u8]) -> bool {
    static OPERATORS: LazyLock<Words> = LazyLock::new(|| {
        Words::new(
            "or and xor union having order group limit like rlike regexp between in is div mod not \
        procedure into where select sounds collate as if",
        )
    });
    let len = text.iter().take(12).take_while(|b| b.is_ascii_alphabetic()).count();
    len > 1 && text.get(..len).is_some_and(|word| OPERATORS.has(word))
}
