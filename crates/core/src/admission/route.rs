//! Which route a path belongs to (SPEC 1.2). Templates: `/ws/{user_id}`, `/{*rest}`.
//!
//! A path is split at `/` as it came, then each segment is percent-decoded once. What a backend may read
//! otherwise than this does has no route: dot segments, empty segments (many servers merge slashes), encoded
//! slashes, backslashes, control characters, `;` (some servers cut a segment there), and escapes of these that
//! would appear if a second reader decoded once more.

use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::policy::Route;

/// Longest path read, bytes.
pub const PATH_BYTES_MAX: usize = 4 << 10;
/// Segments of a path.
pub const SEGMENTS_MAX: usize = 64;

/// A path template, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    rest: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Param(String),
}

/// Path parameters by name.
pub type Params = Vec<(String, String)>;

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It does not begin with `/`.
    #[error("the path `{0}` must begin with `/`")]
    NotAbsolute(String),
    /// Braces that are no parameter.
    #[error("`{0}` is no path segment: write `{{name}}`, or `{{*rest}}` as the last one")]
    Segment(String),
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn compile(path: &str) -> Result<Self, TemplateError> {
        let inner = path.strip_prefix('/').ok_or_else(|| TemplateError::NotAbsolute(path.to_owned()))?;
        let mut template = Self { parts: Vec::new(), rest: None };
        let segments: Vec<&str> = if inner.is_empty() { Vec::new() } else { inner.split('/').collect() };
        for (index, segment) in segments.iter().enumerate() {
            let wrong = || TemplateError::Segment((*segment).to_owned());
            let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            match name {
                Some(name) if name.starts_with('*') => {
                    let name = name.trim_start_matches('*');
                    if index + 1 != segments.len() || !is_name(name) {
                        return Err(wrong());
                    }
                    template.rest = Some(name.to_owned());
                }
                Some(name) if is_name(name) => template.parts.push(Part::Param(name.to_owned())),
                None if !segment.contains(['{', '}']) => template.parts.push(Part::Literal((*segment).to_owned())),
                _ => return Err(wrong()),
            }
        }
        Ok(template)
    }

    /// Compared segment by segment from the left: a literal is more specific than a parameter, and that more
    /// than a rest; so `/admin/{*rest}` is asked before `/{a}/{b}`.
    pub(crate) fn rank(&self) -> Vec<u8> {
        let parts = self.parts.iter().map(|part| u8::from(matches!(part, Part::Param(_))));
        parts.chain(self.rest.is_some().then_some(2)).collect()
    }

    fn matches(&self, segments: &[String]) -> Option<Params> {
        let (head, tail) = segments.split_at_checked(self.parts.len())?;
        let mut params = Params::new();
        for (part, segment) in self.parts.iter().zip(head) {
            match part {
                Part::Literal(literal) if literal == segment => {}
                Part::Param(name) if !segment.is_empty() => params.push((name.clone(), segment.clone())),
                Part::Literal(_) | Part::Param(_) => return None,
            }
        }
        match &self.rest {
            Some(name) => params.push((name.clone(), tail.join("/"))),
            None if tail.is_empty() => {}
            None => return None,
        }
        Some(params)
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The routes of a policy, most specific first.
#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Arc<Route>>,
}

impl RouteTable {
    /// Orders the routes; of two equal templates the one written first wins.
    pub(crate) fn new(mut routes: Vec<Arc<Route>>) -> Self {
        routes.sort_by_key(|route| route.template.rank());
        Self { routes }
    }

    /// The route of a path, with its parameters decoded.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<(&Arc<Route>, Params)> {
        let segments = segments(path)?;
        self.routes.iter().find_map(|route| Some((route, route.template.matches(&segments)?)))
    }
}

/// A path's segments, decoded once; `None` for a path that could be read in two ways.
fn segments(path: &str) -> Option<Vec<String>> {
    let inner = path.strip_prefix('/').filter(|_| path.len() <= PATH_BYTES_MAX)?;
    if inner.is_empty() {
        return Some(Vec::new());
    }
    let mut segments = Vec::new();
    let mut raw_segments = inner.split('/').peekable();
    while let Some(raw) = raw_segments.next() {
        let decoded = percent_decode_str(raw).decode_utf8().ok()?;
        let empty_inside = raw.is_empty() && raw_segments.peek().is_some();
        let ambiguous = matches!(decoded.as_ref(), "." | "..")
            || decoded.contains(|c: char| matches!(c, '/' | '\\') || c.is_control())
            || raw.contains(';')
            || is_escaped_twice(&decoded);
        if empty_inside || ambiguous || segments.len() >= SEGMENTS_MAX {
            return None;
        }
        segments.push(decoded.into_owned());
    }
    Some(segments)
}

