//! What the upstream is sent of the client's head (SPEC 1.4): rebuilt, never concatenated.
//!
//! Out go hop-by-hop headers, credentials, and everything that only the gateway may say; in come the client's
//! address and who it is. A value that cannot stand in a header is percent-encoded, so a claim injects nothing.

use std::borrow::Cow;
use std::net::IpAddr;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{Arrival, credential};
use crate::identity::Principal;
use crate::policy::checked::{CredentialPlace, ForwardedHeaders, Identity};
use crate::time::Now;

/// Prefix of the headers that only the gateway may send.
const OURS: &str = "x-portcullis-";
/// The session cookie of the admin listener.
pub const ADMIN_COOKIE: &str = "portcullis_admin";
/// A space too: at an end of a value it would be lost, and two subjects would look alike.
const UNSAFE: &AsciiSet = &CONTROLS.add(b'%').add(b',').add(b' ');

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static CONNECTION_ID: HeaderName = HeaderName::from_static("x-portcullis-connection-id");
static SUBJECT: HeaderName = HeaderName::from_static("x-portcullis-subject");
static TENANT: HeaderName = HeaderName::from_static("x-portcullis-tenant");
static ROLES: HeaderName = HeaderName::from_static("x-portcullis-roles");
static SIGNATURE: HeaderName = HeaderName::from_static("x-portcullis-signature");

/// Headers by which some backends let a client choose another path or address than the ones judged here.
const OVERRIDES: [&str; 9] = [
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-original-host",
];

static DROPPED: [HeaderName; 18] = [
    header::HOST,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    header::EXPECT,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_ACCEPT,
    header::FORWARDED,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// What decides what an upstream is told.
pub(super) struct Told<'a> {
    pub(super) identity: &'a Identity,
    /// Where credentials stand.
    pub(super) places: &'a [CredentialPlace],
    /// How the client's address is told.
    pub(super) by: ForwardedHeaders,
}

/// The upstream's headers, without those of the handshake itself.
#[must_use]
pub(super) fn headers(
    client: &HeaderMap,
    arrival: &Arrival,
    principal: &Principal,
    told: &Told<'_>,
    now: Now,
) -> HeaderMap {
    let Told { identity, places, by } = *told;
    let mut out = HeaderMap::with_capacity(client.len() + 8);
    let named = connection_names(client);
    for (name, value) in client {
        if !DROPPED.contains(name) && !named.iter().any(|named| named == name.as_str()) && !is_ours(name.as_str()) {
            out.append(name.clone(), value.clone());
        }
    }
    drop_cookies(&mut out, client, identity, places);
    if !identity.forward_token && places.contains(&CredentialPlace::Header) {
        out.remove(header::AUTHORIZATION);
        if credential::api_keys(client).next().is_some() {
            out.remove(&credential::API_KEY_HEADER);
        }
    }
    if matches!(by, ForwardedHeaders::XForwarded | ForwardedHeaders::Both) {
        x_forwarded(&mut out, client, arrival);
    }
    if matches!(by, ForwardedHeaders::Forwarded | ForwardedHeaders::Both) {
        forwarded(&mut out, client, arrival);
    }
    describe(&mut out, arrival, principal);
    sign(&mut out, identity, now);
    out
}

/// Path and query for the upstream.
#[must_use]
pub(super) fn path(uri: &http::Uri, identity: &Identity, places: &[CredentialPlace]) -> String {
    let strip = places.contains(&CredentialPlace::Query) && !identity.forward_token;
    let query = match uri.query() {
        Some(query) if strip => credential::strip_query(query, &identity.claims.query_name),
        query => query.map(str::to_owned),
    };
    match query {
        Some(query) => format!("{}?{query}", uri.path()),
        None => uri.path().to_owned(),
    }
}

/// Headers that `Connection` names belong to the hop (RFC 9110 7.6.1); without those that are dropped anyhow.
fn connection_names(headers: &HeaderMap) -> Vec<Cow<'_, str>> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(str::trim);
    let more = names.filter(|name| !["upgrade", "keep-alive"].iter().any(|it| name.eq_ignore_ascii_case(it)));
    more.map(lower_case).collect()
}

/// As names stand in a map of headers.
fn lower_case(name: &str) -> Cow<'_, str> {
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => name.to_ascii_lowercase().into(),
        false => name.into(),
    }
}

/// `X-Portcullis-…`, `X-Forwarded-…` and their look-alikes: many servers read `_` and other signs as `-`.
fn is_ours(name: &str) -> bool {
    // What all of them begin with, for nearly no other header does.
    if !matches!(name.as_bytes(), [b'x' | b't' | b'c' | b'f', ..]) {
        return false;
    }
    let dashed = |byte: u8| if byte.is_ascii_alphanumeric() { byte } else { b'-' };
    let alike = |name: &str, ours: &str| name.bytes().map(dashed).eq(ours.bytes());
    let begins = |ours: &str| name.get(..ours.len()).is_some_and(|start| alike(start, ours));
    begins(OURS) || begins("x-forwarded-") || OVERRIDES.iter().any(|ours| alike(name, ours))
}

