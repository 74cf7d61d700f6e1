//! Where a credential stands in a request (SPEC 3.1), and what is left of the request without it.
//!
//! Takes the first place of the route's list that holds one. Two different tokens in places that the route
//! reads are refused: what is verified must be what everyone else would read.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::identity::api_key::is_api_key;
use crate::identity::session::is_session;
use crate::identity::strict_json;
use crate::policy::checked::{ClaimPointers, CredentialPlace};

/// Subprotocols read from a request.
pub const PROTOCOLS_MAX: usize = 32;
/// The subprotocol that announces a token as the next one.
pub const BEARER_PROTOCOL: &str = "bearer";
/// The header that service accounts often send a key in.
pub(super) static API_KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// The credential of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// None.
    Nothing,
    /// One.
    Token(String),
    /// Several that differ, or one that is not written as it should be.
    Unclear,
}

/// Looks at the places in their order.
#[must_use]
pub fn find(places: &[CredentialPlace], names: &ClaimPointers, headers: &HeaderMap, query: Option<&str>) -> Found {
    let mut found: Option<String> = None;
    for place in places {
        let tokens = match place {
            CredentialPlace::Header => from_header(headers),
            CredentialPlace::Cookie => Some(from_cookies(headers, &names.cookie_name)),
            CredentialPlace::Query => Some(from_query(query, &names.query_name)),
            CredentialPlace::Subprotocol => from_protocols(headers),
            // Neither stands in the head.
            CredentialPlace::FirstMessage | CredentialPlace::Certificate => Some(Vec::new()),
        };
        let Some(tokens) = tokens else { return Found::Unclear };
        for token in tokens {
            match &found {
                Some(before) if *before != token => return Found::Unclear,
                Some(_) => {}
                None => found = Some(token),
            }
        }
    }
    found.map_or(Found::Nothing, Found::Token)
}

/// The value of the cookie that carries sessions; only what is formed like one, for the name may be another's too.
#[must_use]
pub(super) fn session_cookie(headers: &HeaderMap, name: &str) -> Found {
    let mut values = from_cookies(headers, name).into_iter().filter(|value| is_session(value));
    match (values.next(), values.next()) {
        (None, _) => Found::Nothing,
        (Some(value), None) => Found::Token(value),
        (Some(_), Some(_)) => Found::Unclear,
    }
}

/// `Authorization: Bearer` (RFC 6750 2.1), and API keys in `X-Api-Key`. `None` where the first is there and says
/// something else.
fn from_header(headers: &HeaderMap) -> Option<Vec<String>> {
    let bearer = headers.get_all(header::AUTHORIZATION).iter().map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    bearer.chain(api_keys(headers).map(|key| Some(key.to_owned()))).collect()
}

/// Values of `X-Api-Key` that are ours; another one is the application's own affair.
pub(super) fn api_keys(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(&API_KEY_HEADER).iter().filter_map(|value| value.to_str().ok());
    values.map(str::trim).filter(|value| is_api_key(value))
}

fn from_cookies(headers: &HeaderMap, name: &str) -> Vec<String> {
    cookies(headers)
        .filter(|(cookie, _)| *cookie == name.as_bytes())
        // A token is ASCII; what is not becomes one that never verifies.
        .map(|(_, value)| String::from_utf8_lossy(value).trim_matches('"').to_owned())
        .collect()
}

/// Names and values of all cookies (RFC 6265 4.2.1). Bytes, for an application's own may be in any encoding.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    let values = headers.get_all(header::COOKIE).iter().map(|value| value.as_bytes());
    values.flat_map(|value| value.split(|b| *b == b';')).filter_map(|pair| {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|b| *b == b'=')?;
        let (name, value) = pair.split_at(at);
        Some((name.trim_ascii_end(), value.get(1..).unwrap_or_default().trim_ascii_start()))
    })
}

fn from_query(query: Option<&str>, name: &str) -> Vec<String> {
    let pairs = query.unwrap_or_default().split('&');
    let values = pairs.filter_map(|pair| pair.split_once('=')).filter(|(key, _)| names(key, name));
    values.map(|(_, value)| percent_decode_str(value).decode_utf8_lossy().into_owned()).collect()
}

