//! Arguments of `ban`, `revoke`, `unban` and `bans`.

use clap::Args;

use super::{Shown, StateFrom};

/// Who is meant, besides an address.
#[derive(Debug, Clone, Args)]
pub(crate) struct Whom {
    /// A user: the subject of its token
    #[arg(long, value_name = "ID")]
    pub(crate) user: Option<String>,
    /// A session id
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// A token id (`jti`)
    #[arg(long, value_name = "ID")]
    pub(crate) token_id: Option<String>,
    /// A tenant
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
}

/// `portcullis ban`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis ban 203.0.113.9 --for 24h --reason scanning
  portcullis ban 2001:db8:7::/48 --for 7d
  portcullis ban --user u17 --for 1h --config portcullis.yaml

A gateway that runs on the state folder closes the open connections it names within a second and
refuses new ones with 403 or close code 4003. It need not run: it finds the ban when it starts.")]
pub(crate) struct Ban {
    /// An IP address or a network
    #[arg(value_name = "ADDRESS|NETWORK")]
    pub(crate) network: Option<String>,
    #[command(flatten)]
    pub(crate) whom: Whom,
    /// How long, as 30m, 24h, 7d
    #[arg(long = "for", value_name = "SPAN", default_value = "24h", value_parser = crate::when::span)]
    pub(crate) how_long: std::time::Duration,
    /// Why, for whoever reads the list and the audit
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

/// `portcullis revoke`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis revoke --user u17 --reason \"laptop stolen\"
  portcullis revoke --session 6f1c2a
  portcullis revoke --token-id 018f3c5e

A user or tenant may sign in again: tokens issued after this (`iat`) are accepted. A session or token id
is at its end. Open connections are closed with 4001 within a second.")]
pub(crate) struct Revoke {
    #[command(flatten)]
    pub(crate) whom: Whom,
    /// How long it is remembered: at least as long as tokens live
    #[arg(long = "for", value_name = "SPAN", default_value = "30d", value_parser = crate::when::span)]
    pub(crate) how_long: std::time::Duration,
    /// Why, for whoever reads the list and the audit
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

/// `portcullis unban`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis unban 203.0.113.9
  portcullis unban --user u17")]
pub(crate) struct Unban {
    /// An IP address or a network, as the list shows it
    #[arg(value_name = "ADDRESS|NETWORK")]
    pub(crate) network: Option<String>,
    #[command(flatten)]
    pub(crate) whom: Whom,
    #[command(flatten)]
    pub(crate) from: StateFrom,
}

/// `portcullis bans`.
#[derive(Debug, Args)]
pub(crate) struct Bans {
    #[command(flatten)]
    pub(crate) shown: Shown,
}
