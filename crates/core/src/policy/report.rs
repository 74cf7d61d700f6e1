//! What an operator reads when a configuration is wrong or unwise: file, line, column, the line itself with
//! a caret, what is wrong and what to do. Decides no rule; never shows a secret.

use std::fmt;

use serde::Serialize;

use super::mask;
use super::tree::{KeyPath, Node, Place, TextId};

/// Most errors reported together; the rest would only bury them.
pub const ERRORS_MAX: usize = 32;
/// Longest line shown, characters; a longer one is cut around the caret.
const LINE_CHARS_MAX: usize = 160;

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
    /// The key is not known, and what is written there may be a secret.
    pub(crate) may_be_secret: bool,
}

impl Fault {
    pub(crate) fn new(path: KeyPath, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { path, message: message.into(), help: help.into(), place: None, may_be_secret: false }
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
pub(crate) struct Texts {
    texts: Vec<Text>,
    /// Keys that are not known, where the value may be a secret whose key is misspelt.
    unknown: Vec<Place>,
}

impl Texts {
    pub(crate) fn add(&mut self, name: &str, text: &str, kind: TextKind) -> TextId {
        self.texts.push(Text { name: name.to_owned(), text: text.to_owned(), kind });
        TextId(self.texts.len().saturating_sub(1))
    }

    /// How many there are: the next one's id.
    pub(crate) fn count(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn find(&self, id: TextId) -> Option<&Text> {
        self.texts.get(id.0)
    }

    /// Whether the operator wrote it.
    pub(crate) fn is_operators(&self, id: TextId) -> bool {
        self.find(id).is_some_and(|text| text.kind != TextKind::Preset)
    }

    /// A place in words; `None` for what a preset says.
    pub(crate) fn locate(&self, place: Place) -> Option<Location> {
        let text = self.find(place.text).filter(|text| text.kind != TextKind::Preset)?;
        let number = place.line.saturating_sub(1);
        let unknown = self.unknown.iter().filter(|held| held.text == place.text && held.line == place.line);
        let line = mask::line(&text.name, &text.text, number, unknown.map(|held| held.column.saturating_sub(1)));
        let (snippet, caret, width) = window(&line, place.column.saturating_sub(1), place.width);
        Some(Location { file: text.name.clone(), line: place.line, column: place.column, snippet, caret, width })
    }

    /// Faults in words, in the order of the text, each once.
    pub(crate) fn errors(mut self, tree: &Node, faults: Vec<Fault>) -> Errors {
        self.unknown = faults.iter().filter(|fault| fault.may_be_secret).filter_map(|fault| fault.place).collect();
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
    fn a_long_line_is_cut_around_its_caret() {
        let line = "x".repeat(500);
        let (shown, caret, width) = window(&line, 400, 3);
        assert!(shown.len() <= LINE_CHARS_MAX);
        assert_eq!((caret, width), (80, 3));
    }
}
