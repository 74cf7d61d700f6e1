//! The external authorizer of a route (SPEC 4.4): what it is told, and what its answer grants.
//!
//! Decides what an answer means; never asks, the shell does. `"allow": true` in a 200 lets the principal in, with the
//! roles and permissions of the answer added to its own; 401, 403 and `"allow": false` keep it out, and so does whatever
//! cannot be understood, for it may be a denial. Only where there is no answer at all does the route's `on_failure`
//! speak. Answers that allow are remembered, denials are not: a right that was just granted works at once, and nobody
//! without rights can fill the memory.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::route::Params;
use crate::identity::cache::TokenDigest;
use crate::identity::{Principal, TokenCache, claims, strict_json};
use crate::policy::checked::{Authorizer, OnFailure};
use crate::time::Now;
use crate::verdict::Reason;

/// Largest answer read, bytes.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Longest explanation of a denial kept, characters.
const WHY_CHARS_MAX: usize = 200;

/// What the shell heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A 200 and its body.
    Body(Vec<u8>),
    /// A 401 or 403.
    Forbidden(u16),
    /// Nothing, or another status; in words.
    Failed(String),
}

/// Who wants to be where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) route: &'a str,
    pub(super) path: &'a str,
    pub(super) params: &'a Params,
    pub(super) client: IpAddr,
    pub(super) connection_id: &'a str,
    pub(super) principal: &'a Principal,
}

/// The body of a question.
#[derive(Serialize)]
struct Told<'a> {
    connection_id: &'a str,
    client_ip: IpAddr,
    route: &'a str,
    path: &'a str,
    params: std::collections::BTreeMap<&'a str, &'a str>,
    principal: &'a Principal,
}

impl Wish<'_> {
    /// The question as JSON.
    pub(super) fn body(&self) -> Vec<u8> {
        let told = Told {
            connection_id: self.connection_id,
            client_ip: self.client,
            route: self.route,
            path: self.path,
            params: self.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            principal: self.principal,
        };
        // Texts, numbers and lists of them; serializing those does not fail, and an empty body would be refused.
        serde_json::to_vec(&told).unwrap_or_default()
    }

    /// What its answer is remembered under: all of the question but the connection.
    fn digest(&self) -> TokenDigest {
        TokenDigest::of_bytes(&Wish { connection_id: "", ..*self }.body())
    }

    /// What the authorizer said of the same wish lately.
    pub(super) fn remembered(&self, cache: &TokenCache, now: Now) -> Option<Arc<Principal>> {
        cache.find(self.digest(), 0, now)
    }

    /// Who the principal is after the answer, or why it may not be here and why that is, in words.
    pub(super) fn conclude(
        &self,
        reply: Reply,
        spec: &Authorizer,
        cache: &TokenCache,
        now: Now,
    ) -> Result<Arc<Principal>, (Reason, String)> {
        let denied = |why: String| (Reason::AuthorizerDenied, why);
        let body = match reply {
            Reply::Body(body) => body,
            Reply::Forbidden(status) => return Err(denied(format!("the authorizer answered {status}"))),
            Reply::Failed(why) => {
                return match spec.on_failure {
                    OnFailure::Deny => Err((Reason::AuthorizerUnavailable, why)),
                    OnFailure::Allow => Ok(Arc::new(self.principal.clone())),
                };
            }
        };
        let unclear = || (Reason::AuthorizerUnavailable, "the answer cannot be understood".to_owned());
        let answer = Value::Object(strict_json::object(&body).ok_or_else(unclear)?);
        match answer.get("allow") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Err(denied(why(&answer))),
            _ => return Err(unclear()),
        }
        let ttl = match answer.get("ttl") {
            None | Some(Value::Null) => spec.cache_ttl,
            Some(ttl) => Duration::from_secs(ttl.as_u64().ok_or_else(unclear)?),
        };
        let principal = Arc::new(self.granted(&answer).ok_or_else(unclear)?);
        if self.principal.tenant.is_some() && principal.tenant != self.principal.tenant {
            return Err(denied("the authorizer names another tenant than the credential".to_owned()));
        }
        if !ttl.is_zero() {
            cache.remember_for(self.digest(), &principal, 0, ttl, now);
        }
        Ok(principal)
    }

    /// The principal with what the answer adds.
    fn granted(&self, answer: &Value) -> Option<Principal> {
        let added = |own: &[Box<str>], pointer| {
            let mut all = own.to_vec();
            all.extend(claims::names(answer, pointer)?.into_vec().into_iter().filter(|name| !own.contains(name)));
            Some(all.into_boxed_slice())
        };
        Some(Principal {
            roles: added(&self.principal.roles, "/roles")?,
            permissions: added(&self.principal.permissions, "/permissions")?,
            tenant: claims::name(answer, "/tenant")?.or_else(|| self.principal.tenant.clone()),
            ..self.principal.clone()
        })
    }
}

