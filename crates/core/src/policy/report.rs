//! What an operator reads when a configuration is wrong or unwise: file, line, column, the line itself with
//! a caret, what is wrong and what to do. Decides no rule; never shows a secret.

use std::fmt;

use serde::Serialize;

use super::tree::{KeyPath, Node, Place, TextId};

/// Most errors reported together; the rest would only bury them.
pub const ERRORS_MAX: usize = 32;
/// Longest line shown, characters; a longer one is cut around the caret.
const LINE_CHARS_MAX: usize = 160;
/// Keys whose values are never shown.
const SECRET_KEYS: &[&str] = &["secret", "header_secret", "token"];

/// Where something stands in what the operator wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Location {
    /// The file's name, `PORTCULLIS__…` for an environment variable, `--set …` for a flag.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line, secrets masked.
    pub snippet: String,
    /// Characters of `snippet` before the caret.
    pub caret: usize,
    /// Carets.
    pub width: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// What is wrong, the offending thing in backticks.
    pub message: String,
    /// The key, as `routes[0].path`; empty where the text could not be read at all.
    pub key: String,
    /// Where; `None` when nothing was written anywhere.
    pub location: Option<Location>,
    /// What to do.
    pub help: String,
}

/// Everything that is wrong, in the order of the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Errors(pub Vec<ConfigError>);

/// Something a careful reviewer would ask about (SPEC 13.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Stable, as `W001`.
    pub code: &'static str,
    /// Stable, as `short-secret`.
    pub name: &'static str,
    /// What is unwise, the thing in backticks.
    pub message: String,
    /// The key it is about.
    pub key: String,
    /// Where, when it was written by the operator and not by a preset.
    pub location: Option<Location>,
    /// What to do.
    pub advice: String,
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.iter().enumerate() {
            if position > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        block(f, self.location.as_ref(), &self.key, &self.help)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "warning[{} {}]: {}", self.code, self.name, self.message)?;
        block(f, self.location.as_ref(), &self.key, &self.advice)
    }
}

fn block(f: &mut fmt::Formatter<'_>, location: Option<&Location>, key: &str, help: &str) -> fmt::Result {
    let gutter = location.map_or(1, |at| at.line.to_string().len());
    if let Some(at) = location {
        writeln!(f, "{:gutter$}--> {}:{}:{}", "", at.file, at.line, at.column)?;
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{} | {}", at.line, at.snippet)?;
        writeln!(f, "{:gutter$} | {:caret$}{}", "", "", "^".repeat(at.width), caret = at.caret)?;
    }
    if !key.is_empty() {
        writeln!(f, "{:gutter$} = key: {key}", "")?;
    }
    writeln!(f, "{:gutter$} = help: {help}", "")
}

/// An error before its place is turned into words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub(crate) path: KeyPath,
    pub(crate) message: String,
    pub(crate) help: String,
    /// `None`: where the path stands in the merged tree.
    pub(crate) place: Option<Place>,
}

impl Fault {
    pub(crate) fn new(path: KeyPath, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { path, message: message.into(), help: help.into(), place: None }
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

/// One text that values came from.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) kind: TextKind,
}

/// Who wrote a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextKind {
    /// A preset: ours.
    Preset,
    /// The operator's file.
    File,
    /// An environment variable or a flag.
    Argument,
}

/// Every text of one load.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts(Vec<Text>);

impl Texts {
    pub(crate) fn add(&mut self, name: &str, text: &str, kind: TextKind) -> TextId {
        self.0.push(Text { name: name.to_owned(), text: text.to_owned(), kind });
        TextId(self.0.len().saturating_sub(1))
    }

    pub(crate) fn find(&self, id: TextId) -> Option<&Text> {
        self.0.get(id.0)
    }

    /// Whether the operator wrote it.
    pub(crate) fn is_operators(&self, id: TextId) -> bool {
        self.find(id).is_some_and(|text| text.kind != TextKind::Preset)
    }

    /// A place in words; `None` for what a preset says.
    pub(crate) fn locate(&self, place: Place) -> Option<Location> {
        let text = self.find(place.text).filter(|text| text.kind != TextKind::Preset)?;
        let number = place.line.saturating_sub(1);
        let line = text.text.lines().nth(number).unwrap_or("");
        let secret = is_secret_name(&text.name) || continues_secret(&text.text, number);
        let line = if secret { mask_all(line) } else { mask_secrets(line) };
        let (snippet, caret, width) = window(&line, place.column.saturating_sub(1), place.width);
        Some(Location { file: text.name.clone(), line: place.line, column: place.column, snippet, caret, width })
    }

