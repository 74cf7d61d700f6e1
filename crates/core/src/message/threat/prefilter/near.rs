//! Which marks can show something new, told by their neighbours alone: few marks of prose can.
//!
//! What a mark shows is told by a branch of its own ([`super::marks`]), and in prose each of them is a surprise to the
//! machine. So the two bytes before and the two behind are asked first, by a load each: every way in which a mark may show
//! something is a bit, and the tables say which ways a byte in that place leaves open. Ways whose signs are all shown are
//! closed, so a text full of one thing is asked about it once. A way may be too wide, never too narrow: tests hold them
//! against every pair of neighbours.

use std::sync::LazyLock;

use super::super::text::{before, byte, rest};
use super::Signs;
use super::ways::{BYTES, WAYS};

/// A set of ways, a bit each.
type Ways = u128;

const _: () = assert!(WAYS.len() <= Ways::BITS as usize);

/// By byte and place, the ways that are left open; and by sign, those that may show it.
struct Tables {
    bytes: [[Ways; BYTES]; 256],
    signs: [Ways; Signs::BITS],
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut tables = Tables { bytes: [[0; BYTES]; 256], signs: [0; Signs::BITS] };
    for (bit, way) in WAYS.iter().enumerate() {
        for (byte, places) in (0..=u8::MAX).zip(&mut tables.bytes) {
            for (ways, holds) in places.iter_mut().zip(way.bytes) {
                *ways |= Ways::from(holds(byte.to_ascii_lowercase())) << bit;
            }
        }
        for (ways, sign) in tables.signs.iter_mut().zip(Signs::each()) {
            *ways |= Ways::from(way.shows.any(sign)) << bit;
        }
    }
    tables
});

/// Asked of one text's marks.
pub(super) struct Neighbours {
    tables: &'static Tables,
    /// Ways that may still show something new.
    open: Ways,
}

impl Neighbours {
    /// Makes the tables, which the first message would else wait for.
    pub(super) fn prepare() {
        LazyLock::force(&TABLES);
    }

    /// Of a text of which these signs are shown.
    pub(super) fn of(shown: Signs) -> Self {
        let mut neighbours = Self { tables: &TABLES, open: Ways::MAX };
        if !shown.is_none() {
            neighbours.close(shown);
        }
        neighbours
    }

    /// Closes the ways that show nothing new.
    pub(super) fn close(&mut self, shown: Signs) {
        let signs = self.tables.signs.iter().zip(Signs::each());
        self.open = signs.filter(|(_, sign)| !shown.any(*sign)).fold(0, |open, (ways, _)| open | ways);
    }

    /// Whether the mark at an offset may show anything new.
    #[inline]
    pub(super) fn leave_open(&self, text: &[u8], at: usize) -> bool {
        self.left_open(text, at) != 0
    }

    #[inline]
    fn left_open(&self, text: &[u8], at: usize) -> Ways {
        let around = at.checked_sub(2).and_then(|from| rest(text, from).first_chunk());
        let around = around.copied().unwrap_or_else(|| at_an_end(text, at));
        let [earlier, last, mark, next, after] = around;
        let of = |byte: u8| self.tables.bytes.get(usize::from(byte)).unwrap_or(&[Ways::MAX; BYTES]);
        self.open & of(earlier)[0] & of(last)[1] & of(mark)[2] & of(next)[3] & of(after)[4]
    }
}

