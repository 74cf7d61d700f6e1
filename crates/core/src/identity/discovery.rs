//! Configuration documents of OpenID providers (OpenID Connect Discovery 1.0, 4): where the keys of an issuer are.
//!
//! Decides whether a document may be believed. Never fetches one. The issuer in it must be the one that was asked for,
//! byte by byte, else one provider could speak for another (RFC 8414 3.3). What it says of algorithms is not looked
//! at: those are the policy's.

use serde_json::Value;

use super::strict_json;

/// Longest URL taken from a document, bytes.
pub const URL_BYTES_MAX: usize = 2048;

/// Why a document is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// Not a JSON object.
    #[error("not a configuration document: expected a JSON object with no duplicate names")]
    Malformed,
    /// No text where one must be.
    #[error("it has no text `{0}`")]
    Missing(&'static str),
    /// Another provider's.
    #[error("it is of the issuer `{found}`, and `{wanted}` is configured; they must be equal to the letter")]
    Issuer {
        /// As configured.
        wanted: String,
        /// As the document says, clipped.
        found: String,
    },
    /// Keys over plain HTTP.
    #[error("its `jwks_uri` is no `https://` URL")]
    Insecure,
}

/// Where the configuration document of an issuer is (4.1): a slash at the issuer's end is left out.
#[must_use]
pub fn document_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer))
}

/// The URL of the issuer's keys. Plain HTTP only where the issuer itself is asked that way, which is on loopback alone.
///
/// # Errors
/// Why the document is not believed.
pub fn keys_url(document: &[u8], issuer: &str) -> Result<String, DiscoveryError> {
    let document = strict_json::object(document).ok_or(DiscoveryError::Malformed)?;
    let text = |name| document.get(name).and_then(Value::as_str).ok_or(DiscoveryError::Missing(name));
    let found = text("issuer")?;
    if found != issuer {
        let found = found.chars().filter(|c| !c.is_control()).take(200).collect();
        return Err(DiscoveryError::Issuer { wanted: issuer.to_owned(), found });
    }
    let url = text("jwks_uri")?;
    let scheme = url.split_once("://").map(|(scheme, _)| scheme).unwrap_or_default();
    let allowed = scheme == "https" || (scheme == "http" && issuer.starts_with("http://"));
    if !allowed || url.len() > URL_BYTES_MAX {
        return Err(DiscoveryError::Insecure);
    }
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://idp.example/tenant";

    #[test]
    fn a_slash_at_the_issuers_end_is_left_out_of_the_documents_url() {
        for issuer in ["https://idp.example/t", "https://idp.example/t/"] {
            assert_eq!(document_url(issuer), "https://idp.example/t/.well-known/openid-configuration");
        }
    }

    #[test]
    fn a_document_is_believed_for_its_own_issuer_only() {
        let of = |issuer: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"https://keys.example/k"}}"#);
        assert_eq!(keys_url(of(ISSUER).as_bytes(), ISSUER), Ok("https://keys.example/k".into()));
        for other in ["https://idp.example/tenant/", "https://IDP.example/tenant", "https://idp.example", ""] {
            let found = keys_url(of(other).as_bytes(), ISSUER);
            assert!(matches!(found, Err(DiscoveryError::Issuer { .. })), "{other}: {found:?}");
        }
    }

    #[test]
    fn keys_are_fetched_over_tls_except_on_loopback() {
        let of = |issuer: &str, url: &str| {
            keys_url(format!(r#"{{"issuer":"{issuer}","jwks_uri":"{url}"}}"#).as_bytes(), issuer)
        };
        for url in ["http://keys.example/k", "http://127.0.0.1/k", "file:///etc/passwd", "keys.example", ""] {
            assert_eq!(of(ISSUER, url), Err(DiscoveryError::Insecure), "{url}");
        }
        assert!(of("http://127.0.0.1:9000", "http://127.0.0.1:9000/k").is_ok());
        let long = format!("https://keys.example/{}", "k".repeat(URL_BYTES_MAX));
        assert_eq!(of(ISSUER, &long), Err(DiscoveryError::Insecure));
    }

    #[test]
    fn nonsense_is_named() {
        for bad in ["", "[]", "<html>", r#"{"issuer":"a","issuer":"a"}"#] {
            assert_eq!(keys_url(bad.as_bytes(), ISSUER), Err(DiscoveryError::Malformed), "{bad}");
        }
        assert_eq!(keys_url(b"{}", ISSUER), Err(DiscoveryError::Missing("issuer")));
        let keyless = format!(r#"{{"issuer":"{ISSUER}","jwks_uri":7}}"#);
        assert_eq!(keys_url(keyless.as_bytes(), ISSUER), Err(DiscoveryError::Missing("jwks_uri")));
    }
}
