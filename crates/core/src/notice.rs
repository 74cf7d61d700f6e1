//! What the gateway itself says on an open connection, and what a client says to the gateway (SPEC 2.6, 3.8).
//!
//! JSON texts: `connected`, `auth.expiring`, `auth.refreshed` and `auth.renewed` to the client, `auth.refresh` and
//! `auth.renew` from it. Decides their words, never when they are said.

use std::sync::LazyLock;
use std::time::Duration;

use memchr::memmem::Finder;
use serde_json::{Map, Value, json};

use crate::identity::{Principal, strict_json};
use crate::policy::checked::Route;

/// Longest message read as a credential, bytes: a token of 64 KiB and its JSON.
pub const REFRESH_BYTES_MAX: usize = 66 << 10;

/// What a route says and hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notices {
    /// The first message to a client says who it is.
    pub connected: bool,
    /// A client is warned this long before its credential ends.
    pub expiry_warning: Option<Duration>,
    /// A client may bring another credential.
    pub refresh: bool,
}

/// What a client wants for its credential, with the token it brings; `None` where there is none that can be read.
#[derive(Clone, PartialEq, Eq)]
pub enum Plea {
    /// To go on with another one.
    Refresh(Option<String>),
    /// To be given a fresh one in its place.
    Renew(Option<String>),
}

/// What both of them begin with.
static PLEA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("auth.re"));

/// The first message: `{"type":"connected","connection_id":…,"subject":…,"roles":[…],…}`. `limits` are those of the
/// route that a client can keep to.
#[must_use]
pub fn connected(connection_id: &str, principal: &Principal, route: &Route) -> String {
    let mut told = Map::new();
    told.insert("type".into(), "connected".into());
    told.insert("connection_id".into(), connection_id.into());
    told.insert("route".into(), route.name.as_str().into());
    told.insert("subject".into(), principal.subject.as_deref().into());
    told.insert("roles".into(), principal.roles.iter().map(|role| Value::from(&**role)).collect());
    for (name, text) in [("tenant", &principal.tenant), ("session", &principal.session)] {
        if let Some(text) = text {
            told.insert(name.into(), (&**text).into());
        }
    }
    if let Some(expires) = principal.expires_at_unix_s {
        told.insert("expires_at".into(), expires.into());
    }
    let mut limits = json!({ "message_bytes_max": route.inbound.bytes_max });
    if let (Some(limits), Some(ping)) = (limits.as_object_mut(), route.times.ping_interval) {
        limits.insert("ping_interval_ms".into(), millis(ping));
    }
    told.insert("limits".into(), limits);
    Value::Object(told).to_string()
}

/// `{"type":"auth.expiring","expires_in_ms":…,"expires_at":…}`.
#[must_use]
pub fn expiring(left: Duration, expires_at_unix_s: u64) -> String {
    json!({ "type": "auth.expiring", "expires_in_ms": millis(left), "expires_at": expires_at_unix_s }).to_string()
}

/// `{"type":"auth.refreshed","expires_at":…}`.
#[must_use]
pub fn refreshed(principal: &Principal) -> String {
    json!({ "type": "auth.refreshed", "expires_at": principal.expires_at_unix_s }).to_string()
}

/// `{"type":"auth.renewed","token":…,"expires_at":…}`.
#[must_use]
pub fn renewed(token: &str, principal: &Principal) -> String {
    json!({ "type": "auth.renewed", "token": token, "expires_at": principal.expires_at_unix_s }).to_string()
}

/// What `{"type":"auth.refresh","token":…}` or `{"type":"auth.renew","token":…}` asks for; `None` where the message is no
/// such thing. An object with a member twice is none: others might read the other one.
#[must_use]
pub fn plea(message: &[u8]) -> Option<Plea> {
    if message.len() > REFRESH_BYTES_MAX {
        return None;
    }
    PLEA.find(message)?;
    let object = strict_json::object(message)?;
    let token = || object.get("token").and_then(Value::as_str).map(str::to_owned);
    match object.get("type").and_then(Value::as_str)? {
        "auth.refresh" => Some(Plea::Refresh(token())),
        "auth.renew" => Some(Plea::Renew(token())),
        _ => None,
    }
}

fn millis(time: Duration) -> Value {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_that_says_so_once_is_a_refresh() {
        let token = |text: &str| match plea(text.as_bytes()) {
            Some(Plea::Refresh(token)) => Some(token),
            Some(Plea::Renew(_)) | None => None,
        };
        assert!(plea(br#"{"type":"auth.renew","token":"t"}"#) == Some(Plea::Renew(Some("t".into()))));
        assert!(plea(br#"{"type":"auth.renew"}"#) == Some(Plea::Renew(None)));
        assert!(plea(br#"{"type":"auth.renewed","token":"t"}"#).is_none());
        assert_eq!(token(r#"{"type":"auth.refresh","token":"t.o.k"}"#), Some(Some("t.o.k".into())));
        assert_eq!(token(r#"{"token":"t.o.k","id":1,"type":"auth.refresh"}"#), Some(Some("t.o.k".into())));
        assert_eq!(token(r#"{"type":"auth.refresh"}"#), Some(None));
        assert_eq!(token(r#"{"type":"auth.refresh","token":7}"#), Some(None));
        for text in [
            "",
            "auth.refresh",
            r#"["auth.refresh"]"#,
            r#"{"type":"chat","text":"auth.refresh","token":"x"}"#,
            r#"{"type":"auth.refresh","type":"chat","token":"x"}"#,
            r#"{"type":"auth.refresh","token":"x","token":"y"}"#,
            r#"{"data":{"type":"auth.refresh","token":"x"}}"#,
            r#"{"type":"auth.refresh","token":"x"} {"#,
        ] {
            assert_eq!(token(text), None, "{text}");
        }
        let long = format!(r#"{{"type":"auth.refresh","token":"{}"}}"#, "x".repeat(REFRESH_BYTES_MAX));
        assert_eq!(token(&long), None);
    }

    #[test]
    fn notices_are_json_whatever_a_subject_is_called() {
        let principal = Principal {
            subject: Some("a\"b\n".into()),
            expires_at_unix_s: Some(1_700_000_000),
            ..Principal::anonymous()
        };
        for text in [expiring(Duration::from_millis(59_500), 1_700_000_000), refreshed(&principal)] {
            let told: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(told["expires_at"], 1_700_000_000, "{text}");
        }
    }
}
