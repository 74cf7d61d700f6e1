//! Whether a credential proves somebody, step by step: when a client arrives and when it brings another one later.
//!
//! Order: ticket, API key, session, tokens verified lately, signature; for a token that is no JWT, its provider (RFC 7662). A key that is not known may be in a set that has changed since it
//! was read: then the caller reads that set again and asks once more, each set at most once.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use super::Gate;
use crate::identity::cache::TokenDigest;
use crate::identity::introspection::{self, Opaque};
use crate::identity::{KeyRing, Principal, TokenCache, claims, strict_json, token};
use crate::identity::{api_key, session, ticket};
use crate::policy::Policy;
use crate::time::Now;
use crate::verdict::Reason;

/// Characters of a claimed subject that an event repeats.
const SUBJECT_CHARS_SHOWN: usize = 64;

/// What a proof rests on.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) policy: Arc<Policy>,
    pub(super) gate: Arc<Gate>,
    pub(super) keys: Arc<KeyRing>,
    pub(super) cache: Arc<TokenCache>,
}

/// Where a credential is shown.
pub(super) struct Place<'a> {
    /// The name of the route.
    pub(super) route: &'a str,
    /// The client's address.
    pub(super) client: IpAddr,
    /// The client's `User-Agent`.
    pub(super) user_agent: Option<&'a str>,
}

/// A credential being verified. Not printable: it holds a token.
pub(super) struct Proof {
    token: String,
    sources_asked: Vec<usize>,
    introspected: Option<Result<Vec<u8>, String>>,
    redeemed: Option<Option<Vec<u8>>>,
    recalled: bool,
    /// The subject that the credential names, where failures are counted by it; looked for once.
    claimed: Option<Option<Box<str>>>,
}

/// What a step came to.
pub(super) enum Proved {
    /// Whose it is.
    Principal(Arc<Principal>),
    /// Read this set of keys again (its place in `identity.jwks`), then ask once more.
    RefreshKeys { source: usize, kid: Option<String> },
    /// Take the ticket of this name from where nodes meet, answer by [`Proof::redeemed`] and ask once more.
    Redeem(String),
    /// Look where nodes meet for the session of this name, put it in force, then ask once more.
    Recall(String),
    /// Ask the provider about this token, then answer by [`Proof::introspected`] and ask once more.
    Introspect(Opaque),
    /// It is not looked at before so long: too many failed that name the same subject.
    Throttled(std::time::Duration, String),
    /// What would tell cannot be had; no fault of the client's.
    Unavailable(Reason, String),
    /// Nobody's.
    Failed(Reason),
}

impl Proof {
    pub(super) fn new(token: String) -> Self {
        Self { token, sources_asked: Vec::new(), introspected: None, redeemed: None, recalled: false, claimed: None }
    }

    pub(super) fn step(&mut self, means: &Means, at: &Place<'_>, now: Now) -> Proved {
        // While nobody is guessed at, a token is taken apart once, by who verifies it.
        let subject = if means.gate.any_guessed(now) { self.claimed(means) } else { None };
        if let Some(subject) = &subject
            && let Some(left) = means.gate.guessed_at(subject, now)
            && !self.is_known(means, now)
        {
            let shown: String = subject.escape_debug().take(SUBJECT_CHARS_SHOWN).collect();
            return Proved::Throttled(left, format!("too many failed authentications name the subject `{shown}`"));
        }
        let proved = self.proven(means, at, now);
        if let Proved::Failed(_) = &proved
            && let Some(subject) = self.claimed(means)
        {
            means.gate.failed_as(&subject, now);
        }
        proved
    }

    /// The subject that a JWT or an API key names, whoever wrote it there.
    fn claimed(&mut self, means: &Means) -> Option<Box<str>> {
        if !means.gate.counts_subjects() {
            return None;
        }
        let token = &self.token;
        let claimed = self.claimed.get_or_insert_with(|| {
            let identity = &means.policy.checked.identity;
            if api_key::is_api_key(token) && identity.api_keys {
                return means.gate.api_keys().subject_named(token);
            }
            let payload = token::parse(token, identity.token_bytes_max).ok()?.payload;
            claims::name(&Value::Object(strict_json::object(&payload)?), &identity.claims.subject)?
        });
        claimed.clone()
    }

    /// Whether the token was verified a moment ago.
    fn is_known(&self, means: &Means, now: Now) -> bool {
        means.cache.find(TokenDigest::of(&self.token), means.keys.generation(), now).is_some()
    }

