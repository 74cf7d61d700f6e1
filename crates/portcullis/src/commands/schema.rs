//! `portcullis schema`: the JSON Schema of the configuration, for editors.

use crate::exit::Outcome;
use crate::output;

/// Prints it.
pub(crate) fn run() -> Outcome {
    output::json(&portcullis_core::policy::schema())
}
