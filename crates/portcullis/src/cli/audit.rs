//! Arguments of `audit tail` and `search`, and of `explain`.

use clap::{Args, Subcommand};
use portcullis_core::verdict::{Reason, Severity};

use super::{Shown, StateFrom};

/// `portcullis audit …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Print the latest events and follow new ones
    #[command(after_help = "\
Examples:
  portcullis audit tail --state ./state
  portcullis audit tail --config portcullis.yaml --severity high --json | jq .detail")]
    Tail(AuditTail),
    /// Find events
    #[command(after_help = "\
Examples:
  portcullis audit search --since 24h --type threat_sqli
  portcullis audit search --user u1 --since 2026-03-01 --until 2026-04-01 --json
  portcullis audit search --ip 203.0.113.9 --severity high --limit 20

Exit code 0: something was found. 1: nothing was.")]
    Search(AuditSearch),
}

/// Which events.
#[derive(Debug, Clone, Args)]
pub(crate) struct Filter {
    /// Only this reason, as `portcullis verdicts` lists them; may be repeated
    #[arg(long = "type", value_name = "REASON", value_parser = reason)]
    pub(crate) reasons: Vec<Reason>,
    /// Only this bad or worse: low, medium, high or critical
    #[arg(long, value_name = "LEVEL", value_parser = severity)]
    pub(crate) severity: Option<Severity>,
    /// Only from this client address
    #[arg(long, value_name = "ADDR")]
    pub(crate) ip: Option<std::net::IpAddr>,
    /// Only of this subject
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) user: Option<String>,
    /// Only of this tenant
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    /// Only where all these words stand in the event; the start of a word is enough
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
}

/// `portcullis audit tail`.
#[derive(Debug, Args)]
pub(crate) struct AuditTail {
    #[command(flatten)]
    pub(crate) from: StateFrom,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// How many past events come first
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 10)]
    pub(crate) lines: usize,
    /// End after the past events
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `portcullis audit search`.
#[derive(Debug, Args)]
pub(crate) struct AuditSearch {
    #[command(flatten)]
    pub(crate) from: StateFrom,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Not before: a span back as 24h, a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before: a span back as 24h, a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Most events printed, the newest ones
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) limit: usize,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `portcullis explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis explain 018f3c5e-9a1b-7c3d-8e2f-0123456789ab --state ./state
  portcullis explain threat_sqli

A reference stands in every error reply and refusal. A reason needs no state folder.")]
pub(crate) struct Explain {
    /// The reference of an event, or a reason
    #[arg(value_name = "REFERENCE|REASON")]
    pub(crate) what: String,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

fn reason(text: &str) -> Result<Reason, String> {
    Reason::from_label(text).ok_or_else(|| "`portcullis verdicts` lists the reasons".to_owned())
}

fn severity(text: &str) -> Result<Severity, String> {
    let found = Severity::ALL.iter().copied().find(|severity| severity.label() == text);
    found.ok_or_else(|| "it is low, medium, high or critical".to_owned())
}