fn names(key: &str, name: &str) -> bool {
    percent_decode_str(key).decode_utf8_lossy() == name
}

/// `bearer, <token>`: the token is the one after the announcement. `None` where two are announced.
fn from_protocols(headers: &HeaderMap) -> Option<Vec<String>> {
    let all = protocols(headers);
    let mut announced = (0..).zip(&all).filter(|(_, protocol)| protocol.eq_ignore_ascii_case(BEARER_PROTOCOL));
    let Some((at, _)) = announced.next() else { return Some(Vec::new()) };
    if announced.next().is_some() {
        return None;
    }
    Some(all.get(at + 1).map(|token| (*token).to_owned()).into_iter().collect())
}

fn protocols(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|p| !p.is_empty()).take(PROTOCOLS_MAX).collect()
}

/// The subprotocols offered, without a credential among them.
#[must_use]
pub fn offered_protocols(headers: &HeaderMap) -> Vec<String> {
    let all = protocols(headers);
    let announced = all.iter().position(|protocol| protocol.eq_ignore_ascii_case(BEARER_PROTOCOL));
    let kept =
        all.iter().enumerate().filter(|(at, _)| announced.is_none_or(|bearer| *at != bearer && *at != bearer + 1));
    kept.map(|(_, protocol)| (*protocol).to_owned()).collect()
}

/// `bearer` as the client spelt it, where it announces a token. Where no other subprotocol is chosen the answer
/// names it: a browser fails a handshake that chooses none of its list.
#[must_use]
pub fn announced_bearer(headers: &HeaderMap) -> Option<&str> {
    protocols(headers).into_iter().find(|protocol| protocol.eq_ignore_ascii_case(BEARER_PROTOCOL))
}

