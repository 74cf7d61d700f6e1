//! Where a command finds the state folder, and how it prints what it found there.

use std::path::PathBuf;

use clap::Args;

/// Where the state is.
#[derive(Debug, Clone, Args)]
pub(crate) struct StateFrom {
    /// The gateway's state folder
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub(crate) state: Option<PathBuf>,
    /// The gateway's configuration, which names the state folder
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// The same of a command that prints JSON where it is asked to.
#[derive(Debug, Clone, Args)]
pub(crate) struct Shown {
    #[command(flatten)]
    pub(crate) from: StateFrom,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
