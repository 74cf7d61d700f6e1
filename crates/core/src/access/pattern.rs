//! What a role or a credential grants or denies: `chat.send`, `chat.*`, `conversation.read:42`, `*`.

use std::fmt;

use super::{PERMISSION_BYTES_MAX, is_path, names_resource};

/// One rule's reach. Names are compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// `*`, or `chat.*` as its stem `chat.`: every permission below, whatever its resource.
    Below(Box<str>),
    /// `chat.send`: this permission, without a resource.
    Exact(Box<str>),
    /// `conversation.read:*`: this permission on every resource.
    AnyResource(Box<str>),
    /// `conversation.read:42`: this permission on one resource.
    OneResource(Box<str>, Box<str>),
}

/// Why a text is no pattern: the operator's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Empty, or past [`PERMISSION_BYTES_MAX`].
    #[error("it is empty or longer than {PERMISSION_BYTES_MAX} bytes")]
    Length,
    /// A step between dots.
    #[error("between dots stand letters, digits, `_` and `-`")]
    Step,
    /// A wildcard in the wrong place.
    #[error("`*` stands alone, after the last dot, or in place of the resource")]
    Wildcard,
    /// The part after the colon.
    #[error("a resource has letters, digits and `_-@+=~`, at most {} of them", super::RESOURCE_BYTES_MAX)]
    Resource,
}

impl Pattern {
    /// Reads one.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() || text.len() > PERMISSION_BYTES_MAX {
            return Err(PatternError::Length);
        }
        if text == "*" {
            return Ok(Self::Below("".into()));
        }
        if let Some((path, resource)) = text.split_once(':') {
            let path = checked_path(path)?;
            return match resource {
                "*" => Ok(Self::AnyResource(path)),
                one if names_resource(one.as_bytes()) => Ok(Self::OneResource(path, one.into())),
                _ => Err(PatternError::Resource),
            };
        }
        match text.strip_suffix('*') {
            Some(stem) if stem.ends_with('.') => {
                checked_path(stem.strip_suffix('.').unwrap_or_default())?;
                Ok(Self::Below(stem.into()))
            }
            _ => checked_path(text).map(Self::Exact),
        }
    }

    /// Whether it grants the permission.
    #[must_use]
    pub fn covers(&self, path: &str, resource: Option<&str>) -> bool {
        match (self, resource) {
            (Self::Below(stem), _) => path.starts_with(&**stem),
            (Self::Exact(own), None) | (Self::AnyResource(own), Some(_)) => **own == *path,
            (Self::OneResource(own, one), Some(asked)) => **own == *path && **one == *asked,
            (Self::Exact(_), Some(_)) | (Self::AnyResource(_) | Self::OneResource(..), None) => false,
        }
    }

    /// Whether it denies the permission. A denial reaches further than a grant: without a resource it stands for
    /// every resource.
    #[must_use]
    pub fn forbids(&self, path: &str, resource: Option<&str>) -> bool {
        self.covers(path, resource) || matches!(self, Self::Exact(own) if **own == *path)
    }
}

fn checked_path(text: &str) -> Result<Box<str>, PatternError> {
    if text.contains('*') {
        return Err(PatternError::Wildcard);
    }
    if is_path(text) { Ok(text.into()) } else { Err(PatternError::Step) }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(stem) => write!(f, "{stem}*"),
            Self::Exact(path) => f.write_str(path),
            Self::AnyResource(path) => write!(f, "{path}:*"),
            Self::OneResource(path, one) => write!(f, "{path}:{one}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_says_and_nothing_beside_it() {
        for (pattern, path, resource, covers) in [
            ("*", "chat", None, true),
            ("*", "conversation.read", Some("42"), true),
            ("chat.*", "chat.send", None, true),
            ("chat.*", "chat.file.send", None, true),
            ("chat.*", "chat.read", Some("42"), true),
            ("chat.*", "chat", None, false),
            ("chat.*", "chatter.send", None, false),
            ("chat.*", "Chat.send", None, false),
            ("chat.send", "chat.send", None, true),
            ("chat.send", "chat.send.all", None, false),
            ("chat.send", "chat.send", Some("42"), false),
            ("read:*", "read", Some("42"), true),
            ("read:*", "read", None, false),
            ("read:*", "read.all", Some("42"), false),
            ("read:42", "read", Some("42"), true),
            ("read:42", "read", Some("421"), false),
            ("read:42", "read", None, false),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!(pattern.covers(path, resource), covers, "{pattern} {path} {resource:?}");
            assert!(!covers || pattern.forbids(path, resource), "{pattern} {path} {resource:?}");
        }
    }

    #[test]
    fn a_denial_without_a_resource_stands_for_every_resource() {
        let pattern = Pattern::parse("read").unwrap();
        assert!(pattern.forbids("read", Some("42")) && !pattern.covers("read", Some("42")));
        assert!(!pattern.forbids("read.all", Some("42")));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        for (text, error) in [
            ("", PatternError::Length),
            (&"a".repeat(PERMISSION_BYTES_MAX + 1), PatternError::Length),
            ("chat..send", PatternError::Step),
            (".chat", PatternError::Step),
            ("chat.", PatternError::Step),
            ("chat send", PatternError::Step),
            ("chät", PatternError::Step),
            ("{/x}", PatternError::Step),
            ("chat*", PatternError::Wildcard),
            ("*.send", PatternError::Wildcard),
            ("chat.*.send", PatternError::Wildcard),
            ("chat.*:42", PatternError::Wildcard),
            ("**", PatternError::Wildcard),
            (".*", PatternError::Step),
            ("read:", PatternError::Resource),
            ("read:a.b", PatternError::Resource),
            ("read:a:b", PatternError::Resource),
            ("read:a*", PatternError::Resource),
        ] {
            assert_eq!(Pattern::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_pattern_is_printed_as_it_was_written() {
        for text in ["*", "chat.*", "chat.send", "read:*", "read:42", "a-b.c_d:x@y+z=~"] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
        }
    }
}
