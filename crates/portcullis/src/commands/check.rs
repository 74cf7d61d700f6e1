//! `portcullis check FILE`: errors with their places, and what a careful reviewer would ask about.
//!
//! Decides how findings are shown and which exit code they give. Starts nothing.

use portcullis_core::policy::{self, ConfigError, Source, Warning};

use crate::cli::Check;
use crate::configuration::{self, Machine};
use crate::exit::{Failure, Outcome};
use crate::output;

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Findings<'a> {
    file: String,
    valid: bool,
    errors: &'a [ConfigError],
    warnings: &'a [Warning],
}

/// Checks the file.
pub(crate) fn run(told: &Check) -> Outcome {
    let file = told.file.display().to_string();
    let text = configuration::text_of(&told.file)?;
    let source = Source { name: &file, text: &text };
    match policy::load(Some(source), &told.over.overrides(None), &Machine) {
        Err(errors) if told.json => {
            output::json(&Findings { file: file.clone(), valid: false, errors: &errors.0, warnings: &[] })?;
            Err(Failure::Configuration(format!("`{file}` was refused, {} found", counted(errors.0.len(), "error"))))
        }
        Err(errors) => Err(configuration::refused(&errors)),
        Ok(loaded) => {
            let warnings = &loaded.warnings;
            if told.json {
                output::json(&Findings { file: file.clone(), valid: true, errors: &[], warnings })?;
            } else {
                for warning in warnings {
                    output::line(&format!("{warning}"))?;
                }
                let routes = counted(loaded.checked.routes.len(), "route");
                output::line(&format!("{file}: valid, {routes}, {}", counted(warnings.len(), "warning")))?;
            }
            if told.deny_warnings && !warnings.is_empty() {
                return Err(Failure::Negative(format!("`{file}` has {}", counted(warnings.len(), "warning"))));
            }
            Ok(())
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
