//! Arguments of `session list` and `revoke`.

use clap::{Args, Subcommand};

use super::{Shown, StateFrom};

/// `portcullis session`.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List the sessions in force: whose, since when, last used
    List(SessionList),
    /// End sessions; their open connections close within a second
    Revoke(SessionRevoke),
}

/// `portcullis session list`.
#[derive(Debug, Args)]
pub(crate) struct SessionList {
    /// Those of this user only: the subject
    #[arg(long, value_name = "ID")]
    pub(crate) user: Option<String>,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

/// `portcullis session revoke`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis session revoke 6f1c2a9b03d4e5f7
  portcullis session revoke --user u17
  portcullis session revoke --user u17 --tenant acme

The user may sign in again. `portcullis revoke --user` ends its tokens as well.")]
pub(crate) struct SessionRevoke {
    /// The session's id, as the list shows it
    #[arg(required_unless_present = "user", conflicts_with = "user")]
    pub(crate) id: Option<String>,
    /// Every session of this user: the subject
    #[arg(long, value_name = "ID")]
    pub(crate) user: Option<String>,
    /// Only those in this tenant
    #[arg(long, value_name = "NAME", requires = "user")]
    pub(crate) tenant: Option<String>,
    #[command(flatten)]
    pub(crate) from: StateFrom,
}