    fn proven(&mut self, means: &Means, at: &Place<'_>, now: Now) -> Proved {
        let Means { policy, gate, keys, cache } = means;
        if ticket::is_ticket(&self.token) && policy.checked.identity.tickets.is_some() {
            let key = gate.key(at.client);
            let outcome = match self.redeemed.take() {
                Some(Some(kept)) => ticket::redeem_kept(&kept, at.route, key, now),
                Some(None) => Err(Reason::TicketInvalid),
                None => match gate.tickets().redeem(&self.token, at.route, key, now) {
                    Err(Reason::TicketInvalid) if gate.is_shared() => {
                        return Proved::Redeem(ticket::name(&self.token));
                    }
                    outcome => outcome,
                },
            };
            return match outcome {
                Ok(principal) => Proved::Principal(principal),
                Err(reason) => Proved::Failed(reason),
            };
        }
        if api_key::is_api_key(&self.token) && policy.checked.identity.api_keys {
            return match gate.api_keys().verify(&self.token, now) {
                Ok(principal) => Proved::Principal(Arc::new(principal)),
                Err(reason) => Proved::Failed(reason),
            };
        }
        if let Some(rules) = policy.checked.identity.sessions.as_ref().filter(|_| session::is_session(&self.token)) {
            let shown = session::Shown { ip: gate.key(at.client), user_agent: at.user_agent };
            return match gate.sessions().verify(&self.token, shown, rules, now) {
                Ok(principal) => Proved::Principal(Arc::new(principal)),
                // Another node may just have issued it.
                Err(Reason::SessionInvalid) if gate.is_shared() && !self.recalled => {
                    self.recalled = true;
                    Proved::Recall(session::name(&self.token))
                }
                Err(reason) => Proved::Failed(reason),
            };
        }
        if self.is_opaque(means) {
            return self.introspection(means, now);
        }
        let digest = TokenDigest::of(&self.token);
        let generation = keys.generation();
        if let Some(principal) = cache.find(digest, generation, now) {
            return Proved::Principal(principal);
        }
        let failure = match policy.verifier().verify(&self.token, keys, now) {
            Ok(principal) => {
                let principal = Arc::new(principal);
                cache.remember(digest, &principal, generation, now);
                return Proved::Principal(principal);
            }
            Err(failure) => failure,
        };
        let missing = failure.missing_key.as_ref();
        let sources: Vec<usize> =
            missing.map(|key| keys.sources_for(key.scope, key.algorithm).collect()).unwrap_or_default();
        if let Some(&source) = sources.iter().find(|source| !self.sources_asked.contains(source)) {
            self.sources_asked.push(source);
            return Proved::RefreshKeys { source, kid: missing.and_then(|key| key.id.clone()) };
        }
        if !sources.is_empty() && sources.iter().all(|source| !keys.is_loaded(*source)) {
            let reason = Reason::KeysUnavailable;
            return Proved::Unavailable(reason, reason.row().internal.to_owned());
        }
        Proved::Failed(failure.reason)
    }

    /// What the provider said of the token, or why it said nothing.
    pub(super) fn introspected(&mut self, answer: Result<Vec<u8>, String>) {
        self.introspected = Some(answer);
    }

    /// The ticket as it was kept; `None` where there is none, or nobody answered.
    pub(super) fn redeemed(&mut self, kept: Option<Vec<u8>>) {
        self.redeemed = Some(kept);
    }

    /// Whether the token's provider is asked. A JWT goes there only where no key could verify one.
    fn is_opaque(&self, means: &Means) -> bool {
        means.policy.checked.identity.introspection.is_some()
            && (!introspection::is_jwt(&self.token) || !means.keys.serves_any())
    }

    fn introspection(&mut self, means: &Means, now: Now) -> Proved {
        let cache = means.gate.introspected();
        let digest = TokenDigest::of(&self.token);
        if let Some(principal) = cache.find(digest, 0, now) {
            return Proved::Principal(principal);
        }
        if !introspection::is_token(&self.token, means.policy.checked.identity.token_bytes_max) {
            return Proved::Failed(Reason::CredentialInvalid);
        }
        let unavailable = Reason::IntrospectionUnavailable;
        match self.introspected.take() {
            None => Proved::Introspect(Opaque(self.token.clone())),
            Some(Err(why)) => Proved::Unavailable(unavailable, why),
            Some(Ok(answer)) => match means.policy.verifier().introspected(&answer, now) {
                Ok(principal) => {
                    let principal = Arc::new(principal);
                    cache.remember(digest, &principal, 0, now);
                    Proved::Principal(principal)
                }
                Err(reason) if reason == unavailable => {
                    Proved::Unavailable(reason, "the answer is no JSON object with a plain `active`".to_owned())
                }
                Err(reason) => Proved::Failed(reason),
            },
        }
    }
}
