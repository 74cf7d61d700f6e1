//! `portcullis completions SHELL`: the script a shell loads.

use clap::CommandFactory as _;

use crate::cli::{Cli, Completions};
use crate::exit::Outcome;
use crate::output;

/// Prints it.
pub(crate) fn run(told: &Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(told.shell, &mut Cli::command(), "portcullis", &mut script);
    output::line(&String::from_utf8_lossy(&script))
}
