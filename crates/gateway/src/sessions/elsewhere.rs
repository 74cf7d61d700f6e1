//! Sessions of several nodes (SPEC 5.3, 14.1): what happens here is said to the others, and what they say is kept and put
//! in force here. All of it by the one thread that writes sessions; none of it on a message's path.

use portcullis_core::identity::session::{Heard, Session};
use portcullis_core::policy::checked::Sessions as Rules;
use portcullis_store::session_words::{self, Said};
use portcullis_store::{Entries, StoreError};

use super::{Keeper, Outcome};

impl Keeper {
    /// Tells the other nodes of sessions that were ended before their time.
    pub(super) fn say_ended<'a>(&self, ended: impl IntoIterator<Item = &'a Session>) {
        if let Some(nodes) = &self.shared.nodes {
            let word = |session: &Session| session_words::ended(&session.digest, session.terms.ends_unix_s);
            nodes.say_sessions(ended.into_iter().map(word));
        }
    }

    /// Tells the other nodes of sessions that are in force, and when they were last used.
    pub(super) fn say_in_force<'a>(&self, ids: impl IntoIterator<Item = &'a str>, rules: &Rules) {
        if let Some(nodes) = &self.shared.nodes {
            let sessions = self.shared.gate.sessions();
            let word = |id| Some(session_words::in_force(&sessions.find(id)?, rules.idle_timeout));
            nodes.say_sessions(ids.into_iter().filter_map(word));
        }
    }

    /// The last words on all sessions.
    pub(super) fn words(&self) -> Result<Entries, StoreError> {
        match &self.shared.policy.load().checked.identity.sessions {
            Some(rules) => self.file.entries(rules.idle_timeout),
            None => Ok(Entries::new()),
        }
    }

    /// Takes over what other nodes said; how many sessions ended by it.
    pub(super) fn merge(&mut self, entries: &Entries) -> Result<usize, StoreError> {
        let policy = self.shared.policy.load_full();
        let Some(rules) = &policy.checked.identity.sessions else { return Ok(0) };
        let shared = std::sync::Arc::clone(&self.shared);
        let (sessions, now) = (shared.gate.sessions(), shared.clock.now());
        let (mut new, mut used, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for said in session_words::said(entries, now.unix_millis()) {
            match said {
                Said::Ended(digest, ends) if !self.file.was_ended(&digest)? => ended.push((digest, ends)),
                Said::Ended(..) => {}
                Said::InForce(session) => match sessions.hear(&session, rules, now) {
                    Heard::New if !self.file.was_ended(&session.digest)? => new.push(*session),
                    Heard::Used => used.push(*session),
                    Heard::New | Heard::Nothing => {}
                },
            }
        }
        let uses: Vec<_> = used.iter().map(|session| (session.terms.id.clone(), session.last_used_unix_s)).collect();
        self.file.merge(&new, &uses, &ended, now.unix_seconds())?;
        let digests: Vec<_> = ended.iter().map(|(digest, _)| *digest).collect();
        // Told where they were ended: an event and a count for each.
        let mut gone = sessions.end(&sessions.with_digests(&digests)).len();
        let users: Vec<_> =
            new.iter().map(|session| (session.terms.subject.clone(), session.terms.tenant.clone())).collect();
        new.into_iter().chain(used).for_each(|session| sessions.adopt(session));
        for (subject, tenant) in users {
            let excess = sessions.excess(&subject, tenant.as_deref(), rules);
            gone += self.end(&excess, Outcome::Displaced)?;
        }
        Ok(gone)
    }
}
