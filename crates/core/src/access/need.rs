//! The permission that a route or a message type asks for: `chat.send`, `conversation.read:{/conversation_id}`.

use std::fmt;

use super::{PERMISSION_BYTES_MAX, is_path, names_resource};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Nothing: `anyone`.
    Anyone,
    /// A permission, on a resource where it names one.
    Permission {
        /// `conversation.read`.
        path: Box<str>,
        /// `42`, or where it is read from.
        resource: Option<Resource>,
    },
}

/// The resource of a permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// Always this one.
    Fixed(Box<str>),
    /// The message's value at this JSON Pointer (RFC 6901).
    Pointer(Box<str>),
    /// The parameter of the route's path of this name.
    Parameter(Box<str>),
}

/// Why a text asks for no permission: the operator's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NeedError {
    /// Empty, or past [`PERMISSION_BYTES_MAX`].
    #[error("it is empty or longer than {PERMISSION_BYTES_MAX} bytes")]
    Length,
    /// Something is asked for, not granted.
    #[error("what is asked for names one permission; wildcards stand in what a role is allowed")]
    Wildcard,
    /// A step between dots.
    #[error("between dots stand letters, digits, `_` and `-`")]
    Step,
    /// The part after the colon.
    #[error("after the colon stands a name, or one place in braces that the name is read from")]
    Resource,
}

impl Need {
    /// Reads one.
    ///
    /// # Errors
    /// [`NeedError`].
    pub fn parse(text: &str) -> Result<Self, NeedError> {
        if text.is_empty() || text.len() > PERMISSION_BYTES_MAX {
            return Err(NeedError::Length);
        }
        if text == "anyone" {
            return Ok(Self::Anyone);
        }
        let (path, resource) = match text.split_once(':') {
            None => (text, None),
            Some((path, resource)) => (path, Some(Resource::parse(resource)?)),
        };
        if path.contains('*') {
            return Err(NeedError::Wildcard);
        }
        if is_path(path) { Ok(Self::Permission { path: path.into(), resource }) } else { Err(NeedError::Step) }
    }
}

impl Resource {
    fn parse(text: &str) -> Result<Self, NeedError> {
        if text == "*" {
            return Err(NeedError::Wildcard);
        }
        let Some(place) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return if names_resource(text.as_bytes()) {
                Ok(Self::Fixed(text.into()))
            } else {
                Err(NeedError::Resource)
            };
        };
        if place.starts_with('/') {
            return Ok(Self::Pointer(place.into()));
        }
        let is_name = !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_name { Ok(Self::Parameter(place.into())) } else { Err(NeedError::Resource) }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::Permission { path, resource: None } => f.write_str(path),
            Self::Permission { path, resource: Some(Resource::Fixed(one)) } => write!(f, "{path}:{one}"),
            Self::Permission { path, resource: Some(Resource::Pointer(place) | Resource::Parameter(place)) } => {
                write!(f, "{path}:{{{place}}}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_is_printed_as_it_was_written() {
        for text in ["anyone", "chat.send", "read:42", "conversation.read:{/conversation_id}", "room.join:{room}"] {
            assert_eq!(Need::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_need_is_refused_with_the_reason() {
        for (text, error) in [
            ("", NeedError::Length),
            ("*", NeedError::Wildcard),
            ("chat.*", NeedError::Wildcard),
            ("read:*", NeedError::Wildcard),
            ("chat..send", NeedError::Step),
            ("{/type}", NeedError::Step),
            ("read:", NeedError::Resource),
            ("read:{}", NeedError::Resource),
            ("read:{/a}x", NeedError::Resource),
            ("read:{a b}", NeedError::Resource),
            ("read:a.b", NeedError::Resource),
        ] {
            assert_eq!(Need::parse(text), Err(error), "{text}");
        }
    }
}
