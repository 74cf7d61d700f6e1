//! Types of messages, and what stands for several of them: `chat.send`, `chat.*`, `*`.

/// Longest pattern of types, bytes.
pub const TYPE_BYTES_MAX: usize = 128;

/// Whether a text may stand for types: `*` at its end at most.
#[must_use]
pub fn is_type_pattern(text: &str) -> bool {
    let stem = text.strip_suffix('*').unwrap_or(text);
    (1..=TYPE_BYTES_MAX).contains(&text.len()) && !stem.contains('*') && !text.chars().any(char::is_control)
}

/// Patterns, each with its place in a list. The exact name wins, then the pattern that says most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Types {
    /// Sorted.
    exact: Box<[(Box<[u8]>, usize)]>,
    /// What stands before the `*`, longest first.
    stems: Box<[(Box<[u8]>, usize)]>,
}

impl Types {
    /// Compiles patterns; each has its place in the order given.
    #[must_use]
    pub fn compile<'t>(patterns: impl IntoIterator<Item = &'t str>) -> Self {
        let (mut exact, mut stems) = (Vec::new(), Vec::new());
        for (place, pattern) in patterns.into_iter().enumerate() {
            match pattern.strip_suffix('*') {
                Some(stem) => stems.push((Box::from(stem.as_bytes()), place)),
                None => exact.push((Box::from(pattern.as_bytes()), place)),
            }
        }
        exact.sort_unstable();
        stems.sort_unstable_by_key(|(stem, place): &(Box<[u8]>, usize)| (usize::MAX - stem.len(), *place));
        Self { exact: exact.into(), stems: stems.into() }
    }

    /// The place of the pattern that speaks for a type.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        if let Ok(at) = self.exact.binary_search_by(|(exact, _)| exact.as_ref().cmp(name)) {
            return self.exact.get(at).map(|(_, place)| *place);
        }
        self.stems.iter().find(|(stem, _)| name.starts_with(stem)).map(|(_, place)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_name_wins_and_then_the_pattern_that_says_most() {
        let patterns = ["*", "chat.send", "chat.*", "chat.file.*", "subscribe_*"];
        let types = Types::compile(patterns);
        for (name, wins) in [
            ("chat.send", "chat.send"),
            ("chat.read", "chat.*"),
            ("chat.send.x", "chat.*"),
            ("chat.file.put", "chat.file.*"),
            ("chat.", "chat.*"),
            ("chat", "*"),
            ("Chat.send", "*"),
            ("subscribe_room", "subscribe_*"),
            ("", "*"),
        ] {
            assert_eq!(types.find(name.as_bytes()).and_then(|at| patterns.get(at)), Some(&wins), "{name}");
        }
        assert_eq!(Types::compile(["chat.*", "ack"]).find(b"other"), None);
        assert_eq!(Types::default().find(b"x"), None);
    }

    #[test]
    fn a_wildcard_stands_at_the_end() {
        for good in ["*", "chat.*", "chat_*", "a", "chat send", "ä"] {
            assert!(is_type_pattern(good), "{good}");
        }
        for bad in ["", "*.send", "a*b", "**", "a\n", &"a".repeat(TYPE_BYTES_MAX + 1)] {
            assert!(!is_type_pattern(bad), "{bad}");
        }
    }
}
