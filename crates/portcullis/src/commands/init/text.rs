//! The file that `init` writes: what was answered, and comments that lead on.

use portcullis_core::policy::checked::Environment;

use super::{Answers, Tls};
use crate::cli::InitAuth;

/// The configuration as text.
pub(super) fn yaml(answers: &Answers, secret_name: &str) -> String {
    let mut out = format!(
        "# Portcullis. Every key is explained by `portcullis schema`; what is not said here comes from the preset
# of the environment. `portcullis check FILE` reviews this file; a running gateway picks up changes.

environment: {}

listen:
  address: 127.0.0.1:8350        # clients connect here; 0.0.0.0:8350 to be reached from outside
",
        environment(answers.environment)
    );
    out.push_str(&tls(&answers.tls));
    out.push_str(&identity(answers, secret_name));
    out.push_str(&origins(&answers.origins));
    out.push_str(
        "
messages:
  inbound:
    bytes_max: 1MiB
    limits:
      - { name: chatter, per: connection, rate: 50/s burst 100 }
    threats:
      mode: observe              # watch the audit for false alarms, then change this to `block`

routes:
",
    );
    for path in &answers.paths {
        out.push_str(&format!("  - path: {}\n    upstream: {}\n", quoted(path), quoted(&answers.upstream)));
        if answers.auth != InitAuth::None && path.contains("{user_id}") {
            out.push_str("    bind: { user_id: subject }    # nobody connects under another name\n");
        }
    }
    out
}

fn environment(environment: Environment) -> &'static str {
    match environment {
        Environment::Development => "development",
        Environment::Staging => "staging",
        Environment::Production => "production",
        Environment::HighSecurity => "high-security",
    }
}

fn tls(tls: &Tls) -> String {
    match tls {
        Tls::None => "  # tls: { certificate: fullchain.pem, key: privkey.pem }
  # tls_terminated_by_proxy: on  # production needs this or `tls`
"
        .to_owned(),
        Tls::Proxy(network) => format!(
            "  tls_terminated_by_proxy: on
  trusted_proxies: [{}]
  client_address: x_forwarded_for
",
            quoted(network)
        ),
        Tls::Here(certificate, key) => format!(
            "  tls: {{ certificate: {}, key: {} }}\n",
            quoted(&certificate.to_string_lossy()),
            quoted(&key.to_string_lossy())
        ),
    }
}

fn identity(answers: &Answers, secret_name: &str) -> String {
    match answers.auth {
        InitAuth::Secret => format!(
            "
identity:
  authenticate: required         # no valid token, no connection
  keys:
    - {{ algorithm: HS256, secret_file: {} }}
  credentials: [header, subprotocol, cookie]
",
            quoted(secret_name)
        ),
        InitAuth::Jwks => format!(
            "
identity:
  authenticate: required         # no valid token, no connection
  jwks:
    - {{ url: {}, algorithms: [RS256] }}
  # issuers: [https://id.example.com/]    # set both, so that tokens meant for others are refused
  # audiences: [my-application]
  credentials: [header, subprotocol, cookie]
",
            quoted(answers.jwks_url.as_deref().unwrap_or_default())
        ),
        InitAuth::None => "
identity:
  authenticate: off              # everyone is anonymous
"
        .to_owned(),
    }
}

fn origins(origins: &[String]) -> String {
    if origins.is_empty() {
        return "
origins:
  allow: []                      # as https://app.example.com; the gateway's own host is always allowed
"
        .to_owned();
    }
    let lines: String = origins.iter().map(|origin| format!("    - {}\n", quoted(origin))).collect();
    format!("\norigins:\n  allow:\n{lines}")
}

/// A text as YAML reads it whatever it holds: JSON's quotes are YAML's.
fn quoted(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._/:".contains(letter);
    if !text.is_empty() && text.chars().all(plain) && !text.ends_with(':') && !text.starts_with('-') {
        return text.to_owned();
    }
    serde_json::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_mean_something_in_yaml_is_quoted() {
        let cases = [
            ("ws://127.0.0.1:3000", "ws://127.0.0.1:3000"),
            ("/ws/{user_id}", "\"/ws/{user_id}\""),
            ("https://*.example.com", "\"https://*.example.com\""),
            ("a\"\nb: c", "\"a\\\"\\nb: c\""),
            ("", "\"\""),
            ("- x", "\"- x\""),
        ];
        for (given, written) in cases {
            assert_eq!(quoted(given), written);
        }
    }
}
