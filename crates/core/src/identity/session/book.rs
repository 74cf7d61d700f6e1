//! The sessions in force: found by digest and id, counted by user.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{SESSIONS_MAX, Session, Terms};
use crate::identity::principal::{Method, Origin, Principal};
use crate::policy::checked::{Sessions as Rules, WhenFull};
use crate::time::Now;
use crate::verdict::Reason;

/// A session in force.
#[derive(Debug)]
pub struct Held {
    session: Session,
    used_unix_s: AtomicU64,
    kept_unix_s: AtomicU64,
}

impl Held {
    pub(super) fn new(session: Session) -> Arc<Self> {
        let used = session.last_used_unix_s;
        Arc::new(Self { used_unix_s: AtomicU64::new(used), kept_unix_s: AtomicU64::new(used), session })
    }

    /// Notes that it is used.
    pub fn touch(&self, now_unix_s: u64) {
        self.used_unix_s.fetch_max(now_unix_s, Ordering::Relaxed);
    }

    /// Notes that it was used elsewhere, and that this is kept.
    pub(super) fn touch_kept(&self, at_unix_s: u64) {
        self.touch(at_unix_s);
        self.kept_unix_s.fetch_max(at_unix_s, Ordering::Relaxed);
    }

    /// Whether it was used before then, and not since.
    pub(super) fn used_before(&self, at_unix_s: u64) -> bool {
        self.used_unix_s.load(Ordering::Relaxed) < at_unix_s
    }

    /// What is left until nobody has used it for `idle`.
    #[must_use]
    pub fn idle_left(&self, idle: Duration, now: Now) -> Duration {
        (Duration::from_secs(self.used_unix_s.load(Ordering::Relaxed)) + idle).saturating_sub(now.wall)
    }

    pub(super) fn ended(&self, rules: &Rules, now: Now) -> Option<Reason> {
        if now.unix_seconds() >= self.session.terms.ends_unix_s {
            return Some(Reason::SessionExpired);
        }
        self.idle_left(rules.idle_timeout, now).is_zero().then_some(Reason::SessionIdle)
    }

    pub(super) fn principal(&self) -> Principal {
        let terms = &self.session.terms;
        let boxed = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect();
        let text = |text: &Option<String>| text.as_deref().map(Into::into);
        Principal {
            subject: Some(terms.subject.as_str().into()),
            method: Method::Session,
            roles: boxed(&terms.roles),
            permissions: boxed(&terms.permissions),
            mfa: terms.mfa,
            tenant: text(&terms.tenant),
            tenants: boxed(&terms.tenants),
            session: Some(terms.id.as_str().into()),
            token_id: text(&terms.token_id),
            issued_at_unix_s: Some(terms.issued_unix_s),
            expires_at_unix_s: Some(terms.ends_unix_s),
            origin: Some(Box::new(Origin { method: terms.proved_by, session: text(&terms.provider_session) })),
        }
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.session.terms
    }

    pub(super) fn seal(&self) -> &[u8] {
        &self.session.seal
    }

    pub(super) fn session(&self) -> Session {
        self.session.clone()
    }

    /// With its last use.
    pub(super) fn session_used(&self) -> Session {
        Session { last_used_unix_s: self.used_unix_s.load(Ordering::Relaxed), ..self.session.clone() }
    }

    /// When it was used, where that was not told before.
    pub(super) fn take_used(&self) -> Option<(String, u64)> {
        let at = self.used_unix_s.load(Ordering::Relaxed);
        (self.kept_unix_s.swap(at, Ordering::Relaxed) < at).then(|| (self.session.terms.id.clone(), at))
    }

    /// Whether it is this very session, not another under its id or with other terms.
    pub(super) fn is(&self, session: &Session) -> bool {
        (&self.session.terms, self.session.digest, self.session.seal) == (&session.terms, session.digest, session.seal)
    }
}

/// The sessions in force, by what they are asked for.
#[derive(Default)]
pub(super) struct Book {
    by_digest: HashMap<[u8; 32], Arc<Held>>,
    by_id: HashMap<Box<str>, Arc<Held>>,
    ids_by_user: HashMap<(String, Option<String>), Vec<String>>,
}

