//! The command line: what may be typed, and the help that teaches it.
//!
//! Decides names, defaults and examples. Never acts; each command has its own file in `commands`.

mod access;
mod ban;
mod doctor;
mod inspect;
mod key;
mod lockdown;
mod session;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use portcullis_core::policy::Overrides;
use portcullis_core::policy::checked::{Algorithm, Environment};
use portcullis_core::verdict::{Reason, Severity};

pub(crate) use access::Access;
pub(crate) use ban::{Ban, Bans, Revoke, Unban, Whom};
pub(crate) use doctor::Doctor;
pub(crate) use inspect::Inspect;
pub(crate) use key::{Key, KeyCreate, KeyList, KeyRevoke, KeyRotate};
pub(crate) use lockdown::Lockdown;
pub(crate) use session::{SessionCommand, SessionList, SessionRevoke};

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

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line a record, for people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// Least severe record that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Flags of the log, on standard error.
#[derive(Debug, Clone, Args)]
pub(crate) struct Log {
    /// Form of the log on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "PORTCULLIS_LOG_FORMAT", help_heading = "Log")]
    pub(crate) log_format: LogFormat,
    /// Least severe record that is logged [default: info, in the demo warn]
    #[arg(long, value_enum, env = "PORTCULLIS_LOG_LEVEL", help_heading = "Log")]
    pub(crate) log_level: Option<LogLevel>,
}

/// `portcullis serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis serve --upstream ws://127.0.0.1:3000
  portcullis serve --upstream ws://127.0.0.1:3000 --listen 127.0.0.1:0 --admin 127.0.0.1:0
  portcullis serve --config portcullis.yaml --set listen.connections_max=20000
  portcullis serve --config portcullis.yaml --preset production --log-format json

Two lines beginning with `listening` on standard output give the real addresses; it is ready when they
appear. SIGHUP, or a change of the file, reloads without dropping a connection. SIGTERM and Ctrl-C drain:
no new connection, every open one is closed in good manners, a hard stop at `listen.drain_timeout`.")]
pub(crate) struct Serve {
    /// The backend, as ws://HOST:PORT or wss://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: Option<String>,
    /// The configuration
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) over: Over,
    #[command(flatten)]
    pub(crate) log: Log,
}

impl Serve {
    /// Whether nobody says where the backend is, on the command line or in the environment: the demo then.
    pub(crate) fn says_nothing(&self) -> bool {
        self.upstream.is_none() && self.config.is_none() && self.over.says_nothing() && !environment_says_something()
    }
}

fn environment_says_something() -> bool {
    std::env::vars_os().any(|(name, _)| name.to_str().is_some_and(|name| name.starts_with("PORTCULLIS__")))
}

/// Flags that override the configuration.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Over {
    /// Where the figures start: development, staging, production or high-security
    #[arg(long, value_name = "NAME", value_parser = environment)]
    pub(crate) preset: Option<Environment>,
    /// Address for clients [default: 127.0.0.1:8350; port 0 picks one]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Address for operators [default: 127.0.0.1:8351; port 0 picks one]
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<SocketAddr>,
    /// Folder for what must last: the audit
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Any configuration key, as key.path=value; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

impl Over {
    fn says_nothing(&self) -> bool {
        let Self { preset, listen, admin, state, set } = self;
        preset.is_none() && listen.is_none() && admin.is_none() && state.is_none() && set.is_empty()
    }

    /// As the policy takes them.
    pub(crate) fn overrides(&self, upstream: Option<&String>) -> Overrides {
        Overrides {
            preset: self.preset,
            upstream: upstream.cloned(),
            listen: self.listen.map(|address| address.to_string()),
            admin: self.admin.map(|address| address.to_string()),
            state_dir: self.state.clone(),
            set: self.set.clone(),
        }
    }
}

/// `portcullis demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Demo {
    /// Address for clients; port 0 picks one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8350")]
    pub(crate) listen: SocketAddr,
    /// Address of the live page; port 0 picks one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8351")]
    pub(crate) admin: SocketAddr,
    /// Folder for the demo's audit [default: one of your own under the temporary folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) log: Log,
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

/// How clients prove who they are, as `init` asks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InitAuth {
    /// Tokens signed with a shared secret (HS256)
    Secret,
    /// Tokens of an identity provider that publishes its keys (JWKS URL)
    Jwks,
    /// Nobody proves anything; development only
    None,
}

/// `portcullis init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis init
  portcullis init gate.yaml --upstream ws://127.0.0.1:3000 --path '/ws/{user_id}' --auth secret
  portcullis init --upstream wss://chat.internal:443 --auth jwks --jwks-url https://id.example.com/jwks.json

