//! `portcullis token issue|decode|verify`.
//!
//! Decides where key material comes from and how answers are told. Cryptography and claims are the core's.
//! Never prints a secret, never takes one from the command line.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use portcullis_core::identity::issue::{self, Decoded};
use portcullis_core::identity::{KeyRing, KeySet, Principal, Verifier};
use portcullis_core::policy::checked::{Algorithm, Identity, JwksLocation, Secret, StaticKey};
use portcullis_core::policy::{self, Outside, Overrides};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;
use serde_json::{Map, Value, json};

use crate::cli::{SecretFrom, Token, TokenDecode, TokenIssue, TokenVerify};
use crate::configuration::{Origin, read_bounded};
use crate::exit::{Failure, Outcome};
use crate::{output, when};

/// Longest token read from standard input.
const TOKEN_BYTES_MAX: u64 = 64 << 10;
/// A shorter secret can be guessed (RFC 7518 3.2).
const SECRET_BYTES_ADVISED: usize = 32;

/// Issues, decodes or verifies.
pub(crate) fn run(told: &Token) -> Outcome {
    match told {
        Token::Issue(told) => issue(told),
        Token::Decode(told) => decode(told),
        Token::Verify(told) => verify(told),
    }
}

fn issue(told: &TokenIssue) -> Outcome {
    let secret = secret(&told.secret)?
        .ok_or_else(|| Failure::Usage("give the secret with `--secret-file FILE` or `--secret-env NAME`".to_owned()))?;
    if secret.expose().len() < SECRET_BYTES_ADVISED {
        remark(
            "the secret has fewer than 32 bytes and can be guessed from one token (RFC 7518 3.2); use 32 random bytes",
        );
    }
    let claims = claims(told)?;
    let token = issue::issue(&claims, told.algorithm, &secret, told.key_id.as_deref())
        .map_err(|error| Failure::Usage(error.to_string()))?;
    if told.json { output::json(&json!({ "token": token, "claims": claims })) } else { output::line(&token) }
}

fn claims(told: &TokenIssue) -> Result<Map<String, Value>, Failure> {
    let issued = when::present_unix_ms() / 1000;
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value).is_none();
    put("sub", told.subject.clone().into());
    put("iat", issued.into());
    put("exp", issued.saturating_add(told.ttl.as_secs()).into());
    put("jti", random_id()?.into());
    if !told.roles.is_empty() {
        put("roles", told.roles.clone().into());
    }
    for (name, value) in [("tenant", &told.tenant), ("iss", &told.issuer), ("aud", &told.audience)] {
        if let Some(value) = value {
            put(name, value.clone().into());
        }
    }
    for (name, text) in &told.claims {
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
        if !put(name, value) {
            return Err(Failure::Usage(format!("the claim `{}` is given twice", output::printable(name))));
        }
    }
    Ok(claims)
}

/// 128 random bits as hexadecimal digits.
fn random_id() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::Outside(format!("the system gives no randomness: {error}")))?;
    Ok(HEXLOWER.encode(&bytes))
}

fn decode(told: &TokenDecode) -> Outcome {
    let token = token(told.token.as_deref())?;
    let Decoded { header, claims } = issue::decode(&token).map_err(|error| Failure::Negative(error.to_string()))?;
    if told.json {
        return output::json(&json!({ "verified": false, "header": header, "claims": claims }));
    }
    output::line("header (not verified)")?;
    output::json(&header)?;
    output::line("claims (not verified)")?;
    output::json(&claims)?;
    for (name, meaning) in [("iat", "issued"), ("nbf", "valid from"), ("exp", "expires")] {
        if let Some(seconds) = claims.get(name).and_then(Value::as_u64) {
            output::line(&format!("{meaning:<11} {}", when::shown(seconds.saturating_mul(1000))))?;
        }
    }
    Ok(())
}

fn verify(told: &TokenVerify) -> Outcome {
    let identity = identity(told)?;
    let token = token(told.token.as_deref())?;
    let ring =
        KeyRing::new(&identity).map_err(|(_, error)| Failure::Usage(format!("the key cannot be used: {error}")))?;
    let unread = read_key_sets(&identity, &ring)?;
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    match Verifier::new(&identity).verify(&token, &ring, Now { mono: Duration::ZERO, wall }) {
        Ok(principal) => valid(&principal, told.json),
        Err(failure) => invalid(failure.reason, &unread, told.json),
    }
}

fn valid(principal: &Principal, json: bool) -> Outcome {
    if json {
        return output::json(&json!({ "valid": true, "principal": principal }));
    }
    output::line("valid")?;
    let list = |names: &[Box<str>]| names.join(", ");
    let text = |value: &Option<Box<str>>| value.as_deref().unwrap_or_default().to_owned();
    let expires = principal.expires_at_unix_s.map(|seconds| when::shown(seconds.saturating_mul(1000)));
    let lines = [
        ("subject", text(&principal.subject)),
        ("roles", list(&principal.roles)),
        ("permissions", list(&principal.permissions)),
        ("mfa", if principal.mfa { "yes".to_owned() } else { String::new() }),
        ("tenant", text(&principal.tenant)),
        ("tenants", list(&principal.tenants)),
        ("session", text(&principal.session)),
        ("token id", text(&principal.token_id)),
        ("expires", expires.unwrap_or_default()),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        output::line(&format!("{name:<12} {}", output::printable(value)))?;
    }
    Ok(())
}