/// The query without the credential's parameter.
#[must_use]
pub fn strip_query(query: &str, name: &str) -> Option<String> {
    let kept: Vec<&str> =
        query.split('&').filter(|pair| !names(pair.split('=').next().unwrap_or_default(), name)).collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

/// The Cookie headers without these cookies, as one.
#[must_use]
pub fn strip_cookies(headers: &HeaderMap, names: &[&str]) -> Option<HeaderValue> {
    let mut kept = Vec::new();
    for (cookie, value) in cookies(headers).filter(|(cookie, _)| !names.iter().any(|name| name.as_bytes() == *cookie)) {
        let separator: &[u8] = if kept.is_empty() { b"" } else { b"; " };
        kept.extend([separator, cookie, b"=", value].concat());
    }
    HeaderValue::from_bytes(&kept).ok().filter(|_| !kept.is_empty())
}

/// The token of a first message: a JSON object with `type` `auth` and a string `token`, no name twice; other
/// members are not read.
#[must_use]
pub fn from_first_message(message: &[u8]) -> Option<String> {
    let message = strict_json::object(message)?;
    let is_auth = message.get("type").and_then(Value::as_str) == Some("auth");
    message.get("token").and_then(Value::as_str).filter(|_| is_auth).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [CredentialPlace; 5] = [
        CredentialPlace::Header,
        CredentialPlace::Cookie,
        CredentialPlace::Query,
        CredentialPlace::Subprotocol,
        CredentialPlace::FirstMessage,
    ];

    fn names() -> ClaimPointers {
        let text = String::new;
        ClaimPointers {
            subject: text(),
            roles: text(),
            permissions: text(),
            tenant: text(),
            tenants: text(),
            session: text(),
            second_factor: crate::identity::SecondFactor::default(),
            cookie_name: "access_token".into(),
            query_name: "token".into(),
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_token_is_found_in_each_place() {
        let token = || Found::Token("t.o.k".into());
        let all = |pairs: &[(&'static str, &str)], query| find(&ALL, &names(), &headers(pairs), query);
        assert_eq!(all(&[("authorization", "Bearer t.o.k")], None), token());
        assert_eq!(all(&[("authorization", "bearer  t.o.k")], None), token());
        assert_eq!(all(&[("cookie", "a=b; access_token=t.o.k; c=d")], None), token());
        assert_eq!(all(&[], Some("a=b&token=t.o.k")), token());
        assert_eq!(all(&[], Some("%74oken=t%2Eo.k")), token());
        assert_eq!(all(&[("sec-websocket-protocol", "chat, bearer, t.o.k")], None), token());
        assert_eq!(all(&[("sec-websocket-protocol", "chat")], Some("tokens=x")), Found::Nothing);
    }

    #[test]
    fn two_different_tokens_are_refused_and_the_same_twice_is_one() {
        let find = |pairs: &[(&'static str, &str)], query| find(&ALL, &names(), &headers(pairs), query);
        assert_eq!(find(&[("authorization", "Bearer a")], Some("token=b")), Found::Unclear);
        assert_eq!(find(&[], Some("token=a&token=b")), Found::Unclear);
        assert_eq!(find(&[("authorization", "Bearer a"), ("authorization", "Bearer b")], None), Found::Unclear);
        assert_eq!(find(&[("authorization", "Basic eDp5")], None), Found::Unclear);
        assert_eq!(find(&[("sec-websocket-protocol", "bearer, a, bearer, b")], None), Found::Unclear);
        assert_eq!(find(&[("cookie", "access_token=a; access_token=b")], None), Found::Unclear);
        assert_eq!(find(&[("authorization", "Bearer a")], Some("token=a")), Found::Token("a".into()));
    }

    #[test]
    fn a_key_of_ours_in_its_header_is_a_credential_and_any_other_is_the_applications() {
        let find = |pairs: &[(&'static str, &str)]| find(&ALL, &names(), &headers(pairs), None);
        assert_eq!(find(&[("x-api-key", "pcl_k")]), Found::Token("pcl_k".into()));
        assert_eq!(find(&[("x-api-key", "theirs")]), Found::Nothing);
        assert_eq!(find(&[("x-api-key", "theirs"), ("authorization", "Bearer t.o.k")]), Found::Token("t.o.k".into()));
        assert_eq!(find(&[("x-api-key", "pcl_k"), ("authorization", "Bearer t.o.k")]), Found::Unclear);
        assert_eq!(find(&[("x-api-key", "pcl_k"), ("x-api-key", "pcl_l")]), Found::Unclear);
    }

    #[test]
    fn a_place_the_route_does_not_name_is_not_read() {
        let only = [CredentialPlace::Header];
        assert_eq!(find(&only, &names(), &headers(&[]), Some("token=a")), Found::Nothing);
    }

    #[test]
    fn nothing_of_the_token_is_left_behind() {
        assert_eq!(strip_query("token=a&room=1&%74oken=b", "token"), Some("room=1".into()));
        assert_eq!(strip_query("token=a", "token"), None);
        assert_eq!(strip_query("token", "token"), None);
        let with = headers(&[("cookie", "access_token=a; s=1"), ("cookie", "access_token=b")]);
        assert_eq!(strip_cookies(&with, &["access_token"]).unwrap(), "s=1");
        assert_eq!(strip_cookies(&headers(&[("cookie", "access_token=a")]), &["access_token"]), None);
        let mut foreign = HeaderMap::new();
        foreign.insert("cookie", HeaderValue::from_bytes(b"n=\xe9; access_token=t.o.k").unwrap());
        assert_eq!(from_cookies(&foreign, "access_token"), ["t.o.k"]);
        assert_eq!(strip_cookies(&foreign, &["access_token"]).unwrap().as_bytes(), b"n=\xe9");
        assert_eq!(offered_protocols(&headers(&[("sec-websocket-protocol", "bearer, a.b.c, chat")])), ["chat"]);
        assert_eq!(announced_bearer(&headers(&[("sec-websocket-protocol", "chat, Bearer, a.b.c")])), Some("Bearer"));
        assert_eq!(announced_bearer(&headers(&[("sec-websocket-protocol", "chat")])), None);
    }

    #[test]
    fn a_first_message_is_an_auth_message() {
        assert_eq!(from_first_message(br#"{"type":"auth","token":"a"}"#), Some("a".into()));
        for bad in [
            "",
            "{}",
            r#"{"type":"chat","token":"a"}"#,
            r#"{"token":"a"}"#,
            r#"{"type":"auth","token":1}"#,
            r#"{"type":"auth","token":"a","token":"b"}"#,
            r#"["auth","a"]"#,
            "\u{0}",
        ] {
            assert_eq!(from_first_message(bad.as_bytes()), None, "{bad}");
        }
    }
}
