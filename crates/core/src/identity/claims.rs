//! Claims → principal, by JSON Pointer (RFC 6901; SPEC 3.6).
//!
//! Decides who a verified token speaks of. What is too long, too many or of the wrong type is refused, not
//! cut: a role that was cut off may be the one that denies.

use serde_json::Value;

use super::principal::{Method, Principal};
use crate::policy::checked::ClaimPointers;

/// Longest subject, tenant, session or token id, bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Most roles, most permissions and most tenants of one token.
pub const NAMES_MAX: usize = 64;

/// The principal that the claims describe; `None` when the subject is missing or a claim is out of bounds.
#[must_use]
pub fn principal(claims: &Value, pointers: &ClaimPointers, expires_at_unix_s: Option<u64>) -> Option<Principal> {
    Some(Principal {
        subject: Some(name(claims, &pointers.subject)??),
        method: Method::Jwt,
        roles: names(claims, &pointers.roles)?,
        permissions: names(claims, &pointers.permissions)?,
        mfa: pointers.second_factor.is_shown(claims),
        tenant: name(claims, &pointers.tenant)?,
        tenants: names(claims, &pointers.tenants)?,
        session: name(claims, &pointers.session)?,
        token_id: name(claims, "/jti")?,
        // Some issuers write a fraction of a second; what is no number was refused before.
        issued_at_unix_s: claims.get("iat").and_then(|at| at.as_u64().or_else(|| at.as_f64().map(|at| at as u64))),
        expires_at_unix_s,
        origin: None,
    })
}

/// `None`: out of bounds. `Some(None)`: not there.
#[expect(clippy::option_option, reason = "wrong and absent are two things")]
pub(crate) fn name(claims: &Value, pointer: &str) -> Option<Option<Box<str>>> {
    match at(claims, pointer) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => fits(text).then(|| Some(text.as_str().into())),
        // Some issuers number their users.
        Some(Value::Number(number)) if number.is_u64() => Some(Some(number.to_string().into())),
        Some(_) => None,
    }
}

/// A list of strings, or one string of names between spaces (as `scope` is, RFC 8693 4.2).
pub(crate) fn names(claims: &Value, pointer: &str) -> Option<Box<[Box<str>]>> {
    let names: Vec<&str> = match at(claims, pointer) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => text.split(' ').filter(|name| !name.is_empty()).collect(),
        Some(Value::Array(list)) => list.iter().map(Value::as_str).collect::<Option<_>>()?,
        Some(_) => return None,
    };
    let bounded = names.len() <= NAMES_MAX && names.iter().all(|name| fits(name));
    bounded.then(|| names.into_iter().map(Into::into).collect())
}

/// An empty pointer is an absent claim, not the whole document.
fn at<'a>(claims: &'a Value, pointer: &str) -> Option<&'a Value> {
    // One plain name, as nearly always, is looked up as it stands; the library makes two texts of every name.
    match pointer.strip_prefix('/') {
        None => None,
        Some(name) if !name.contains(['/', '~']) && claims.is_object() => claims.get(name),
        Some(_) => claims.pointer(pointer),
    }
}

fn fits(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::fixture;
    use serde_json::json;

    fn map(claims: Value) -> Option<Principal> {
        principal(&claims, &fixture::identity().claims, None)
    }

    #[test]
    fn roles_come_as_list_or_as_words() {
        for roles in [json!(["user", "admin"]), json!("user admin"), json!(" user  admin ")] {
            let principal = map(json!({"sub": "u1", "roles": roles})).unwrap();
            assert_eq!(principal.roles.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["user", "admin"]);
        }
    }

    #[test]
    fn a_subject_may_be_a_number_and_must_be_there() {
        assert_eq!(map(json!({"sub": 7})).unwrap().subject.as_deref(), Some("7"));
        for bad in [
            json!({}),
            json!({"sub": ""}),
            json!({"sub": null}),
            json!({"sub": []}),
            json!({"sub": -1}),
            json!({"sub": 1.5}),
        ] {
            assert_eq!(map(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn a_bearer_may_belong_to_several_tenants() {
        let mut pointers = fixture::identity().claims;
        let claims = json!({"sub": "u", "tenant": "acme", "orgs": ["sister", "7"]});
        let of = |pointers: &ClaimPointers| principal(&claims, pointers, None).unwrap();
        assert!(of(&pointers).belongs_to(b"acme") && !of(&pointers).belongs_to(b"sister"), "nobody named the claim");
        pointers.tenants = "/orgs".into();
        let several = of(&pointers);
        for (tenant, belongs) in [("acme", true), ("sister", true), ("7", true), ("other", false), ("", false)] {
            assert_eq!(several.belongs_to(tenant.as_bytes()), belongs, "{tenant}");
        }
        let wrong = json!({"sub": "u", "orgs": {"acme": true}});
        assert_eq!(principal(&wrong, &pointers, None), None, "a claim of the wrong type");
    }

    #[test]
    fn names_are_bounded_in_length_and_number() {
        let of = |bytes: usize| "n".repeat(bytes);
        assert!(map(json!({"sub": of(NAME_BYTES_MAX)})).is_some());
        assert!(map(json!({"sub": of(NAME_BYTES_MAX + 1)})).is_none());
        assert!(map(json!({"sub": "u", "roles": vec!["r"; NAMES_MAX]})).is_some());
        assert!(map(json!({"sub": "u", "roles": vec!["r"; NAMES_MAX + 1]})).is_none());
        for bad in [json!([1]), json!([""]), json!({}), json!(7), json!(["ok", null])] {
            assert!(map(json!({"sub": "u", "roles": bad.clone()})).is_none(), "{bad}");
        }
    }

    #[test]
    fn pointers_reach_into_objects() {
        let mut pointers = fixture::identity().claims;
        pointers.roles = "/realm_access/roles".into();
        pointers.tenant = "/https:~1~1example.com~1org".into();
        let claims = json!({"sub": "u", "realm_access": {"roles": ["a"]}, "https://example.com/org": "t"});
        let principal = principal(&claims, &pointers, Some(9)).unwrap();
        assert_eq!((principal.roles.len(), principal.tenant.as_deref()), (1, Some("t")));
        assert_eq!(principal.expires_at_unix_s, Some(9));
    }
}
