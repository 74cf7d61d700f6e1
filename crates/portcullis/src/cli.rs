//! The command line: what may be typed, and the help that teaches it.
//!
//! Decides names, defaults and examples. Never acts; each command has its own file in `commands`.

mod access;
mod audit;
mod ban;
mod doctor;
mod init;
mod inspect;
mod key;
mod lockdown;
mod serve;
mod session;
mod state;
mod token;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use portcullis_core::policy::checked::Environment;

pub(crate) use access::Access;
pub(crate) use audit::{Audit, AuditSearch, AuditTail, Explain, Filter};
pub(crate) use ban::{Ban, Bans, Revoke, Unban, Whom};
pub(crate) use doctor::Doctor;
pub(crate) use init::{Init, InitAuth};
pub(crate) use inspect::Inspect;
pub(crate) use key::{Key, KeyCreate, KeyList, KeyRevoke, KeyRotate};
pub(crate) use lockdown::Lockdown;
pub(crate) use serve::{Demo, Log, LogFormat, LogLevel, Over, Serve};
pub(crate) use session::{SessionCommand, SessionList, SessionRevoke};
pub(crate) use state::{Shown, StateFrom};
pub(crate) use token::{SecretFrom, Token, TokenDecode, TokenIssue, TokenVerify};

const EXAMPLES: &str = "\
Examples:
  portcullis                                          a guided demo: gateway, chat, live page
  portcullis serve --upstream ws://127.0.0.1:3000     guard a backend with safe defaults
  portcullis init && portcullis check portcullis.yaml write a first configuration and review it
  portcullis serve --config portcullis.yaml           run it; edit the file and it takes effect
  portcullis audit search --since 24h --severity high what was refused since yesterday
  portcullis explain 018f3c5e-…                       why one message was refused";

/// A security gateway for WebSockets.
///
/// Portcullis stands in front of any WebSocket backend and decides about every connection and every
/// message: who is calling, how often, what they say, and what is kept as evidence. Run without a
/// command it starts a demo.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, after_help = EXAMPLES, after_long_help = long_after_help(), disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// What to do; without one, the demo.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

fn long_after_help() -> String {
    format!("{EXAMPLES}\n\n{}", crate::exit::HELP)
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway
    Serve(Box<Serve>),
    /// Run the demo: gateway, a small chat behind it, and the live page
    Demo(Demo),
    /// Validate a configuration and review it as a colleague would
    Check(Check),
    /// Ask every key set and identity provider of a configuration, and show what it answers
    Doctor(Doctor),
    /// Print who may what: role, route, message type, and the rule that decides
    Access(Box<Access>),
    /// Write a first configuration by asking
    Init(Init),
    /// Run messages from a file or pipe through a policy, a verdict a line
    Inspect(Inspect),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Print every reason for a refusal: close code, status, meaning, advice
    Verdicts(Verdicts),
    /// Issue, read and verify tokens (JWT)
    #[command(subcommand)]
    Token(Token),
    /// Make, list, rotate and revoke API keys of service accounts
    #[command(subcommand)]
    Key(Key),
    /// List and revoke sessions
    #[command(subcommand)]
    Session(SessionCommand),
    /// Search the audit or follow it
    #[command(subcommand)]
    Audit(Audit),
    /// Keep an address, network, user, session, token or tenant out
    Ban(Ban),
    /// End the credentials a user, session, token or tenant holds now
    Revoke(Revoke),
    /// Lift a ban or a revocation
    Unban(Unban),
    /// Shut anonymous callers out for a while, or see or end that
    Lockdown(Lockdown),
    /// List who is banned or revoked
    Bans(Bans),
    /// Say why something was refused, by its reference or reason
    Explain(Explain),
    /// Print a shell's completion script
    Completions(Completions),
}

/// `portcullis check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis check portcullis.yaml
  portcullis check portcullis.yaml --preset production --deny-warnings
  portcullis check portcullis.yaml --json | jq '.warnings[]'

Exit code 0: it can run. 1: it can run, but there are warnings and --deny-warnings was given.
3: it was refused; each error names line, column and the nearest valid key.")]
pub(crate) struct Check {
    /// The configuration
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) over: Over,
    /// Warnings give exit code 1
    #[arg(long)]
    pub(crate) deny_warnings: bool,
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `portcullis verdicts`.
#[derive(Debug, Args)]
pub(crate) struct Verdicts {
    /// Print JSON in place of Markdown
    #[arg(long)]
    pub(crate) json: bool,
}

/// `portcullis completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis completions bash > ~/.local/share/bash-completion/completions/portcullis
  portcullis completions fish > ~/.config/fish/completions/portcullis.fish")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

fn environment(text: &str) -> Result<Environment, String> {
    named(text).ok_or_else(|| "it is development, staging, production or high-security".to_owned())
}

/// A value by the name the configuration gives it.
fn named<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_flag_takes_a_secret_as_its_value() {
        let told = ["token", "issue", "--secret", "x", "--subject", "u"];
        assert!(Cli::try_parse_from(std::iter::once("portcullis").chain(told)).is_err());
    }
}