/// Cookies know no ports: a browser brings the admin listener's along when both stand on one host.
fn drop_cookies(out: &mut HeaderMap, client: &HeaderMap, identity: &Identity, places: &[CredentialPlace]) {
    if out.remove(header::COOKIE).is_none() {
        return;
    }
    let mut names = vec![ADMIN_COOKIE];
    if places.contains(&CredentialPlace::Cookie) && !identity.forward_token {
        names.push(identity.claims.cookie_name.as_str());
    }
    // Never the backend's affair: whoever holds it is the user.
    names.extend(identity.sessions.as_ref().map(|sessions| sessions.cookie.name.as_str()));
    if let Some(rest) = credential::strip_cookies(client, &names) {
        out.insert(header::COOKIE, rest);
    }
}

/// RFC 7239 4. An IPv6 address stands in brackets and quotes (6), a host in quotes: it may name a port.
fn forwarded(out: &mut HeaderMap, client: &HeaderMap, arrival: &Arrival) {
    let node = match arrival.client.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    let proto = if arrival.tls { "https" } else { "http" };
    let mut text = format!("for={node};proto={proto}");
    if let Some(host) = client.get(header::HOST).and_then(|host| host.to_str().ok()) {
        let quoted = host.replace('\\', "\\\\").replace('"', "\\\"");
        text.push_str(&format!(";host=\"{quoted}\""));
    }
    if let Ok(value) = HeaderValue::from_str(&text) {
        out.insert(header::FORWARDED, value);
    }
}

fn x_forwarded(out: &mut HeaderMap, client: &HeaderMap, arrival: &Arrival) {
    set(out, &X_FORWARDED_FOR, &arrival.client.to_string());
    out.insert(&X_FORWARDED_PROTO, HeaderValue::from_static(if arrival.tls { "https" } else { "http" }));
    if let Some(host) = client.get(header::HOST) {
        out.insert(&X_FORWARDED_HOST, host.clone());
    }
}

fn describe(out: &mut HeaderMap, arrival: &Arrival, principal: &Principal) {
    set(out, &CONNECTION_ID, &arrival.connection_id);
    if let Some(subject) = &principal.subject {
        set(out, &SUBJECT, subject);
    }
    if let Some(tenant) = &principal.tenant {
        set(out, &TENANT, tenant);
    }
    let roles: Vec<Cow<'_, str>> = principal.roles.iter().map(|role| safe(role)).collect();
    if let Ok(roles) = HeaderValue::from_str(&roles.join(",")) {
        out.insert(&ROLES, roles);
    }
}

/// `X-Portcullis-Signature: t=<unix seconds>;v1=<hex HMAC-SHA-256>` over the time and the four identity headers,
/// one a line, so that a backend knows they are ours.
fn sign(out: &mut HeaderMap, identity: &Identity, now: Now) {
    let Some(secret) = &identity.header_secret else { return };
    let time = now.unix_seconds();
    let mut text = time.to_string();
    for name in [&CONNECTION_ID, &SUBJECT, &TENANT, &ROLES] {
        let value = out.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        text.push('\n');
        text.push_str(value);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
    let signature = HEXLOWER.encode(hmac::sign(&key, text.as_bytes()).as_ref());
    set(out, &SIGNATURE, &format!("t={time};v1={signature}"));
}

fn set(out: &mut HeaderMap, name: &'static HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(&safe(value)) {
        out.insert(name, value);
    }
}