fn why(answer: &Value) -> String {
    let reason = answer.get("reason").and_then(Value::as_str).unwrap_or("it gave no reason");
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(WHY_CHARS_MAX).collect();
    format!("the authorizer says no: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::fixture;
    use serde_json::json;

    fn spec(on_failure: OnFailure) -> Authorizer {
        Authorizer {
            url: "http://authz.example/".into(),
            token: None,
            timeout: Duration::from_secs(2),
            cache_ttl: Duration::from_secs(10),
            cache_entries_max: 16,
            on_failure,
        }
    }

    fn principal() -> Principal {
        Principal { subject: Some("ada".into()), roles: Box::new(["user".into()]), ..Principal::anonymous() }
    }

    fn asked<T>(principal: &Principal, run: impl FnOnce(Wish<'_>) -> T) -> T {
        let params = vec![("room".to_owned(), "r1".to_owned())];
        let client = "192.0.2.1".parse().unwrap();
        run(Wish { route: "chat", path: "/chat/r1", params: &params, client, connection_id: "c-1", principal })
    }

    fn concluded(principal: &Principal, reply: Reply, on_failure: OnFailure) -> Result<Arc<Principal>, Reason> {
        let cache = TokenCache::new(16, Duration::from_secs(10));
        asked(principal, |wish| wish.conclude(reply, &spec(on_failure), &cache, fixture::now()))
            .map_err(|(reason, _)| reason)
    }

    fn body(answer: &Value) -> Reply {
        Reply::Body(answer.to_string().into_bytes())
    }

    #[test]
    fn it_is_told_who_wants_to_be_where() {
        let told: Value = serde_json::from_slice(&asked(&principal(), |wish| wish.body())).unwrap();
        assert_eq!(told["principal"]["subject"], "ada");
        assert_eq!((&told["route"], &told["params"]["room"]), (&json!("chat"), &json!("r1")));
        assert_eq!((&told["client_ip"], &told["connection_id"]), (&json!("192.0.2.1"), &json!("c-1")));
    }

    #[test]
    fn what_it_grants_is_added_and_nothing_is_taken_away() {
        let answer =
            json!({"allow": true, "roles": ["user", "owner"], "permissions": "room.write:r1", "tenant": "acme"});
        let granted = concluded(&principal(), body(&answer), OnFailure::Deny).unwrap();
        assert_eq!(granted.roles.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["user", "owner"]);
        assert_eq!((granted.permissions.len(), granted.tenant.as_deref()), (1, Some("acme")));
        let of_tenant = Principal { tenant: Some("other".into()), ..principal() };
        assert_eq!(concluded(&of_tenant, body(&answer), OnFailure::Deny), Err(Reason::AuthorizerDenied));
    }

    #[test]
    fn a_denial_is_one_whatever_happens_on_failure() {
        for on_failure in [OnFailure::Deny, OnFailure::Allow] {
            let verdict = |reply| concluded(&principal(), reply, on_failure).err();
            assert_eq!(verdict(body(&json!({"allow": false}))), Some(Reason::AuthorizerDenied));
            assert_eq!(verdict(Reply::Forbidden(403)), Some(Reason::AuthorizerDenied));
            for unclear in [
                json!({}),
                json!({"allow": "true"}),
                json!({"allow": 1}),
                json!([true]),
                json!({"allow": true, "roles": [1]}),
                json!({"allow": true, "roles": [""]}),
                json!({"allow": true, "roles": vec!["r"; claims::NAMES_MAX + 1]}),
                json!({"allow": true, "tenant": []}),
                json!({"allow": true, "ttl": -1}),
            ] {
                assert_eq!(verdict(body(&unclear)), Some(Reason::AuthorizerUnavailable), "{unclear}");
            }
            let twice = Reply::Body(br#"{"allow":false,"allow":true}"#.to_vec());
            assert_eq!(verdict(twice), Some(Reason::AuthorizerUnavailable));
        }
    }

    #[test]
    fn silence_is_a_denial_unless_the_route_says_otherwise() {
        let silent = || Reply::Failed("connection refused".into());
        assert_eq!(concluded(&principal(), silent(), OnFailure::Deny), Err(Reason::AuthorizerUnavailable));
        assert_eq!(*concluded(&principal(), silent(), OnFailure::Allow).unwrap(), principal());
    }

    #[test]
    fn an_answer_is_remembered_for_the_same_wish_and_no_longer_than_it_says() {
        let cache = TokenCache::new(16, Duration::from_secs(10));
        let at = |seconds| Now { mono: Duration::from_secs(seconds), ..fixture::now() };
        let conclude = |answer: Value| {
            asked(&principal(), |wish| wish.conclude(body(&answer), &spec(OnFailure::Deny), &cache, at(0)).is_ok())
        };
        let remembered = |who: &Principal, seconds| asked(who, |wish| wish.remembered(&cache, at(seconds)).is_some());
        assert!(!conclude(json!({"allow": false})) && !remembered(&principal(), 0), "denials are not");
        assert!(conclude(json!({"allow": true, "ttl": 0})) && !remembered(&principal(), 0));
        assert!(conclude(json!({"allow": true, "ttl": 5})));
        assert!(remembered(&principal(), 4) && !remembered(&principal(), 5));
        assert!(conclude(json!({"allow": true, "ttl": 3600})));
        assert!(remembered(&principal(), 9) && !remembered(&principal(), 10), "`cache_ttl` is the most");
        let other = Principal { subject: Some("eve".into()), ..principal() };
        assert!(!remembered(&other, 0));
    }
}
