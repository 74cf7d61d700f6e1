//! Arguments of `init`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use portcullis_core::policy::checked::Environment;

use super::environment;

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