fn safe(value: &str) -> Cow<'_, str> {
    utf8_percent_encode(value, UNSAFE).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Method;
    use crate::policy::checked::{ClaimPointers, Secret};
    use std::time::Duration;

    fn identity() -> Identity {
        let text = String::new;
        Identity {
            keys: vec![],
            jwks: vec![],
            introspection: None,
            issuers: vec![],
            audiences: vec![],
            authorized_parties: vec![],
            leeway: Duration::ZERO,
            require_expiry: true,
            token_bytes_max: 8192,
            credentials: vec![],
            claims: ClaimPointers {
                subject: text(),
                roles: text(),
                permissions: text(),
                tenant: text(),
                tenants: text(),
                session: text(),
                second_factor: crate::identity::SecondFactor::default(),
                cookie_name: "access_token".into(),
                query_name: "token".into(),
            },
            cache_ttl: Duration::ZERO,
            cache_entries_max: 0,
            first_message_timeout: Duration::from_secs(1),
            development_bypass: None,
            forward_token: false,
            api_keys: true,
            tickets: None,
            csrf: None,
            renewal: None,
            sessions: None,
            header_secret: Some(Secret::new(b"a secret of more than sixteen bytes".to_vec())),
        }
    }

    fn built(pairs: &[(&'static str, &str)], principal: &Principal) -> HeaderMap {
        told("192.0.2.7", ForwardedHeaders::XForwarded, pairs, principal)
    }

    fn told(ip: &str, by: ForwardedHeaders, pairs: &[(&'static str, &str)], principal: &Principal) -> HeaderMap {
        let mut client = HeaderMap::new();
        for (name, value) in pairs {
            client.append(*name, value.parse().unwrap());
        }
        let arrival =
            Arrival { client: ip.parse().unwrap(), tls: true, connection_id: "c-1".into(), certificate: None };
        let now = Now { mono: Duration::ZERO, wall: Duration::from_secs(1_700_000_000) };
        let places = [CredentialPlace::Header, CredentialPlace::Cookie, CredentialPlace::Query];
        headers(&client, &arrival, principal, &Told { identity: &identity(), places: &places, by }, now)
    }

    fn text(headers: &HeaderMap, name: &str) -> String {
        headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_clients_copies_of_our_headers_never_pass() {
        let out = built(
            &[
                ("x-portcullis-subject", "root"),
                ("x-portcullis_roles", "admin"),
                ("x_portcullis_tenant", "other"),
                ("x-forwarded-for", "203.0.113.9"),
                ("x_forwarded_for", "203.0.113.9"),
                ("forwarded", "for=203.0.113.9"),
                ("x-real-ip", "203.0.113.9"),
                ("x_real_ip", "203.0.113.9"),
                ("cf-connecting-ip", "203.0.113.9"),
                ("x-original-url", "/admin"),
                ("x.portcullis.subject", "root"),
                ("x-forwarded-prefix", "/admin"),
            ],
            &Principal::anonymous(),
        );
        assert_eq!(text(&out, "x-forwarded-for"), "192.0.2.7");
        assert_eq!(text(&out, "x-portcullis-roles"), "guest");
        for name in [
            "x-portcullis-subject",
            "x-portcullis_roles",
            "x_portcullis_tenant",
            "x_forwarded_for",
            "forwarded",
            "x-real-ip",
            "x_real_ip",
            "cf-connecting-ip",
            "x-original-url",
            "x.portcullis.subject",
            "x-forwarded-prefix",
        ] {
            assert!(!out.contains_key(name), "{name}");
        }
    }

    #[test]
    fn an_address_is_told_as_rfc_7239_has_it_where_the_route_says_so() {
        let forged = [("forwarded", "for=203.0.113.9"), ("x-forwarded-for", "203.0.113.9"), ("host", "a.example:8443")];
        let at = |ip, by| told(ip, by, &forged, &Principal::anonymous());
        for (ip, node) in
            [("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8::7", "\"[2001:db8::7]\"")]
        {
            let out = at(ip, ForwardedHeaders::Forwarded);
            let said: Vec<_> = out.get_all("forwarded").iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(said, [format!("for={node};proto=https;host=\"a.example:8443\"")]);
            assert!(!out.keys().any(|name| name.as_str().starts_with("x-forwarded")), "{out:?}");
        }
        let both = at("192.0.2.7", ForwardedHeaders::Both);
        assert!(text(&both, "forwarded").starts_with("for=192.0.2.7;"));
        assert_eq!(text(&both, "x-forwarded-for"), "192.0.2.7");
        let odd = [("host", "a\"\\b")];
        let out = told("192.0.2.7", ForwardedHeaders::Forwarded, &odd, &Principal::anonymous());
        assert_eq!(text(&out, "forwarded"), "for=192.0.2.7;proto=https;host=\"a\\\"\\\\b\"");
    }

    #[test]
    fn credentials_and_hop_by_hop_headers_stay_here() {
        let out = built(
            &[
                ("authorization", "Bearer t"),
                ("cookie", "access_token=t; theme=dark; portcullis_admin=s"),
                ("connection", "upgrade, x-secret-hop"),
                ("x-secret-hop", "1"),
                ("sec-websocket-key", "k"),
                ("user-agent", "test"),
            ],
            &Principal::anonymous(),
        );
        assert_eq!(text(&out, "cookie"), "theme=dark");
        assert_eq!(text(&out, "user-agent"), "test");
        for name in ["authorization", "connection", "x-secret-hop", "sec-websocket-key"] {
            assert!(!out.contains_key(name), "{name}");
        }
    }

    #[test]
    fn a_claim_cannot_inject_a_header() {
        let principal = Principal {
            subject: Some("u1\r\nX-Admin: 1".into()),
            method: Method::Jwt,
            roles: Box::new(["a,admin".into(), "ü".into()]),
            ..Principal::anonymous()
        };
        let out = built(&[], &principal);
        assert_eq!(text(&out, "x-portcullis-subject"), "u1%0D%0AX-Admin:%201");
        assert_eq!(text(&out, "x-portcullis-roles"), "a%2Cadmin,%C3%BC");
        assert!(text(&out, "x-portcullis-signature").starts_with("t=1700000000;v1="));
    }

    #[test]
    fn the_token_leaves_the_path() {
        let places = [CredentialPlace::Query];
        let at = |uri: &str| path(&uri.parse().unwrap(), &identity(), &places);
        assert_eq!(at("/ws/1?token=a.b.c&room=2"), "/ws/1?room=2");
        assert_eq!(at("/ws/1?token=a.b.c"), "/ws/1");
        assert_eq!(at("/ws/1"), "/ws/1");
    }
}
