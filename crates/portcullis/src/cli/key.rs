//! Arguments of `key create`, `list`, `rotate` and `revoke`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Shown, StateFrom};

/// `portcullis key`.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key for a service account; it is shown once
    Create(KeyCreate),
    /// List keys: for whom, until when, last used
    List(KeyList),
    /// Give a key another secret; the one before works for a while longer
    Rotate(KeyRotate),
    /// End a key for good; its open connections close within a second
    Revoke(KeyRevoke),
}

/// `portcullis key create`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis key create --subject svc-import --role importer --expires 90d
  portcullis key create --subject billing --tenant acme --permission rows.read --json

The service sends the key as `Authorization: Bearer pcl_…` or `X-Api-Key: pcl_…`. Only its digest is
kept: a key that is lost is rotated, not looked up. A gateway that runs accepts it within a second.")]
pub(crate) struct KeyCreate {
    /// Whom it stands for: the subject that limits, bans and the audit know
    #[arg(long, value_name = "ID")]
    pub(crate) subject: String,
    /// What it is for, in words; the subject where not given
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// A role; may be repeated
    #[arg(long = "role", value_name = "NAME")]
    pub(crate) roles: Vec<String>,
    /// A permission; may be repeated
    #[arg(long = "permission", value_name = "NAME")]
    pub(crate) permissions: Vec<String>,
    /// Its tenant
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// When it ends by itself, as 30d or 12h from now; never where not given
    #[arg(long, value_name = "SPAN", value_parser = crate::when::span)]
    pub(crate) expires: Option<Duration>,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

/// `portcullis key list`.
#[derive(Debug, Args)]
pub(crate) struct KeyList {
    /// Keys that have ended too
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

/// `portcullis key rotate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis key rotate 6f1c2a9b03d4e5f7 --keep 24h
  portcullis key rotate 6f1c2a9b03d4e5f7 --keep 0      the old secret ends now

Open connections stay: the key is the same, with another secret.")]
pub(crate) struct KeyRotate {
    /// The key's id, as the list shows it
    pub(crate) id: String,
    /// How long the secret before is accepted as well
    #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = keep)]
    pub(crate) keep: Duration,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

/// `portcullis key revoke`.
#[derive(Debug, Args)]
pub(crate) struct KeyRevoke {
    /// The key's id, as the list shows it
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) from: StateFrom,
}

/// A span, or none at all.
fn keep(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { crate::when::span(text) }
}