fn invalid(reason: Reason, unread: &[String], json: bool) -> Outcome {
    let row = reason.row();
    if json {
        output::json(&json!({
            "valid": false, "reason": row.label, "meaning": row.internal, "advice": row.advice, "key_sets_not_read": unread,
        }))?;
    }
    let mut words = format!("not valid, {}: {}; {}", row.label, row.internal, row.advice);
    if !unread.is_empty()
        && matches!(reason, Reason::TokenKeyUnknown | Reason::KeysUnavailable | Reason::TokenAlgorithm)
    {
        words.push_str(&format!(
            "; key sets are not fetched here ({}), save one and name it with `identity.jwks[].file`, or give `--public-key-file`",
            unread.join(", ")
        ));
    }
    Err(Failure::Negative(words))
}

/// The identity rules in force: a configuration's, or one key under the usual rules.
fn identity(told: &TokenVerify) -> Result<Identity, Failure> {
    if let Some(file) = &told.config {
        let origin = Origin { file: Some(file.clone()), overrides: Overrides::default() };
        return Ok(origin.load()?.checked.identity);
    }
    let (material, usual) = if let Some(file) = &told.public_key_file {
        (Secret::new(file_content(file)?), Algorithm::RS256)
    } else {
        let secret = secret(&told.secret)?.ok_or_else(|| {
            let words = "give `--config FILE`, `--secret-file FILE`, `--secret-env NAME` or `--public-key-file FILE`";
            Failure::Usage(words.to_owned())
        })?;
        (secret, Algorithm::HS256)
    };
    let overrides = Overrides {
        preset: Some(policy::checked::Environment::Development),
        upstream: Some("ws://127.0.0.1:1".to_owned()),
        ..Overrides::default()
    };
    let usual_rules =
        policy::load(None, &overrides, &Nowhere).map_err(|errors| Failure::Configuration(errors.to_string()))?;
    let key = StaticKey { id: None, algorithm: told.algorithm.unwrap_or(usual), material };
    Ok(Identity { keys: vec![key], ..usual_rules.checked.identity })
}

/// No variables and no files: the presets alone.
struct Nowhere;

impl Outside for Nowhere {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn vars(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn read(&self, _: &Path) -> Result<Vec<u8>, String> {
        Err("no file is read here".to_owned())
    }
}

/// Reads the key sets that are files into the ring; returns the URLs of the others.
fn read_key_sets(identity: &Identity, ring: &KeyRing) -> Result<Vec<String>, Failure> {
    let mut unread = Vec::new();
    for (place, source) in identity.jwks.iter().enumerate() {
        match &source.location {
            JwksLocation::Url(url) | JwksLocation::Issuer(url) => unread.push(url.clone()),
            JwksLocation::File(file) => {
                let set = KeySet::parse(&file_content(file)?, source)
                    .map_err(|error| Failure::Outside(format!("the key set `{}`: {error}", file.display())))?;
                ring.replace(place, Arc::new(set));
            }
        }
    }
    Ok(unread)
}

fn secret(from: &SecretFrom) -> Result<Option<Secret>, Failure> {
    if let Some(file) = &from.secret_file {
        let mut content = file_content(file)?;
        if content.last() == Some(&b'\n') {
            content.pop();
            if content.last() == Some(&b'\r') {
                content.pop();
            }
        }
        return Ok(Some(Secret::new(content)));
    }
    let Some(name) = &from.secret_env else { return Ok(None) };
    let value = std::env::var(name)
        .map_err(|_| Failure::Outside(format!("the environment variable `{}` is not set", output::printable(name))))?;
    Ok(Some(Secret::new(value.into_bytes())))
}

fn file_content(file: &Path) -> Result<Vec<u8>, Failure> {
    read_bounded(file).map_err(|error| Failure::Outside(format!("cannot read `{}`: {error}", file.display())))
}

/// The token from the command line, or from standard input.
fn token(told: Option<&str>) -> Result<String, Failure> {
    match told {
        Some(token) if token != "-" => Ok(token.trim().to_owned()),
        _ => {
            let mut text = String::new();
            let read = std::io::stdin().take(TOKEN_BYTES_MAX).read_to_string(&mut text);
            read.map_err(|error| Failure::Outside(format!("cannot read a token from standard input: {error}")))?;
            Ok(text.trim().to_owned())
        }
    }
}

fn remark(words: &str) {
    use std::io::Write as _;
    // A warning that cannot be written has no reader.
    let _ = writeln!(std::io::stderr(), "warning: {words}");
}
