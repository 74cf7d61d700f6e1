//! `portcullis doctor`: whether each key set, identity provider and shared state answers (SPEC 3.3, 14.1).
//!
//! Decides how answers are shown. Asks exactly as the gateway would; serves nobody.

use std::path::PathBuf;

use portcullis_gateway::{SourceReport, examine};

use crate::cli::Doctor;
use crate::configuration::{Origin, USUAL_FILE};
use crate::exit::{Failure, Outcome};
use crate::output;

/// Asks them all and prints what they say.
pub(crate) fn run(told: &Doctor) -> Outcome {
    let file = told.config.clone().unwrap_or_else(|| PathBuf::from(USUAL_FILE));
    let loaded = Origin { file: Some(file), overrides: told.over.overrides(None) }.load()?;
    let reports = examine(&loaded.checked).map_err(|error| Failure::Outside(error.to_string()))?;
    if told.json {
        output::json(&reports)?;
    } else if reports.is_empty() {
        output::line("nothing to ask: no key set, no identity provider and no shared state is configured")?;
    }
    for report in reports.iter().filter(|_| !told.json) {
        output::line(&words(report))?;
    }
    match reports.iter().filter(|report| report.error.is_some()).count() {
        0 => Ok(()),
        failed => Err(Failure::Negative(format!("{failed} of {} did not answer as it should", reports.len()))),
    }
}

fn words(report: &SourceReport) -> String {
    let mut text = format!("{} {}: ", report.kind, output::printable(&report.name));
    if let Some(error) = &report.error {
        text.push_str("FAILED, ");
        text.push_str(&output::printable(error));
        return text;
    }
    if let (true, Some(version)) = (report.kind == "shared_state", &report.location) {
        return format!("{text}{} answers", output::printable(version));
    }
    let count = report.keys.len();
    text.push_str(&format!("{count} usable key{}", if count == 1 { "" } else { "s" }));
    if report.left_out > 0 {
        text.push_str(&format!(", {} left out", report.left_out));
    }
    if let Some(location) = report.location.as_ref().filter(|location| **location != report.name) {
        text.push_str(&format!("\n  at {}", output::printable(location)));
    }
    for key in &report.keys {
        let id = key.id.as_deref().map_or_else(|| "(no id)".to_owned(), output::printable);
        text.push_str(&format!("\n  {:?} {id}", key.algorithm));
    }
    text
}