Asks on a terminal; elsewhere, or with --yes, what no flag says takes its default. An existing file is
kept unless --force is given.")]
pub(crate) struct Init {
    /// The file to write
    #[arg(default_value = "portcullis.yaml")]
    pub(crate) file: PathBuf,
    /// The backend, as ws://HOST:PORT or wss://HOST:PORT
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: Option<String>,
    /// A path clients connect to; `{name}` matches one segment; may be repeated
    #[arg(long = "path", value_name = "TEMPLATE")]
    pub(crate) paths: Vec<String>,
    /// How clients prove who they are
    #[arg(long, value_enum)]
    pub(crate) auth: Option<InitAuth>,
    /// Where the identity provider publishes its keys (with --auth jwks)
    #[arg(long, value_name = "URL")]
    pub(crate) jwks_url: Option<String>,
    /// A web origin that may connect, as https://app.example.com; may be repeated
    #[arg(long = "origin", value_name = "ORIGIN")]
    pub(crate) origins: Vec<String>,
    /// development, staging, production or high-security
    #[arg(long, value_name = "NAME", value_parser = environment)]
    pub(crate) environment: Option<Environment>,
    /// Network of the proxy in front, which ends TLS and writes X-Forwarded-For
    #[arg(long, value_name = "NETWORK", conflicts_with_all = ["tls_certificate", "tls_key"])]
    pub(crate) proxy: Option<String>,
    /// PEM certificate chain, where the gateway ends TLS itself
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// PEM private key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Ask nothing
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Replace an existing file
    #[arg(long)]
    pub(crate) force: bool,
    /// Print what was written as JSON
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

/// `portcullis token …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Sign a token
    #[command(after_help = "\
Examples:
  portcullis token issue --secret-file jwt.secret --subject u1 --role user --tenant acme --ttl 1h
  JWT_SECRET=… portcullis token issue --secret-env JWT_SECRET --subject u1 --claim plan=pro --claim level=3")]
    Issue(TokenIssue),
    /// Show what a token says, without verifying it
    #[command(after_help = "\
Examples:
  portcullis token decode eyJhbGciOi…
  pbpaste | portcullis token decode -

What it prints was not verified: anyone can write a token that says anything.")]
    Decode(TokenDecode),
    /// Verify a token as the gateway would
    #[command(after_help = "\
Examples:
  portcullis token verify --config portcullis.yaml eyJhbGciOi…
  portcullis token verify --secret-file jwt.secret - < token.txt
  portcullis token verify --public-key-file issuer.pem --algorithm ES256 eyJhbGciOi…

Exit code 0: valid. 1: not valid, and the reason as `portcullis verdicts` lists it.")]
    Verify(TokenVerify),
}

/// Where a secret comes from; never the command line, which other users of the machine can read.
#[derive(Debug, Clone, Args)]
pub(crate) struct SecretFrom {
    /// File that holds the secret; one newline at its end is not part of it
    #[arg(long, value_name = "FILE", group = "key")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Environment variable that holds the secret
    #[arg(long, value_name = "NAME", group = "key")]
    pub(crate) secret_env: Option<String>,
}

/// `portcullis token issue`.
#[derive(Debug, Args)]
pub(crate) struct TokenIssue {
    #[command(flatten)]
    pub(crate) secret: SecretFrom,
    /// Who the token is for (`sub`)
    #[arg(long, value_name = "ID")]
    pub(crate) subject: String,
    /// A role; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    pub(crate) roles: Vec<String>,
    /// The tenant
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    /// How long it is valid, as 90s, 15m, 1h, 7d
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = crate::when::span)]
    pub(crate) ttl: std::time::Duration,
    /// The issuer (`iss`)
    #[arg(long, value_name = "ISSUER")]
    pub(crate) issuer: Option<String>,
    /// The audience (`aud`)
    #[arg(long, value_name = "AUDIENCE")]
    pub(crate) audience: Option<String>,
    /// Any other claim; a value that is JSON is taken as JSON, anything else as text; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = key_value)]
    pub(crate) claims: Vec<(String, String)>,
    /// Key id for the header (`kid`)
    #[arg(long, value_name = "ID")]
    pub(crate) key_id: Option<String>,
    /// Signature algorithm: HS256, HS384 or HS512
    #[arg(long, value_name = "NAME", default_value = "HS256", value_parser = algorithm)]
    pub(crate) algorithm: Algorithm,
    /// Print the token and its claims as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `portcullis token decode`.
#[derive(Debug, Args)]
pub(crate) struct TokenDecode {
    /// The token; `-` or nothing reads it from standard input
    pub(crate) token: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `portcullis token verify`.
#[derive(Debug, Args)]
pub(crate) struct TokenVerify {
    /// The token; `-` or nothing reads it from standard input
    pub(crate) token: Option<String>,
    /// Verify as the gateway with this configuration would
    #[arg(long, short, value_name = "FILE", group = "key")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) secret: SecretFrom,
    /// PEM public key
    #[arg(long, value_name = "FILE", group = "key")]
    pub(crate) public_key_file: Option<PathBuf>,
    /// The one algorithm the key may verify [default: HS256 with a secret, RS256 with a public key]
    #[arg(long, value_name = "NAME", conflicts_with = "config", value_parser = algorithm)]
    pub(crate) algorithm: Option<Algorithm>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

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

/// Where the audit is.
#[derive(Debug, Clone, Args)]
pub(crate) struct StateFrom {
    /// The gateway's state folder
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub(crate) state: Option<PathBuf>,
    /// The gateway's configuration, which names the state folder
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
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
    pub(crate) from: StateFrom,
    /// Print JSON
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

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key=value".to_owned()),
    }
}

fn environment(text: &str) -> Result<Environment, String> {
    named(text).ok_or_else(|| "it is development, staging, production or high-security".to_owned())
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    named(text).ok_or_else(|| {
        "it is HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA".to_owned()
    })
}

/// A value by the name the configuration gives it.
fn named<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).ok()
}

fn reason(text: &str) -> Result<Reason, String> {
    Reason::from_label(text).ok_or_else(|| "`portcullis verdicts` lists the reasons".to_owned())
}

fn severity(text: &str) -> Result<Severity, String> {
    let found = Severity::ALL.iter().copied().find(|severity| severity.label() == text);
    found.ok_or_else(|| "it is low, medium, high or critical".to_owned())
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
