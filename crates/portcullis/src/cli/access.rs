//! Arguments of `access`.

use std::path::PathBuf;

use clap::Args;

/// `portcullis access`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis access --config portcullis.yaml
  portcullis access --role user --route chat
  portcullis access --json > access.json         keep it beside the configuration: its changes are the review

A line is a role and what it asks for; the last column is the rule that decides. `partly` is on some resources
only. What a single token carries in its own `permissions` adds to what its roles may; a denial wins over both.")]
pub(crate) struct Access {
    /// The configuration [default: portcullis.yaml]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Only this role; `(anonymous)` is the caller without a credential
    #[arg(long, value_name = "NAME")]
    pub(crate) role: Option<String>,
    /// Only this route
    #[arg(long, value_name = "NAME")]
    pub(crate) route: Option<String>,
    #[command(flatten)]
    pub(crate) over: super::Over,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
