//! A logout token posted by an identity provider: may it be heard, and whose credentials end? (OpenID Connect
//! Back-Channel Logout 1.0.)
//!
//! A machine that asks and is answered. The post counts as one attempt of its address, one that is refused as a failed
//! authentication; so nobody guesses here for free.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Gate, Question, Seat};
use crate::identity::KeyRing;
use crate::identity::logout::Logout;
use crate::policy::Policy;
use crate::policy::checked::LogoutEnds;
use crate::reputation::{Block, Target};
use crate::time::Now;
use crate::verdict::Reason;

/// See the module.
pub struct ProviderLogout {
    policy: Arc<Policy>,
    gate: Arc<Gate>,
    keys: Arc<KeyRing>,
    client: IpAddr,
    source: usize,
    keys_asked: bool,
    _seat: Seat,
}

/// Whose credentials end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notified {
    /// The provider.
    pub issuer: String,
    /// What is put on the list of the revoked.
    pub block: Block,
}

/// What comes next.
#[derive(Debug)]
pub enum LogoutStep {
    /// Keys are missing: read them again, then ask once more.
    Ask(Question),
    /// Whose credentials end, or why nobody's do.
    Done(Result<Notified, Reason>),
}

impl ProviderLogout {
    /// A post to a path; `None` where no provider posts to it.
    ///
    /// # Errors
    /// Its address may not try: why, and when to come back.
    pub fn at(
        path: &str,
        policy: &Arc<Policy>,
        gate: &Arc<Gate>,
        keys: Arc<KeyRing>,
        client: IpAddr,
        now: Now,
    ) -> Option<Result<Self, (Reason, Option<Duration>)>> {
        let source = policy.checked.identity.jwks.iter().position(|source| {
            let logout = source.provider.as_ref().and_then(|provider| provider.backchannel_logout.as_ref());
            logout.is_some_and(|logout| logout.path == path)
        })?;
        Some(gate.seat(client, now).map(|seat| Self {
            policy: Arc::clone(policy),
            gate: Arc::clone(gate),
            keys,
            client,
            source,
            keys_asked: false,
            _seat: seat,
        }))
    }

    /// As far as it goes without something from outside. `form` is the body that was posted.
    pub fn step(&mut self, form: &[u8], now: Now) -> LogoutStep {
        let spec = self.policy.checked.identity.jwks.get(self.source);
        let provider = spec.and_then(|spec| spec.provider.as_ref());
        let rules = provider.and_then(|provider| provider.backchannel_logout.as_ref());
        let (Some(provider), Some(rules)) = (provider, rules) else {
            return LogoutStep::Done(Err(Reason::LogoutInvalid));
        };
        let Some(token) = token(form) else { return self.refuse(Reason::LogoutInvalid, now) };
        let verifier = self.policy.verifier();
        match verifier.verify_logout(token, &self.keys, (self.source, rules), self.gate.logouts(), now) {
            Ok(logout) => {
                let block = target(logout, rules.ends).map(|target| {
                    Block::revocation(target, rules.lasts, "signed out at the provider", now.unix_millis())
                });
                match block {
                    Some(Ok(block)) => LogoutStep::Done(Ok(Notified { issuer: provider.issuer.clone(), block })),
                    _ => self.refuse(Reason::LogoutInvalid, now),
                }
            }
            Err(failure) if failure.missing_key.is_some() && !self.keys_asked => {
                self.keys_asked = true;
                let kid = failure.missing_key.and_then(|key| key.id);
                LogoutStep::Ask(Question::RefreshKeys { source: self.source, kid })
            }
            Err(_) if !self.keys.is_loaded(self.source) => LogoutStep::Done(Err(Reason::KeysUnavailable)),
            Err(failure) => self.refuse(failure.reason, now),
        }
    }

    fn refuse(&self, reason: Reason, now: Now) -> LogoutStep {
        self.gate.failed(self.client, now);
        LogoutStep::Done(Err(reason))
    }
}

/// Whom the list names. A session that is named without its subject is the session all the same.
fn target(logout: Logout, ends: LogoutEnds) -> Option<Target> {
    let (kind, name) = match (ends, logout.subject, logout.session) {
        (LogoutEnds::Session, _, Some(session)) => ("session", session),
        (_, Some(subject), _) => ("user", subject),
        (_, None, Some(session)) => ("session", session),
        (_, None, None) => return None,
    };
    Target::parse(kind, &name).ok()
}

/// `logout_token` of a form, once. A compact token has no character that a form would write otherwise.
fn token(form: &[u8]) -> Option<&str> {
    let form = std::str::from_utf8(form).ok()?;
    let mut found = form.split('&').filter_map(|pair| pair.strip_prefix("logout_token="));
    let token = found.next()?;
    found.next().is_none().then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_holds_one_token() {
        assert_eq!(token(b"logout_token=a.b.c"), Some("a.b.c"));
        assert_eq!(token(b"x=1&logout_token=a.b.c&y="), Some("a.b.c"));
        for bad in [&b""[..], b"token=a", b"logout_token=a&logout_token=b", b"\xff"] {
            assert_eq!(token(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn what_ends_is_the_session_or_everything_of_its_subject() {
        let logout = |subject: Option<&str>, session: Option<&str>| Logout {
            subject: subject.map(Into::into),
            session: session.map(Into::into),
        };
        for (ends, subject, session, kind) in [
            (LogoutEnds::Session, Some("u"), Some("s"), "session s"),
            (LogoutEnds::Session, Some("u"), None, "user u"),
            (LogoutEnds::Subject, Some("u"), Some("s"), "user u"),
            (LogoutEnds::Subject, None, Some("s"), "session s"),
        ] {
            assert_eq!(target(logout(subject, session), ends).unwrap().to_string(), kind);
        }
        assert_eq!(target(logout(None, None), LogoutEnds::Session), None);
    }
}
