//! Sessions (SPEC 5): an identity that the gateway itself vouches for, in exchange for a credential.
//!
//! Decides whether a session's text proves a principal, whether there is room for another, and which have ended. A text
//! is `pcs_` and 256 random bits as base64url; only its SHA-256 is kept. The terms of a session are sealed by an
//! HMAC-SHA-256 under that text, which is stored nowhere: a record that somebody changed in the store opens nothing.
//! The gateway alone chooses texts and ids, so none can be fixed in advance (OWASP ASVS 3.2.1).
//!
//! One thread plans and commits; any thread verifies. Never touches a file or a clock.

mod book;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::cache::digest;
use super::principal::{Method, Principal};
use crate::limits::IpKey;
use crate::policy::checked::Sessions as Rules;
use crate::reputation::Target;
use crate::time::Now;
use crate::verdict::Reason;
use book::Book;
pub use book::Held;

/// What every session's text begins with.
pub const PREFIX: &str = "pcs_";
/// Random bytes that make a session: its id and its secret.
pub const RANDOM_BYTES: usize = ID_BYTES + 32;
/// Most sessions, of all users together. About 1 KB each.
pub const SESSIONS_MAX: usize = 100_000;

const ID_BYTES: usize = 8;

/// What a session stands for. Fixed when it is issued, and sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Names it in lists, events and commands: 16 hexadecimal digits.
    pub id: String,
    /// The subject.
    pub subject: String,
    /// Its tenant.
    pub tenant: Option<String>,
    /// Further tenants.
    pub tenants: Vec<String>,
    /// Roles.
    pub roles: Vec<String>,
    /// Permissions.
    pub permissions: Vec<String>,
    /// A second factor was passed.
    pub mfa: bool,
    /// How the credential it was exchanged for was proved.
    pub proved_by: Method,
    /// Id of that credential.
    pub token_id: Option<String>,
    /// Session of that credential at its issuer (`sid`).
    pub provider_session: Option<String>,
    /// When it was issued, Unix seconds.
    pub issued_unix_s: u64,
    /// When it ends whatever happens, Unix seconds.
    pub ends_unix_s: u64,
    /// The only address it is good from.
    pub address: Option<String>,
    /// Digest of the only `User-Agent` it is good from, hexadecimal.
    pub user_agent: Option<String>,
}

/// A session as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Session {
    /// What it stands for.
    #[serde(flatten)]
    pub terms: Terms,
    /// When it was last used, Unix seconds.
    pub last_used_unix_s: u64,
    /// SHA-256 of its text.
    #[serde(skip)]
    pub digest: [u8; 32],
    /// HMAC-SHA-256 of the terms under its text.
    #[serde(skip)]
    pub seal: [u8; 32],
}

impl Session {
    /// What other nodes know it by: its digest, in hexadecimal.
    #[must_use]
    pub fn name(&self) -> String {
        HEXLOWER.encode(&self.digest)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.terms.id).finish_non_exhaustive()
    }
}

/// From where a session is shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// The key that the client's address is counted under.
    pub ip: IpKey,
    /// Its `User-Agent`.
    pub user_agent: Option<&'a str>,
}

/// Who wants a session, and from where.
#[derive(Clone)]
pub struct Order {
    /// Whom the credential proved.
    pub principal: Arc<Principal>,
    /// The key that its address is counted under.
    pub ip: IpKey,
    /// Its `User-Agent`.
    pub user_agent: Option<String>,
    /// The text of a session that came along with another credential: it ends with the exchange.
    pub along: Option<String>,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("principal", &self.principal).finish_non_exhaustive()
    }
}

/// A session that may be, and what leaves for it. Nothing has happened yet.
pub struct Plan {
    /// What its owner sends; told once.
    pub text: String,
    /// What is kept.
    pub session: Session,
    /// Ids of the sessions it takes the place of.
    pub replaces: Vec<String>,
    /// Ids of the oldest sessions of its user, which leave to make room.
    pub displaces: Vec<String>,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("session", &self.session).finish_non_exhaustive()
    }
}

/// What a session that another node speaks of is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Not known, and may be in force.
    New,
    /// In force, and used since by what this node knows.
    Used,
    /// In force as it is, ended by its rules, another one under its id, or one too many of all.
    Nothing,
}

/// The sessions in force.
#[derive(Default)]
pub struct Sessions(RwLock<Book>);

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions(…)")
    }
}