impl Book {
    pub(super) fn by_digest(&self, digest: &[u8; 32]) -> Option<Arc<Held>> {
        self.by_digest.get(digest).map(Arc::clone)
    }

    pub(super) fn by_id(&self, id: &str) -> Option<Arc<Held>> {
        self.by_id.get(id).map(Arc::clone)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Held>> {
        self.by_id.values()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Takes over other sessions; what is known of the same ones stays. Those that are gone.
    pub(super) fn replace(&mut self, sessions: impl IntoIterator<Item = Session>) -> Vec<Session> {
        let mut earlier = std::mem::take(self);
        for session in sessions.into_iter().take(SESSIONS_MAX) {
            let known = earlier.by_id.remove(session.terms.id.as_str());
            self.insert(match known.filter(|held| held.is(&session)) {
                Some(held) => {
                    held.touch(session.last_used_unix_s);
                    held
                }
                None => Held::new(session),
            });
        }
        earlier.by_id.into_values().map(|held| held.session.clone()).collect()
    }

    pub(super) fn insert(&mut self, held: Arc<Held>) {
        let Terms { id, subject, tenant, .. } = &held.session.terms;
        let ids = self.ids_by_user.entry((subject.clone(), tenant.clone())).or_default();
        if !ids.contains(id) {
            ids.push(id.clone());
        }
        self.by_digest.insert(held.session.digest, Arc::clone(&held));
        self.by_id.insert(id.as_str().into(), held);
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Arc<Held>> {
        let held = self.by_id.remove(id)?;
        self.by_digest.remove(&held.session.digest);
        let Terms { subject, tenant, .. } = &held.session.terms;
        let user = (subject.clone(), tenant.clone());
        if let Some(ids) = self.ids_by_user.get_mut(&user) {
            ids.retain(|known| known != id);
            if ids.is_empty() {
                self.ids_by_user.remove(&user);
            }
        }
        Some(held)
    }

    /// Who leaves so that the user has one more.
    pub(super) fn room(
        &self,
        principal: &Principal,
        replaces: &[String],
        rules: &Rules,
    ) -> Result<Vec<String>, Reason> {
        let owned = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let user = (owned(&principal.subject).unwrap_or_default(), owned(&principal.tenant));
        let theirs = self.ids_by_user.get(&user).map(Vec::as_slice).unwrap_or_default();
        let mut staying: Vec<&Terms> = theirs
            .iter()
            .filter(|id| !replaces.contains(id))
            .filter_map(|id| Some(&self.by_id.get(id.as_str())?.session.terms))
            .collect();
        let over = (staying.len() + 1).saturating_sub(usize::try_from(rules.max_per_user).unwrap_or(usize::MAX));
        if over > 0 && rules.when_full == WhenFull::Refuse {
            return Err(Reason::SessionsFull);
        }
        // Those of one second stay in the order in which they came.
        staying.sort_by_key(|terms| terms.issued_unix_s);
        let displaces: Vec<String> = staying.iter().take(over).map(|terms| terms.id.clone()).collect();
        let left = self.by_id.len().saturating_sub(replaces.len() + displaces.len());
        if left >= SESSIONS_MAX { Err(Reason::SessionsFull) } else { Ok(displaces) }
    }

    /// Of too many the oldest leave, or the newest, as the rules say.
    pub(super) fn excess(&self, subject: &str, tenant: Option<&str>, rules: &Rules) -> Vec<String> {
        let user = (subject.to_owned(), tenant.map(str::to_owned));
        let theirs = self.ids_by_user.get(&user).map(Vec::as_slice).unwrap_or_default();
        let max = usize::try_from(rules.max_per_user).unwrap_or(usize::MAX);
        let over = theirs.len().saturating_sub(max);
        if over == 0 {
            return Vec::new();
        }
        let mut all: Vec<&Terms> = theirs.iter().filter_map(|id| Some(self.by_id.get(id.as_str())?.terms())).collect();
        all.sort_by_key(|terms| (terms.issued_unix_s, &terms.id));
        if rules.when_full == WhenFull::Refuse {
            all.reverse();
        }
        all.into_iter().take(over).map(|terms| terms.id.clone()).collect()
    }
}
