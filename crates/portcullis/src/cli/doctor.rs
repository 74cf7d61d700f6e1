//! Arguments of `doctor`.

use std::path::PathBuf;

use clap::Args;

/// `portcullis doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis doctor --config portcullis.yaml
  portcullis doctor --json | jq '.[] | select(.error)'

Asks over the network, from where it runs; `portcullis check` never does. Exit code 0: all of them answered with
usable keys, and Redis or Valkey, where `shared_state` names one. 1: at least one did not.")]
pub(crate) struct Doctor {
    /// The configuration [default: portcullis.yaml]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) over: super::Over,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
