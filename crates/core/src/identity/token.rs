//! A compact JWS taken apart (RFC 7515 7.1): decides whether the shape is right, before any cryptography.
//!
//! Exactly three non-empty parts of unpadded base64url, a header without duplicate names, an algorithm we
//! know (so never `none`), no `crit`. Keys and URLs in the header (`jwk`, `jku`, `x5c`, `x5u`) are never
//! looked at; `kid` only finds a key among ours.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::strict_json;
use crate::policy::checked::Algorithm;
use crate::verdict::Reason;

/// Longest `kid`, bytes: it is compared, never stored.
pub const KEY_ID_BYTES_MAX: usize = 256;

/// Types of token accepted where the header names one (RFC 7519 5.1, RFC 9068 2.1); another type was made
/// for another purpose (RFC 8725 3.11).
pub(super) const TYPES: [&str; 4] = ["jwt", "at+jwt", "application/jwt", "application/at+jwt"];

/// A token whose shape is right and whose signature is not verified.
#[derive(Debug)]
pub struct Unverified<'a> {
    /// The algorithm it claims to be signed with.
    pub algorithm: Algorithm,
    /// The key it claims to be signed with.
    pub key_id: Option<String>,
    /// What was signed: header, dot and payload as they came.
    pub signed: &'a [u8],
    /// The payload, decoded.
    pub payload: Vec<u8>,
    /// The signature, decoded.
    pub signature: Vec<u8>,
}

/// Takes a token of at most `bytes_max` bytes apart.
///
/// # Errors
/// [`Reason::TokenAlgorithm`] for an algorithm that is unknown or `none`, else [`Reason::CredentialInvalid`].
pub fn parse(token: &str, bytes_max: usize) -> Result<Unverified<'_>, Reason> {
    parse_as(token, &TYPES, bytes_max)
}

/// The same for a token of these types, where its header names one.
pub(super) fn parse_as<'a>(token: &'a str, types: &[&str], bytes_max: usize) -> Result<Unverified<'a>, Reason> {
    if token.len() > bytes_max {
        return Err(Reason::CredentialInvalid);
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Reason::CredentialInvalid);
    };
    let signed = token.get(..header.len() + 1 + payload.len()).ok_or(Reason::CredentialInvalid)?.as_bytes();
    let (algorithm, key_id) = parse_header(&part(header)?, types)?;
    let payload = part(payload)?;
    let signature = part(signature)?;
    Ok(Unverified { algorithm, key_id, signed, payload, signature })
}

fn part(text: &str) -> Result<Vec<u8>, Reason> {
    if text.is_empty() {
        return Err(Reason::CredentialInvalid);
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Reason::CredentialInvalid)
}

fn parse_header(bytes: &[u8], types: &[&str]) -> Result<(Algorithm, Option<String>), Reason> {
    let mut header = strict_json::object(bytes).ok_or(Reason::CredentialInvalid)?;
    if header.contains_key("crit") {
        return Err(Reason::CredentialInvalid);
    }
    if let Some(kind) = header.get("typ") {
        let kind = kind.as_str().ok_or(Reason::CredentialInvalid)?;
        if !types.iter().any(|known| kind.eq_ignore_ascii_case(known)) {
            return Err(Reason::CredentialInvalid);
        }
    }
    let name = header.get("alg").and_then(|alg| alg.as_str()).ok_or(Reason::CredentialInvalid)?;
    let algorithm = algorithm(name).ok_or(Reason::TokenAlgorithm)?;
    let key_id = match header.remove("kid") {
        None => None,
        Some(serde_json::Value::String(id)) if !id.is_empty() && id.len() <= KEY_ID_BYTES_MAX => Some(id),
        Some(_) => return Err(Reason::CredentialInvalid),
    };
    Ok((algorithm, key_id))
}

/// The algorithm of that name, exactly as RFC 7518 and RFC 8037 spell it.
#[must_use]
pub fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "HS256" => Algorithm::HS256,
        "HS384" => Algorithm::HS384,
        "HS512" => Algorithm::HS512,
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" => Algorithm::EdDSA,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_header(header: &str) -> String {
        format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(header))
    }

    #[test]
    fn headers_are_read_strictly() {
        let long = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(KEY_ID_BYTES_MAX));
        let too_long = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(KEY_ID_BYTES_MAX + 1));
        let cases: [(&str, Option<Reason>); 17] = [
            (r#"{"alg":"HS256"}"#, None),
            (r#"{"alg":"EdDSA","typ":"JWT","kid":"a"}"#, None),
            (r#"{"alg":"RS256","typ":"at+JWT"}"#, None),
            (r#"{"alg":"RS256","typ":"application/at+jwt"}"#, None),
            (&long, None),
            (&too_long, Some(Reason::CredentialInvalid)),
            (r#"{"alg":"none"}"#, Some(Reason::TokenAlgorithm)),
            (r#"{"alg":"NoNe"}"#, Some(Reason::TokenAlgorithm)),
            (r#"{"alg":"hs256"}"#, Some(Reason::TokenAlgorithm)),
            (r#"{"alg":""}"#, Some(Reason::TokenAlgorithm)),
            (r#"{"alg":null}"#, Some(Reason::CredentialInvalid)),
            (r#"{}"#, Some(Reason::CredentialInvalid)),
            (r#"{"alg":"HS256","alg":"HS256"}"#, Some(Reason::CredentialInvalid)),
            (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, Some(Reason::CredentialInvalid)),
            (r#"{"alg":"HS256","typ":"logout+jwt"}"#, Some(Reason::CredentialInvalid)),
            (r#"{"alg":"HS256","kid":7}"#, Some(Reason::CredentialInvalid)),
            (r#"{"alg":"HS256","kid":""}"#, Some(Reason::CredentialInvalid)),
        ];
        for (header, want) in cases {
            assert_eq!(parse(&with_header(header), 4096).err(), want, "{header}");
        }
    }

    #[test]
    fn three_parts_of_unpadded_base64url_are_a_token() {
        let good = with_header(r#"{"alg":"HS256"}"#);
        assert!(parse(&good, good.len()).is_ok());
        assert!(parse(&good, good.len() - 1).is_err(), "longer than the bound");
        let header = good.split('.').next().unwrap();
        for bad in [
            "",
            ".",
            "..",
            "...",
            "a.b.c",
            &format!("{good}."),
            &format!("{good}.x"),
            &format!(".{good}"),
            &format!("{header}.e30."),
            &format!("{header}..c2ln"),
            &format!("{header}.e30"),
            &format!("{header}.e30.c2ln="),
            &format!("{header}.e30.c2l\n"),
            &format!(" {good}"),
            &format!("{header}.e31.c2ln"),
            &format!("{header}.e30.++//"),
        ] {
            assert!(parse(bad, 4096).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived_and_only_canonical_encodings_pass(text in "[a-zA-Z0-9_.=-]{0,120}|.{0,60}") {
            if let Ok(token) = parse(&text, 4096) {
                let mut again = String::from_utf8(token.signed.to_vec()).unwrap();
                again.push('.');
                again.push_str(&URL_SAFE_NO_PAD.encode(&token.signature));
                prop_assert_eq!(again, text);
            }
        }
    }
}