/// Whether decoding once more would bring a dot, a slash, a backslash or a control character.
fn is_escaped_twice(decoded: &str) -> bool {
    let signs = |bytes: &mut dyn Iterator<Item = u8>| {
        bytes.filter(|b| matches!(b, b'.' | b'/' | b'\\') || b.is_ascii_control()).count()
    };
    decoded.contains('%') && signs(&mut percent_decode_str(decoded)) > signs(&mut decoded.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(template: &str, path: &str) -> Option<Params> {
        Template::compile(template).unwrap().matches(&segments(path)?)
    }

    #[test]
    fn templates_take_their_parameters() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(matched("/ws/{user_id}", "/ws/u%201"), Some(vec![pair("user_id", "u 1")]));
        assert_eq!(matched("/ws/{a}/{b}", "/ws/1/2"), Some(vec![pair("a", "1"), pair("b", "2")]));
        assert_eq!(matched("/{*rest}", "/a/b"), Some(vec![pair("rest", "a/b")]));
        assert_eq!(matched("/{*rest}", "/"), Some(vec![pair("rest", "")]));
        assert_eq!(matched("/", "/"), Some(vec![]));
        for (template, path) in
            [("/ws/{id}", "/ws/"), ("/ws/{id}", "/ws/1/2"), ("/ws", "/ws/"), ("/ws", "/WS"), ("/", "/x")]
        {
            assert_eq!(matched(template, path), None, "{template} {path}");
        }
    }

    #[test]
    fn a_path_with_two_readings_has_no_route() {
        for path in [
            "/ws/..",
            "/ws/%2e%2e",
            "/ws/%2e",
            "/ws/a%2Fb",
            "/ws/a%5cb",
            "/ws/a%00",
            "/ws/%ff",
            "ws",
            "",
            "*",
            "//ws",
            "/ws//a",
            "/ws/..;/a",
            "/ws;x=1/a",
            "/ws/%252e%252e",
            "/ws/a%252fb",
            "/ws/a%255cb",
            "/ws/a%2500",
            "/ws/a\\b",
        ] {
            assert_eq!(matched("/{*rest}", path), None, "{path}");
        }
        for path in ["/ws/", "/ws/100%25", "/ws/100%2525", "/ws/a%3Bb", "/ws/a.b", "/ws/...", "/ws/%C3%BC"] {
            assert!(matched("/{*rest}", path).is_some(), "{path}");
        }
        assert!(matched("/{*rest}", &format!("/{}", "a".repeat(PATH_BYTES_MAX - 1))).is_some());
        assert_eq!(matched("/{*rest}", &format!("/{}", "a".repeat(PATH_BYTES_MAX))), None);
        assert!(matched("/{*rest}", &"/a".repeat(SEGMENTS_MAX)).is_some());
        assert_eq!(matched("/{*rest}", &"/a".repeat(SEGMENTS_MAX + 1)), None);
    }

    #[test]
    fn literals_win_over_parameters_and_those_over_rests() {
        let mut templates: Vec<_> = ["/{*rest}", "/{a}/{b}", "/ws/{b}", "/ws/{*rest}", "/ws/x", "/admin/{*rest}"]
            .iter()
            .map(|t| Template::compile(t).unwrap())
            .collect();
        templates.sort_by_key(Template::rank);
        let first = |path: &str| {
            let segments = segments(path).unwrap();
            templates.iter().position(|template| template.matches(&segments).is_some()).unwrap()
        };
        assert_eq!(templates[first("/ws/x")], Template::compile("/ws/x").unwrap());
        assert_eq!(templates[first("/ws/y")], Template::compile("/ws/{b}").unwrap());
        assert_eq!(templates[first("/a/b")], Template::compile("/{a}/{b}").unwrap());
        assert_eq!(templates[first("/ws/a/b")], Template::compile("/ws/{*rest}").unwrap());
        assert_eq!(templates[first("/admin/x")], Template::compile("/admin/{*rest}").unwrap());
        assert_eq!(templates[first("/q")], Template::compile("/{*rest}").unwrap());
    }

    #[test]
    fn a_bad_template_says_which_segment() {
        for bad in ["ws", "/a{b}", "/{}", "/{*rest}/x", "/{a-b}"] {
            assert!(Template::compile(bad).is_err(), "{bad}");
        }
    }
}
