//! `portcullis access`: role × route × message type, and the rule that decides each (SPEC 4).
//!
//! Decides how the table is laid out; what stands in it is the core's answer. Starts nothing.

use std::path::PathBuf;

use portcullis_core::access::{Cell, matrix};

use crate::cli::Access;
use crate::configuration::{Origin, USUAL_FILE};
use crate::exit::{Failure, Outcome};
use crate::output;

const HEADS: [&str; 6] = ["ROUTE", "ACTION", "NEEDS", "ROLE", "DECISION", "RULE"];

/// Prints the table.
pub(crate) fn run(told: &Access) -> Outcome {
    let file = told.config.clone().unwrap_or_else(|| PathBuf::from(USUAL_FILE));
    let loaded = Origin { file: Some(file), overrides: told.over.overrides(None) }.load()?;
    let mut cells = matrix(&loaded.checked);
    narrow(&mut cells, "route", told.route.as_deref(), |cell| &cell.route)?;
    narrow(&mut cells, "role", told.role.as_deref(), |cell| &cell.role)?;
    if told.json { output::json(&cells) } else { output::line(&table(&cells)) }
}

/// Keeps the lines of one name, which must be among them.
fn narrow(cells: &mut Vec<Cell>, what: &str, asked: Option<&str>, name: impl Fn(&Cell) -> &String) -> Outcome {
    let Some(asked) = asked else { return Ok(()) };
    let mut names: Vec<String> = cells.iter().map(|cell| format!("`{}`", output::printable(name(cell)))).collect();
    names.sort();
    names.dedup();
    cells.retain(|cell| name(cell) == asked);
    if cells.is_empty() {
        let asked = output::printable(asked);
        return Err(Failure::Usage(format!("no {what} is named `{asked}`; there are {}", names.join(", "))));
    }
    Ok(())
}

fn table(cells: &[Cell]) -> String {
    let mut rows = vec![HEADS.map(str::to_owned)];
    rows.extend(cells.iter().map(|cell| {
        let action = match &cell.message_type {
            Some(message_type) => format!("{} {message_type}", cell.action),
            None => cell.action.to_owned(),
        };
        let decision = cell.decision.label().to_owned();
        [cell.route.clone(), action, cell.needs.clone(), cell.role.clone(), decision, cell.rule.clone()]
            .map(|text| output::printable(&text))
    }));
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max();
    let widths: Vec<usize> = (0..HEADS.len()).map(|column| width(column).unwrap_or(0)).collect();
    let lines = rows.iter().map(|row| {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(text, width)| format!("{text:width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    });
    lines.collect()
}
