//! Arguments of `token issue`, `decode` and `verify`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use portcullis_core::policy::checked::Algorithm;

use super::named;

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

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key=value".to_owned()),
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    named(text).ok_or_else(|| {
        "it is HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA".to_owned()
    })
}
