//! What the operator wrote: raw (as YAML says it) → checked (an invalid state cannot be built) →
//! one compiled, immutable policy.
//!
//! [`load`] lays the layers over each other (preset, file, `environment_overrides`, environment variables,
//! flags, `--set`), reads the result, checks it, and says everything that is wrong at once. It reads no file
//! and no variable itself: [`Outside`] does.

use std::path::{Path, PathBuf};

mod calendar;
pub mod checked;
mod compiled;

mod check;
mod document;
mod human;
mod layers;
mod limit;
mod manual;
mod mask;
mod nearest;
mod raw;
mod read;
mod refusals;
mod report;
mod schema;
mod tree;
mod variables;
mod warnings;
mod yaml;

#[cfg(test)]
mod tests;

pub use checked::Checked;
use checked::Environment;
pub use compiled::{CompileError, Policy, Route};
pub use human::duration;
pub use manual::reference_markdown;
pub use report::{ConfigError, ERRORS_MAX, Errors, Location, Warning};
pub use schema::schema;

/// The world outside the rules: environment variables and files.
pub trait Outside {
    /// An environment variable, where it is set.
    fn var(&self, name: &str) -> Option<String>;
    /// All environment variables; those that are not UTF-8 may be left out.
    fn vars(&self) -> Vec<(String, String)>;
    /// A file's content, or in words why there is none. Relative paths are relative to the working folder.
    ///
    /// # Errors
    /// Why the file cannot be read, as the operating system says it.
    fn read(&self, path: &Path) -> Result<Vec<u8>, String>;
}

/// No variables and no files: a policy that is its text alone.
#[derive(Debug, Clone, Copy)]
pub struct Nowhere;

impl Outside for Nowhere {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn vars(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn read(&self, _: &Path) -> Result<Vec<u8>, String> {
        Err("there are no files here".to_owned())
    }
}

/// A configuration text.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file's name as errors show it; relative paths in the text start at its folder.
    pub name: &'a str,
    /// YAML.
    pub text: &'a str,
}

/// What the command line says; each wins over file and environment.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--preset`.
    pub preset: Option<Environment>,
    /// `--upstream`: the short form of one route.
    pub upstream: Option<String>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--admin`.
    pub admin: Option<String>,
    /// `--state`.
    pub state_dir: Option<PathBuf>,
    /// `--set key.path=value`, each as written.
    pub set: Vec<String>,
}

/// A configuration that may be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The policy.
    pub checked: Checked,
    /// What a reviewer would ask about.
    pub warnings: Vec<Warning>,
    /// Files it was read from besides the source itself, to watch for changes.
    pub files: Vec<PathBuf>,
}

/// Reads, merges and checks a configuration. Without a source the preset and the overrides speak alone.
///
/// # Errors
/// Everything that is wrong, each with its place and what to do; at most [`ERRORS_MAX`].
pub fn load(source: Option<Source<'_>>, overrides: &Overrides, outside: &dyn Outside) -> Result<Loaded, Errors> {
    let layered = layers::layer(source.as_ref(), overrides, outside)?;
    let (document, mut faults) = read::read::<raw::Document>(&layered.tree);
    let Some(document) = document else { return Err(layered.texts.errors(&layered.tree, faults)) };
    let clean = faults.is_empty();

    let expanded = check::expand(&layered.tree);
    let document = if clean { read::read::<raw::Document>(&expanded).0.unwrap_or(document) } else { document };
    let mut checking = check::Checking::new(&layered, &expanded, source.as_ref(), outside);
    checking.incomplete = !clean;
    let checked = checking.document(&document);
    if let Some(checked) = checked.as_ref().filter(|_| clean && checking.faults.is_empty()) {
        refusals::refuse(&mut checking, checked);
    }
    let files = std::mem::take(&mut checking.files);
    let read_besides = std::mem::take(&mut checking.texts);
    faults.append(&mut checking.faults);
    match checked {
        Some(checked) if faults.is_empty() => {
            let warnings = warnings::review(&layered, &expanded, &checked, &checking.secrets);
            Ok(Loaded { checked, warnings, files })
        }
        _ => {
            let mut texts = layered.texts;
            for (name, text) in read_besides {
                texts.add(&name, &text, report::TextKind::File);
            }
            Err(texts.errors(&expanded, faults))
        }
    }
}