    /// Faults in words, in the order of the text, each once.
    pub(crate) fn errors(&self, tree: &Node, faults: Vec<Fault>) -> Errors {
        let mut placed: Vec<(Place, Fault)> = faults
            .into_iter()
            .map(|fault| (fault.place.unwrap_or_else(|| tree.place_of(&fault.path)), fault))
            .collect();
        placed.sort_by_key(|(place, _)| (place.text.0, place.line, place.column));
        let mut errors: Vec<ConfigError> = Vec::new();
        for (place, fault) in placed {
            let location = self.locate(place);
            let known = errors.iter().any(|error| {
                error.message == fault.message
                    && error.location == location
                    && (location.is_some() || error.key == fault.path.to_string())
            });
            if !known && errors.len() < ERRORS_MAX {
                errors.push(ConfigError {
                    message: fault.message,
                    key: fault.path.to_string(),
                    location,
                    help: fault.help,
                });
            }
        }
        Errors(errors)
    }
}

/// Whether the name of a variable or flag says that its value is secret.
fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let last = name.rsplit(['.', '_', ' ']).next().unwrap_or("");
    matches!(last, "secret" | "token")
}

/// Whether a line belongs to a secret that began on an earlier, less indented line.
fn continues_secret(text: &str, number: usize) -> bool {
    let indent = |line: &str| line.len().saturating_sub(line.trim_start().len());
    let lines: Vec<&str> = text.lines().take(number.saturating_add(1)).collect();
    let Some((line, above)) = lines.split_last() else { return false };
    let parent = above.iter().rev().find(|held| !held.trim().is_empty() && indent(held) < indent(line));
    parent.is_some_and(|parent| mask_secrets(&format!("{parent} x")) != format!("{parent} x"))
}

fn mask_all(line: &str) -> String {
    line.chars().map(|_| '*').collect()
}

/// Masks what follows `secret:`, `header_secret:` and `token:` (and `=` in a flag) on a line, whatever the
/// YAML around it; a line that could not be parsed is masked all the same.
pub(crate) fn mask_secrets(line: &str) -> String {
    let mut out: Vec<char> = line.chars().collect();
    for key in SECRET_KEYS {
        let name: Vec<char> = key.chars().collect();
        let mut start = 0;
        while let Some(found) = find_key(&out, &name, start) {
            let mut end = found;
            while let Some(held) = out.get_mut(end) {
                if !held.is_whitespace() {
                    *held = '*';
                }
                end = end.saturating_add(1);
            }
            start = end;
        }
    }
    out.into_iter().collect()
}

/// The position after `name` and its separator, at or past `from`.
fn find_key(line: &[char], name: &[char], from: usize) -> Option<usize> {
    (from..line.len()).find_map(|position| {
        let rest = line.get(position..)?.strip_prefix(name)?;
        let before = position.checked_sub(1).and_then(|before| line.get(before));
        if before.is_some_and(|c| c.is_alphanumeric() || *c == '_') {
            return None;
        }
        let quote = usize::from(rest.first().is_some_and(|c| matches!(c, '"' | '\'')));
        let rest = rest.get(quote..)?;
        let spaces = rest.iter().take_while(|c| **c == ' ').count();
        let separator = rest.get(spaces)?;
        matches!(separator, ':' | '=').then_some(position + name.len() + quote + spaces + 1)
    })
}

/// Cuts a long line around the caret: the text, the caret's position in it, its width.
fn window(line: &str, column: usize, width: usize) -> (String, usize, usize) {
    let chars: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let column = column.min(chars.len());
    let start = if chars.len() > LINE_CHARS_MAX { column.saturating_sub(LINE_CHARS_MAX / 2) } else { 0 };
    let shown: String = chars.iter().skip(start).take(LINE_CHARS_MAX).collect();
    let shown = shown.trim_end().to_owned();
    let caret = column.saturating_sub(start);
    let room = shown.chars().count().saturating_sub(caret).max(1);
    (shown, caret, width.clamp(1, room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_however_it_is_written() {
        for (line, shown) in [
            ("secret: hunter2", "secret: *******"),
            ("  - { id: a, secret: \"hunter2\" }", "  - { id: a, secret: ********* *"),
            ("\"token\": abc", "\"token\": ***"),
            ("header_secret: abc", "header_secret: ***"),
            ("admin.token=abc", "admin.token=***"),
            ("secret_file: /run/secret", "secret_file: /run/secret"),
            ("forward_token: yes", "forward_token: yes"),
        ] {
            assert_eq!(mask_secrets(line), shown);
        }
    }

    #[test]
    fn a_long_line_is_cut_around_its_caret() {
        let line = "x".repeat(500);
        let (shown, caret, width) = window(&line, 400, 3);
        assert!(shown.len() <= LINE_CHARS_MAX);
        assert_eq!((caret, width), (80, 3));
    }
}
