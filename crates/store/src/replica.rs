//! What nodes agree on, entry by entry (SPEC 3.11, 7.1, 14.3): bans and revocations, their lifting, the lockdown, API
//! keys.
//!
//! Decides which of two words on one matter stands: the later one, by the stamp that whoever changed it gave. A stamp is
//! always above the one that was seen, so that an operator who lifts a ban wins over it whatever the clocks say. An entry
//! that was taken back stays as a mark until the entry would have ended, so that a node that was away does not bring it
//! back. Never decides what an entry means: [`Blocks`](crate::Blocks) and [`Keys`](crate::Keys) do.

use std::collections::HashMap;

/// Most entries that one gateway takes from others: bans, marks of lifted ones, earned bans, API keys.
pub const ENTRIES_MAX: usize = 400_000;

/// The last word on one matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Orders words on one matter.
    pub at: u64,
    /// It was taken back.
    pub gone: bool,
    /// From then on nobody needs to know, Unix milliseconds; zero is never.
    pub until_unix_ms: u64,
    /// What it says, as JSON.
    pub body: String,
}

/// Entries by matter: `block:user:u1`, `earned:203.0.113.9`, `lockdown`, `key:0123456789abcdef`.
pub type Entries = HashMap<String, Entry>;

impl Entry {
    /// Whether this word stands against another on the same matter. Where two have one stamp, taking back wins.
    #[must_use]
    pub fn outdoes(&self, other: &Self) -> bool {
        (self.at, self.gone) > (other.at, other.gone)
    }

    /// Whether a word that the meeting place holds is taken over: also in place of an equally late one of our own, so
    /// that all nodes end with the same.
    #[must_use]
    pub fn replaces(&self, own: &Self) -> bool {
        self != own && !own.outdoes(self)
    }

    /// Whether somebody still needs to know.
    #[must_use]
    pub fn matters(&self, now_unix_ms: u64) -> bool {
        self.until_unix_ms == 0 || self.until_unix_ms > now_unix_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_word_stands_and_taking_back_wins_a_tie() {
        let word = |at, gone| Entry { at, gone, until_unix_ms: 9, body: String::from("{}") };
        for (one, other, stands) in [
            (word(2, false), word(1, false), true),
            (word(2, false), word(1, true), true),
            (word(1, true), word(1, false), true),
            (word(1, false), word(1, true), false),
            (word(1, false), word(1, false), false),
        ] {
            assert_eq!(one.outdoes(&other), stands, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_tie_ends_with_what_the_meeting_place_holds() {
        let word = |body: &str| Entry { at: 1, gone: false, until_unix_ms: 9, body: body.into() };
        assert!(word("a").replaces(&word("b")));
        assert!(!word("a").replaces(&word("a")), "nothing to do");
        assert!(!word("a").replaces(&Entry { at: 2, ..word("b") }));
    }

    #[test]
    fn an_entry_matters_until_its_end() {
        let until = |until_unix_ms| Entry { at: 1, gone: true, until_unix_ms, body: String::new() };
        assert!(until(0).matters(u64::MAX) && until(9).matters(8) && !until(9).matters(9));
    }
}
