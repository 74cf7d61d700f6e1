//! Files, folders and pipes of lines: what of a line is the message, and what is said of one that cannot be read.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::Judge;
use crate::cli::Inspect;
use crate::exit::{Failure, Outcome};
use crate::output;

/// Longest line read, bytes: more than any policy lets a message have.
const LINE_BYTES_MAX: usize = 512 << 20;
/// How the files of a folder end that hold lines.
const ENDINGS: [&str; 2] = ["jsonl", "ndjson"];
/// Standard input.
const PIPE: &str = "-";

/// The files that are meant: of a folder those that hold lines, by name; of nothing standard input.
pub(super) fn files(told: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in told {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
        let mut found = Vec::new();
        for entry in entries {
            let file = entry.map_err(|error| unreadable(path, &error))?.path();
            let ending = file.extension().and_then(std::ffi::OsStr::to_str);
            if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && file.is_file() {
                found.push(file);
            }
        }
        if found.is_empty() {
            let why = format!("the folder `{}` holds no file `*.jsonl` or `*.ndjson`", path.display());
            return Err(Failure::Outside(why));
        }
        found.sort();
        files.append(&mut found);
    }
    if files.is_empty() {
        files.push(PathBuf::from(PIPE));
    }
    Ok(files)
}

/// The lines read so far.
pub(super) struct Lines<'t> {
    told: &'t Inspect,
    number: u64,
    unread: u64,
}

/// A line, read.
pub(super) struct Read<'l> {
    pub(super) id: Value,
    pub(super) class: Option<String>,
    pub(super) bytes: Cow<'l, [u8]>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(told: &'t Inspect) -> Self {
        Self { told, number: 0, unread: 0 }
    }

    /// How many could not be read.
    pub(super) fn unread(&self) -> u64 {
        self.unread
    }

    /// Has every line of a file judged.
    pub(super) fn judge(&mut self, file: &Path, judge: &mut Judge<'_>, out: &mut impl Write) -> Outcome {
        if file == Path::new(PIPE) {
            return self.each(file, std::io::stdin().lock(), judge, out);
        }
        let bar = progress(file);
        let opened = File::open(file).map_err(|error| unreadable(file, &error))?;
        self.each(file, BufReader::with_capacity(1 << 16, bar.wrap_read(opened)), judge, out)?;
        bar.finish_and_clear();
        Ok(())
    }

    fn each(&mut self, file: &Path, mut input: impl BufRead, judge: &mut Judge<'_>, out: &mut impl Write) -> Outcome {
        let mut line = Vec::new();
        let mut number = 0_u64;
        loop {
            line.clear();
            let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
            let read = std::io::Read::take(&mut input, most).read_until(b'\n', &mut line);
            if read.map_err(|error| unreadable(file, &error))? == 0 {
                return Ok(());
            }
            number += 1;
            self.number += 1;
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            match self.message(text) {
                Ok(read) => judge.line(&read, out)?,
                Err(Unread { column, why }) => {
                    self.unread += 1;
                    let indent = line.len() - line.trim_ascii_start().len();
                    let column = column.map(|column| format!("{}:", column + indent)).unwrap_or_default();
                    let file = output::printable(&file.display().to_string());
                    // Where standard error is closed the exit code says it.
                    let _ = writeln!(std::io::stderr(), "{file}:{number}:{column} {why}");
                }
            }
        }
    }

    /// What of a line is the message, and its name.
    fn message<'l>(&self, text: &'l [u8]) -> Result<Read<'l>, Unread> {
        let told = self.told;
        // A line that is the message itself may be anything: judging it is the policy's business.
        let value: Option<Value> = if told.field.is_some() || told.id.is_some() {
            Some(serde_json::from_slice(text).map_err(Unread::from)?)
        } else {
            let classed = told.summary || !told.outbound_class.is_empty();
            classed.then(|| serde_json::from_slice(text).ok()).flatten()
        };
        let member = |name: &str| value.as_ref().and_then(|value| at(value, name));
        let class = member("class").and_then(Value::as_str).map(str::to_owned);
        let id = match &told.id {
            None => Value::from(self.number),
            Some(name) => member(name).cloned().ok_or_else(|| Unread::without(name))?,
        };
        let bytes = match &told.field {
            None => Cow::Borrowed(text),
            Some(name) => {
                let payload = member(name).ok_or_else(|| Unread::without(name))?;
                Cow::Owned(format!(r#"{{"type":"chat","text":{payload}}}"#).into_bytes())
            }
        };
        Ok(Read { id, class, bytes })
    }
}

/// Why a line is not judged, and the column where that shows.
struct Unread {
    column: Option<usize>,
    why: String,
}

impl Unread {
    fn without(name: &str) -> Self {
        Self { column: None, why: format!("the line has no `{}`", output::printable(name)) }
    }
}

impl From<serde_json::Error> for Unread {
    fn from(error: serde_json::Error) -> Self {
        let said = error.to_string();
        // The parser counts lines within what it was given: one.
        let why = said.rsplit_once(" at line ").map_or(said.as_str(), |(why, _)| why);
        Self { column: Some(error.column()), why: format!("not JSON: {why}") }
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::Outside(format!("cannot read `{}`: {error}", file.display()))
}

/// A member by its name, or a value by its JSON Pointer (RFC 6901).
fn at<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    if name.starts_with('/') { value.pointer(name) } else { value.get(name) }
}

/// Progress over a file whose size is known, for somebody who watches.
fn progress(file: &Path) -> ProgressBar {
    let size = std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file).map(|file| file.len());
    match size {
        // Indicatif itself says nothing where standard error is no terminal.
        Some(size) => {
            let bar = ProgressBar::new(size);
            if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {eta}") {
                bar.set_style(style);
            }
            bar
        }
        None => ProgressBar::hidden(),
    }
}
