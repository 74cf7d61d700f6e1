//! Arguments of `serve` and `demo`: the log, and what overrides a configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use portcullis_core::policy::Overrides;
use portcullis_core::policy::checked::Environment;

use super::environment;

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
