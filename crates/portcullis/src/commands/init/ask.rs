//! What `init` wants to know: from flags, else by asking on a terminal, else by default.
//!
//! Decides the questions and their defaults. Judges answers only as far as it takes to go on; the policy
//! judges the result.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::ValueEnum as _;
use portcullis_core::policy::checked::Environment;

use super::{Answers, Tls};
use crate::cli::{Init, InitAuth};
use crate::exit::Failure;

/// How often a question is asked again after an answer that is none.
const ATTEMPTS_MAX: usize = 5;
/// A backend on the developer's own machine.
const USUAL_UPSTREAM: &str = "ws://127.0.0.1:3000";

/// All answers.
pub(super) fn answers(told: &Init) -> Result<Answers, Failure> {
    let asking = !told.yes && std::io::stdin().is_terminal();
    let upstream = match &told.upstream {
        Some(upstream) => upstream.clone(),
        None => ask(asking, "Where is the backend?", USUAL_UPSTREAM, url)?,
    };
    let paths = match told.paths.as_slice() {
        [] => ask(
            asking,
            "Which paths do clients connect to? (separate with spaces; `/{*rest}` is every path)",
            "/{*rest}",
            paths,
        )?,
        given => given.to_vec(),
    };
    let environment = match told.environment {
        Some(environment) => environment,
        None => {
            ask(asking, "Environment? (development, staging, production, high-security)", "development", environment)?
        }
    };
    let auth = match (told.auth, &told.jwks_url) {
        (Some(auth), _) => auth,
        (None, Some(_)) => InitAuth::Jwks,
        (None, None) => ask(
            asking,
            "How do clients prove who they are? (secret: tokens you sign, jwks: an identity provider, none)",
            "secret",
            auth,
        )?,
    };
    let jwks_url = match (auth, &told.jwks_url) {
        (InitAuth::Jwks, Some(url)) => Some(url.clone()),
        (InitAuth::Jwks, None) if asking => {
            Some(ask(true, "Where does the identity provider publish its keys?", "", url)?)
        }
        (InitAuth::Jwks, None) => return Err(Failure::Usage("`--auth jwks` needs `--jwks-url URL`".to_owned())),
        _ => None,
    };
    let origins = match told.origins.as_slice() {
        [] => ask(
            asking,
            "Which web origins may connect? (as https://app.example.com; empty for none but the gateway's own)",
            "",
            words,
        )?,
        given => given.to_vec(),
    };
    let tls = tls(told, asking, environment)?;
    Ok(Answers { upstream, paths, auth, jwks_url, origins, environment, tls })
}

fn tls(told: &Init, asking: bool, environment: Environment) -> Result<Tls, Failure> {
    if let Some(proxy) = &told.proxy {
        return Ok(Tls::Proxy(proxy.clone()));
    }
    if let (Some(certificate), Some(key)) = (&told.tls_certificate, &told.tls_key) {
        return Ok(Tls::Here(certificate.clone(), key.clone()));
    }
    if matches!(environment, Environment::Development | Environment::Staging) {
        return Ok(Tls::None);
    }
    if !asking {
        let words = "this environment needs to know where TLS ends: give `--proxy NETWORK`, or `--tls-certificate FILE --tls-key FILE`";
        return Err(Failure::Usage(words.to_owned()));
    }
    let proxy = ask(
        true,
        "Which proxy in front ends TLS? (its network, as 10.0.0.0/8; empty if the gateway ends it)",
        "",
        text,
    )?;
    if !proxy.is_empty() {
        return Ok(Tls::Proxy(proxy));
    }
    let certificate = ask(true, "The certificate chain? (a PEM file)", "", given)?;
    let key = ask(true, "Its private key? (a PEM file)", "", given)?;
    Ok(Tls::Here(certificate.into(), key.into()))
}

/// One answer; the default where nobody is asked or nothing is typed.
fn ask<T>(asking: bool, question: &str, default: &str, read: fn(&str) -> Result<T, String>) -> Result<T, Failure> {
    if !asking {
        return read(default).map_err(Failure::Usage);
    }
    for _ in 0..ATTEMPTS_MAX {
        let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        say(&format!("{question}{shown} "));
        let mut typed = String::new();
        let read_bytes = std::io::stdin().lock().read_line(&mut typed);
        if !read_bytes.is_ok_and(|bytes| bytes > 0) {
            return Err(Failure::Usage("the answers ended before the questions".to_owned()));
        }
        let typed = typed.trim();
        match read(if typed.is_empty() { default } else { typed }) {
            Ok(answer) => return Ok(answer),
            Err(why) => say(&format!("  {why}\n")),
        }
    }
    Err(Failure::Usage(format!("no answer to: {question}")))
}

/// Questions go to standard error, so that standard output holds results alone.
fn say(words: &str) {
    let mut err = std::io::stderr().lock();
    // Who cannot read the question will not answer it, and that is told.
    let _ = err.write_all(words.as_bytes()).and_then(|()| err.flush());
}

fn url(typed: &str) -> Result<String, String> {
    let known = ["ws://", "wss://", "http://", "https://"].iter().any(|scheme| typed.starts_with(scheme));
    if known { Ok(typed.to_owned()) } else { Err("write a URL, as ws://127.0.0.1:3000".to_owned()) }
}

fn paths(typed: &str) -> Result<Vec<String>, String> {
    let paths = words(typed)?;
    match paths.iter().find(|path| !path.starts_with('/')) {
        Some(path) => Err(format!("`{path}` does not begin with a slash")),
        None => Ok(paths),
    }
}

fn words(typed: &str) -> Result<Vec<String>, String> {
    Ok(typed.split_whitespace().map(str::to_owned).collect())
}

fn text(typed: &str) -> Result<String, String> {
    Ok(typed.to_owned())
}

fn given(typed: &str) -> Result<String, String> {
    if typed.is_empty() { Err("this has no default".to_owned()) } else { Ok(typed.to_owned()) }
}

fn environment(typed: &str) -> Result<Environment, String> {
    serde_json::from_value(typed.into())
        .map_err(|_| "it is development, staging, production or high-security".to_owned())
}

fn auth(typed: &str) -> Result<InitAuth, String> {
    InitAuth::from_str(typed, true).map_err(|_| "it is secret, jwks or none".to_owned())
}
