//! Arguments of `inspect`.

use std::path::PathBuf;

use clap::Args;
use portcullis_core::policy::checked::Environment;

/// `portcullis inspect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis inspect --config portcullis.yaml recorded.jsonl
  portcullis inspect --field payload --id id corpus.jsonl > verdicts.jsonl
  echo '{\"type\":\"chat\",\"text\":\"hello\"}' | portcullis inspect
  portcullis inspect --config portcullis.yaml --role user recorded.jsonl
  portcullis inspect --outbound --summary answers.jsonl > /dev/null
  portcullis inspect --field payload --id id --outbound-class exfil --summary corpus/ > /dev/null

Each line is a message; each verdict is a line {\"id\":…,\"blocked\":…,\"findings\":[…]}. `blocked` says that the
policy would not let the message pass; what it only observes is among the findings. Without a configuration the
messages are judged as the production preset would. Left out is what one message alone cannot show: rates, ids
seen before, and the distance of timestamps from the present; with --field the envelope and permissions as well, for
the payload travels as the text of {\"type\":\"chat\",\"text\":PAYLOAD}.

Ends with 0 whatever the verdicts are, with 1 where a line could not be read.")]
pub(crate) struct Inspect {
    /// Files of JSON lines, or folders with `*.jsonl` and `*.ndjson`; `-` or none reads standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The policy [default: the production preset]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the figures start: development, staging, production or high-security
    #[arg(long, value_name = "NAME", value_parser = super::environment)]
    pub(crate) preset: Option<Environment>,
    /// The route whose rules judge [default: the first]
    #[arg(long, value_name = "NAME")]
    pub(crate) route: Option<String>,
    /// A role of the caller; may be repeated [default: anonymous, a guest]
    #[arg(long, value_name = "NAME")]
    pub(crate) role: Vec<String>,
    /// A permission that the caller's credential carries; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) permission: Vec<String>,
    /// The caller's tenant [default: none]
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// The caller passed a second factor
    #[arg(long)]
    pub(crate) mfa: bool,
    /// The messages go from the server to the client
    #[arg(long)]
    pub(crate) outbound: bool,
    /// Lines whose `class` is this go from the server to the client; may be repeated
    #[arg(long, value_name = "CLASS")]
    pub(crate) outbound_class: Vec<String>,
    /// The member of each line, or JSON Pointer into it, that is the text to judge [default: the whole line]
    #[arg(long, value_name = "NAME")]
    pub(crate) field: Option<String>,
    /// The member of each line that names it [default: the line's number]
    #[arg(long, value_name = "NAME")]
    pub(crate) id: Option<String>,
    /// Print a summary on standard error: by reason, and by `class` where the lines carry one
    #[arg(long)]
    pub(crate) summary: bool,
    /// Any configuration key, as key.path=value; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}