/// What stands around an offset near one of a text's ends.
#[cold]
fn at_an_end(text: &[u8], at: usize) -> [u8; BYTES] {
    let behind = |n| byte(text, at + n);
    [at.checked_sub(2).map_or(0, |at| byte(text, at)), before(text, at), behind(0), behind(1), behind(2)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::marks::shown_by;
    use super::*;

    /// Every byte that a survey calls a mark.
    const MARKS: &[u8] = b"!\"#$%&'()+-/:;<=>@[\\]^_`{|\0\x01\x08\t\n\x0b\x0c\r\x1b\x1f";

    /// Fails where a mark shows what no way that its neighbours leave open may show.
    fn check(all: &Neighbours, text: &[u8], at: usize) {
        let shown = shown_by(text, at);
        if shown.is_none() {
            return;
        }
        let open = all.left_open(text, at);
        for (ways, sign) in TABLES.signs.iter().zip(Signs::each()).filter(|(_, sign)| shown.any(*sign)) {
            assert_ne!(ways & open, 0, "{:?} at {at} shows {sign:?}", text.escape_ascii().to_string());
        }
    }

    /// What stands farther off, chosen to be seen by one mark or another.
    const SURROUNDINGS: &[(&[u8], &[u8])] = &[
        (b"", b""),
        (b"x", b" "),
        (b"1 ", b"1"),
        (b"exec s", b"password"),
        (b"d", b"chema"),
        (b"python", b"cat /etc"),
        (b"'", b"='1"),
        (b"object/ne", b"elect 1"),
        (b"java scrip", b"(select"),
        (b"ev", b"?*["),
        (b"slee", b"' or 1"),
        (b"onmouseove", b"s -l"),
        (b" x.innerhtm", b"r 1=1"),
        (b"benchmar", b"n\"d"),
    ];

    #[test]
    fn what_is_left_out_shows_nothing_whatever_stands_beside_it() {
        let (all, mut text) = (Neighbours::of(Signs::NONE), Vec::new());
        for &mark in MARKS {
            for (last, next) in (0..=u8::MAX).flat_map(|last| (0..=u8::MAX).map(move |next| (last, next))) {
                // All pairs in one surrounding, and each surrounding with many pairs.
                let turn = usize::from(last) * 3 + usize::from(next) * 7 + usize::from(mark);
                for (head, tail) in SURROUNDINGS.iter().skip(turn % SURROUNDINGS.len()).take(1) {
                    text.clear();
                    text.extend_from_slice(head);
                    text.extend_from_slice(&[last, mark, next]);
                    text.extend_from_slice(tail);
                    check(&all, &text, head.len() + 1);
                }
            }
        }
    }

    #[test]
    fn most_marks_of_prose_are_left_out() {
        let text = b"I don't think so - let's meet at 5; Anna's \"fine\", isn't she (or he)? 10:30, $5.20, 5% off! \
            It's on https://example.com/en/a-b?x=1&y=2, and/or here :) @anna #paper";
        let marks: Vec<usize> = (0..text.len()).filter(|at| MARKS.contains(&text[*at])).collect();
        let neighbours = Neighbours::of(Signs::NONE);
        let open = marks.iter().filter(|at| neighbours.leave_open(text, **at)).count();
        assert!(open * 4 < marks.len(), "{open} of {}", marks.len());
    }

    /// What one mark or another looks for, and what resembles it.
    const NAMES: &[&str] = &[
        "or",
        "And",
        "SELECT",
        "union",
        "sleep",
        "md5",
        "eval",
        "xp_cmd",
        "exec sp_",
        "dbms_",
        "utl_",
        "pg_sleep",
        "information_schema",
        "onload",
        "location",
        "x.innerHTML",
        "javascript",
        "vbscript",
        "data",
        "file",
        "phar",
        "object/apply",
        "object/module",
        "binding",
        "behaviour",
        "o",
        "c",
        "d",
        "etc",
        "windows",
        "sbin",
        "opt",
        "wget",
        "bash",
        "-c",
        "-e",
        "-wrapper",
        "b-inf",
        "adw",
        "import",
        "system",
        "set",
        "rt",
        "foreach",
        "include",
        "parse",
        "comspec",
        "path",
        "ssh",
        "htpasswd",
        "..",
        "...",
        "? ",
        "* ",
        "[a]",
        "1",
        "2 ",
        "0x1",
        "  ",
        "\t",
        "\u{a0}",
        "\0",
        "é",
        "mocha",
        "behavior",
        "vbscript",
        "php",
        "expect",
        "zip",
        "glob",
        "new",
        "apply",
        "name",
        "-inf",
        "schema",
        "cmd",
        "proc",
        "var",
        "root",
        "boot",
        "usr",
        "inetpub",
        "config",
        "passwd",
        "shadow",
        "system32",
        "git",
        "programfiles",
        "__import__",
    ];

    #[test]
    fn what_is_left_out_shows_nothing_whatever_name_stands_beside_it() {
        let all = Neighbours::of(Signs::NONE);
        for (before, after) in NAMES.iter().flat_map(|before| NAMES.iter().map(move |after| (before, after))) {
            for &mark in MARKS {
                let text = [before.as_bytes(), &[mark], after.as_bytes()].concat();
                check(&all, &text, before.len());
            }
        }
    }

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ -~]{0,3}",
            prop::sample::select(NAMES).prop_map(str::to_owned),
            prop::sample::select(MARKS).prop_map(|mark| char::from(mark).to_string()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn what_is_left_out_shows_nothing(pieces in prop::collection::vec(piece(), 0..12)) {
            let (all, text) = (Neighbours::of(Signs::NONE), pieces.concat());
            for at in (0..text.len()).filter(|at| MARKS.contains(&text.as_bytes()[*at])) {
                check(&all, text.as_bytes(), at);
            }
        }
    }
}
