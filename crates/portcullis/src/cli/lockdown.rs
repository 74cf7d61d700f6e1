//! Arguments of `lockdown`.

use clap::Args;

use super::Shown;

/// `portcullis lockdown`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis lockdown --for 30m --reason \"flood from everywhere\"
  portcullis lockdown
  portcullis lockdown --end

Without --for and --end it says whether one is in force. A gateway that runs on the state folder obeys
within a second: anonymous connections are closed with code 1013, new ones are refused, and limits are
stricter for everyone (`lockdown.multiplier`). It ends by itself.")]
pub(crate) struct Lockdown {
    /// Order one for so long, as 30m, 2h; at most 30d
    #[arg(long = "for", value_name = "SPAN", value_parser = crate::when::span, conflicts_with = "end")]
    pub(crate) how_long: Option<std::time::Duration>,
    /// Why, for whoever reads the audit
    #[arg(long, value_name = "TEXT", default_value = "", requires = "how_long")]
    pub(crate) reason: String,
    /// End it
    #[arg(long)]
    pub(crate) end: bool,
    #[command(flatten)]
    pub(crate) shown: Shown,
}
