//! Which group of message types a type belongs to. The longest pattern that matches wins.

use crate::policy::checked::TypePattern;

/// Patterns with what they lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeMap {
    /// Sorted by name.
    exact: Vec<(Box<[u8]>, u32)>,
    /// Longest first.
    prefixes: Vec<(Box<[u8]>, u32)>,
}

impl TypeMap {
    /// Compiles patterns.
    #[must_use]
    pub fn new<'p>(patterns: impl IntoIterator<Item = (&'p TypePattern, u32)>) -> Self {
        let mut map = Self::default();
        for (pattern, value) in patterns {
            match pattern {
                TypePattern::Exact(name) => map.exact.push((name.as_bytes().into(), value)),
                TypePattern::Prefix(name) => map.prefixes.push((name.as_bytes().into(), value)),
            }
        }
        map.exact.sort();
        map.prefixes.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        map
    }

    /// Whether there are no patterns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// What a type leads to.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<u32> {
        let exact = self.exact.binary_search_by(|(known, _)| known.as_ref().cmp(name)).ok();
        let exact = exact.and_then(|position| self.exact.get(position));
        exact.or_else(|| self.prefixes.iter().find(|(prefix, _)| name.starts_with(prefix))).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pattern_wins_and_an_exact_name_before_all() {
        let patterns = ["pay.*", "pay.refund.*", "pay.refund.ask", "*", "say"].map(TypePattern::parse);
        let map = TypeMap::new(patterns.iter().zip(0..));
        for (name, value) in
            [("pay.send", 0), ("pay.refund.all", 1), ("pay.refund.ask", 2), ("pay", 3), ("say", 4), ("", 3)]
        {
            assert_eq!(map.find(name.as_bytes()), Some(value), "{name}");
        }
        let map = TypeMap::new([(&TypePattern::parse("a*"), 1)]);
        assert_eq!(map.find(b"b"), None);
    }
}
