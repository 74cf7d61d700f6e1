//! `portcullis verdicts`: the table of reasons, as Markdown or JSON.

use portcullis_core::verdict::Reason;

use crate::cli::Verdicts;
use crate::exit::Outcome;
use crate::output;

/// Prints it.
pub(crate) fn run(told: &Verdicts) -> Outcome {
    if told.json {
        return output::json(&Reason::ALL.iter().map(|reason| reason.row()).collect::<Vec<_>>());
    }
    output::line(&Reason::table_as_markdown())
}