/// Whether a credential is meant to be a session; no other token begins like one.
#[must_use]
pub fn is_session(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// What other nodes know the session of a text by.
#[must_use]
pub fn name(text: &str) -> String {
    HEXLOWER.encode(&digest(text.as_bytes()))
}

impl Sessions {
    /// Whose session it is; using it counts as a sign of life.
    ///
    /// # Errors
    /// Why it proves nobody. The client is told the same whichever it is.
    pub fn verify(&self, text: &str, shown: Shown<'_>, rules: &Rules, now: Now) -> Result<Principal, Reason> {
        let held = self.by_text(text).ok_or(Reason::SessionInvalid)?;
        let terms = held.terms();
        if hmac::verify(&sealer(text), &sealed(terms), held.seal()).is_err() {
            return Err(Reason::SessionAltered);
        }
        let elsewhere = terms.address.as_ref().is_some_and(|bound| *bound != shown.ip.address().to_string());
        let other_agent = terms.user_agent.as_ref().is_some_and(|bound| *bound != agent_digest(shown.user_agent));
        if elsewhere || other_agent {
            return Err(Reason::SessionForeign);
        }
        if let Some(reason) = held.ended(rules, now) {
            return Err(reason);
        }
        held.touch(now.unix_seconds());
        Ok(held.principal())
    }

    /// The session a principal came with, if it came with one that is in force.
    #[must_use]
    pub fn of(&self, principal: &Principal) -> Option<Arc<Held>> {
        let id = principal.session.as_deref().filter(|_| principal.method == Method::Session)?;
        self.read(|book| book.by_id(id))
    }

    /// Why a principal that came with a session may not stay, if so: the session is gone.
    #[must_use]
    pub fn refuses(&self, principal: &Principal) -> Option<Reason> {
        (principal.method == Method::Session && self.of(principal).is_none()).then_some(Reason::CredentialRevoked)
    }

    /// What issuing a session would come to. A session that is exchanged for another keeps its end.
    ///
    /// # Errors
    /// [`Reason::SessionsFull`]: of its user where the oldest does not leave, or in all.
    pub fn plan(&self, random: &[u8; RANDOM_BYTES], order: &Order, rules: &Rules, now: Now) -> Result<Plan, Reason> {
        let principal = &order.principal;
        let subject = principal.subject.as_deref().ok_or(Reason::CredentialMissing)?;
        let along = order.along.as_deref().and_then(|text| self.by_text(text));
        let before = self.of(principal);
        let mut replaces: Vec<String> =
            [&before, &along].into_iter().flatten().map(|held| held.terms().id.clone()).collect();
        replaces.dedup();
        let displaces = self.read(|book| book.room(principal, &replaces, rules))?;
        let (id, secret) = random.split_at(ID_BYTES);
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
        let texts = |list: &[Box<str>]| list.iter().map(|text| text.to_string()).collect();
        let owned = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let lasts = now.unix_seconds().saturating_add(rules.lifetime.as_secs());
        let ends = match (principal.method, principal.expires_at_unix_s) {
            // Neither outlives what it stands for.
            (Method::Session | Method::ApiKey, Some(ends)) => ends.min(lasts),
            _ => lasts,
        };
        let origin = principal.origin.as_deref();
        let terms = Terms {
            id: HEXLOWER.encode(id),
            subject: subject.to_owned(),
            tenant: owned(&principal.tenant),
            tenants: texts(&principal.tenants),
            roles: texts(&principal.roles),
            permissions: texts(&principal.permissions),
            mfa: principal.mfa,
            proved_by: origin.map_or(principal.method, |origin| origin.method),
            token_id: owned(&principal.token_id),
            provider_session: origin.map_or_else(|| owned(&principal.session), |origin| owned(&origin.session)),
            issued_unix_s: now.unix_seconds(),
            ends_unix_s: ends,
            address: rules.bind_address.then(|| order.ip.address().to_string()),
            user_agent: rules.bind_user_agent.then(|| agent_digest(order.user_agent.as_deref())),
        };
        let mut seal = [0; 32];
        let tag = hmac::sign(&sealer(&text), &sealed(&terms));
        seal.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        let session = Session { last_used_unix_s: terms.issued_unix_s, digest: digest(text.as_bytes()), seal, terms };
        Ok(Plan { text, session, replaces, displaces })
    }

    /// Puts a plan in force; its session was kept before.
    pub fn commit(&self, plan: &Plan) {
        let mut book = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for id in plan.replaces.iter().chain(&plan.displaces) {
            book.remove(id);
        }
        book.insert(Held::new(plan.session.clone()));
    }

    /// Ends sessions; those that were in force.
    pub fn end(&self, ids: &[String]) -> Vec<Session> {
        let mut book = self.0.write().unwrap_or_else(PoisonError::into_inner);
        ids.iter().filter_map(|id| book.remove(id)).map(|held| held.session()).collect()
    }

    /// What a session that another node speaks of is here. Changes nothing.
    #[must_use]
    pub fn hear(&self, session: &Session, rules: &Rules, now: Now) -> Heard {
        if Held::new(session.clone()).ended(rules, now).is_some() {
            return Heard::Nothing;
        }
        self.read(|book| match book.by_id(&session.terms.id) {
            Some(held) if held.is(session) && held.used_before(session.last_used_unix_s) => Heard::Used,
            Some(_) => Heard::Nothing,
            None if book.len() >= SESSIONS_MAX || book.by_digest(&session.digest).is_some() => Heard::Nothing,
            None => Heard::New,
        })
    }

    /// Puts a session of another node in force, which was kept before, or notes that it was used there.
    pub fn adopt(&self, session: Session) {
        let mut book = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match book.by_id(&session.terms.id) {
            Some(held) => held.touch_kept(session.last_used_unix_s),
            None if book.len() < SESSIONS_MAX => book.insert(Held::new(session)),
            None => {}
        }
    }

    /// Ids of the sessions that a user has too many of, because two nodes issued at once: every node names the same.
    #[must_use]
    pub fn excess(&self, subject: &str, tenant: Option<&str>, rules: &Rules) -> Vec<String> {
        self.read(|book| book.excess(subject, tenant, rules))
    }

    /// Those with these digests.
    #[must_use]
    pub fn with_digests(&self, digests: &[[u8; 32]]) -> Vec<String> {
        self.read(|book| digests.iter().filter_map(|digest| Some(book.by_digest(digest)?.terms().id.clone())).collect())
    }

    /// One that is in force, as it is to be kept.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Session> {
        self.read(|book| book.by_id(id)).map(|held| held.session_used())
    }

    /// Ids of the sessions that rest on what a target names.
    #[must_use]
    pub fn resting_on(&self, target: &Target) -> Vec<String> {
        let named = |terms: &Terms| match target {
            Target::Session(name) => terms.id == *name || terms.provider_session.as_ref() == Some(name),
            Target::User(name) => terms.subject == *name,
            Target::Token(name) => terms.token_id.as_ref() == Some(name),
            Target::Tenant(name) => terms.tenant.as_ref() == Some(name) || terms.tenants.contains(name),
            Target::Network(_) => false,
        };
        self.read(|book| {
            book.all().map(|held| held.terms()).filter(|terms| named(terms)).map(|terms| terms.id.clone()).collect()
        })
    }

    /// Takes over what the store says; uses seen since are kept. Those that are gone.
    pub fn replace(&self, sessions: impl IntoIterator<Item = Session>) -> Vec<Session> {
        let mut book = self.0.write().unwrap_or_else(PoisonError::into_inner);
        book.replace(sessions)
    }

    /// Those that have ended by themselves, and how.
    #[must_use]
    pub fn ended(&self, rules: &Rules, now: Now) -> Vec<(Session, Reason)> {
        let ended = |held: &Arc<Held>| Some((held.session(), held.ended(rules, now)?));
        self.read(|book| book.all().filter_map(ended).collect())
    }

    /// Sessions used since this was asked last, and when, Unix seconds.
    pub fn take_used(&self) -> Vec<(String, u64)> {
        self.read(|book| book.all().filter_map(|held| held.take_used()).collect())
    }

    /// How many are in force.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read(|book| book.len())
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn by_text(&self, text: &str) -> Option<Arc<Held>> {
        let digest = digest(text.as_bytes());
        self.read(|book| book.by_digest(&digest))
    }

    fn read<T>(&self, ask: impl FnOnce(&Book) -> T) -> T {
        ask(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn sealer(text: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())
}

/// The terms as they are sealed: their members in the order of the type.
fn sealed(terms: &Terms) -> Vec<u8> {
    serde_json::to_vec(terms).unwrap_or_default()
}

fn agent_digest(user_agent: Option<&str>) -> String {
    HEXLOWER.encode(&digest(user_agent.unwrap_or_default().as_bytes()))
}
