//! The caller's credential while the connection lasts (SPEC 2.6, 3.8): the first word to a client, the warning before
//! its credential ends, and another credential brought over the open connection.
//!
//! A renewal is verified off the message path, one at a time, with the same checks as the first credential. While it
//! runs messages go on under the old one; when it fails the connection closes as a failed authentication would. Where
//! nobody can say whether it is good, because a provider or authorizer does not answer, the client is told so and the
//! connection stays until its credential ends.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use portcullis_codec::{MessageKind, encode_message};
use portcullis_core::admission::{Question, Renewal, RenewalStep, Renewing};
use portcullis_core::event::Decision;
use portcullis_core::identity::Principal;
use portcullis_core::identity::renew::{Fresh, RANDOM_BYTES, renew};
use portcullis_core::inspection::{Finding, error_reply};
use portcullis_core::notice::{self, Plea};
use portcullis_core::policy::checked::OnRefuse;
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;

use super::{Phase, Relay};
use crate::worker::Worker;

/// From one renewal to the next: each may cost a signature.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// What came of a renewal.
pub(crate) enum Renewed {
    /// Who it is from now on.
    As(Arc<Principal>),
    /// It may not stay: why, and which check said so.
    Refused(Reason, &'static str),
    /// Who it is from now on, and the fresh token that says so.
    With(Box<Fresh>),
    /// Its token is good and is not renewed: why. It stays as it was.
    Declined(&'static str),
    /// Nobody could say; it stays as it was.
    Unanswered(Reason, &'static str),
}

/// Where a connection stands with its credential.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The client was told that its credential ends.
    warned: bool,
    /// A renewal runs.
    renewing: bool,
    /// When the last one began.
    renewed_at: Option<Duration>,
}

impl Standing {
    /// Whether another renewal may begin.
    pub(super) fn may_renew(&self, now: Duration) -> bool {
        !self.renewing && self.renewed_at.is_none_or(|at| now.saturating_sub(at) >= RENEW_EVERY)
    }
}

impl Relay {
    /// The first word to a client.
    pub(super) fn greet(&mut self) {
        let spec = &self.caller.route.spec;
        if spec.notices.connected {
            let text = notice::connected(&self.caller.connection_id, &self.caller.principal, spec);
            self.say(&text);
        }
    }

    /// When the client is to be warned, from now.
    pub(super) fn warns_in(&self) -> Option<Duration> {
        let ahead = self.caller.route.spec.notices.expiry_warning.filter(|_| !self.credential.warned)?;
        Some(self.credential_ends_in()?.saturating_sub(ahead))
    }

    /// Warns the client that its credential ends.
    pub(super) fn warn(&mut self) {
        self.credential.warned = true;
        let (left, ends) = (self.credential_ends_in(), self.caller.principal.expires_at_unix_s);
        if let (Some(left), Some(ends)) = (left, ends)
            && matches!(self.phase, Phase::Open)
        {
            self.say(&notice::expiring(left, ends));
        }
    }

    /// Begins to verify another credential.
    #[cold]
    pub(super) fn renew(&mut self, plea: Plea, now: Now) {
        let (token, fresh) = match plea {
            Plea::Refresh(token) => (token, false),
            Plea::Renew(token) => (token, true),
        };
        self.credential.renewing = true;
        self.credential.renewed_at = Some(now.mono);
        let Some((token, path)) = token.zip(self.caller.path.clone()) else {
            return self.renewed(Renewed::Refused(Reason::CredentialInvalid, "renewal"), now);
        };
        let shared = &self.worker.shared;
        let renewing = Renewing {
            client: self.caller.client,
            user_agent: self.caller.user_agent.clone(),
            route: self.caller.route.spec.name.as_str().into(),
            path,
            connection_id: self.caller.connection_id.as_str().into(),
            before: Arc::clone(&self.caller.principal),
        };
        let renewal = Renewal::new(
            shared.policy.load_full(),
            Arc::clone(&shared.gate),
            shared.keys.load_full(),
            shared.cache.load_full(),
            renewing,
            token.clone(),
        );
        let (worker, live) = (Rc::clone(&self.worker), Rc::clone(&self.live));
        tokio::task::spawn_local(async move {
            let outcome = match verify(&worker, renewal).await {
                Renewed::As(principal) if fresh => issue(&worker, &token, &principal),
                outcome => outcome,
            };
            live.renewed(outcome);
        });
    }

    /// Takes over what came of a renewal.
    #[cold]
    pub(super) fn renewed(&mut self, outcome: Renewed, now: Now) {
        self.credential.renewing = false;
        let (principal, token) = match outcome {
            Renewed::As(principal) => (principal, None),
            Renewed::With(fresh) => (Arc::new(fresh.principal), Some(fresh.token)),
            Renewed::Unanswered(reason, check) => {
                return self.unanswered(reason, check, reason.row().internal, Some(RENEW_EVERY), now);
            }
            Renewed::Declined(why) => return self.unanswered(Reason::RenewalRefused, "renewal", why, None, now),
            Renewed::Refused(reason, check) => {
                let subject = self.caller.principal.subject.as_deref();
                self.worker.accuse(self.caller.client, subject, reason, Decision::Closed);
                return self.turn_out(reason, check, now.mono);
            }
        };
        self.live.set_principal(&principal);
        self.session = self.worker.shared.gate.sessions().of(&principal);
        self.caller.become_of(principal, Arc::clone(&self.caller.route));
        self.client.memory.principal_changed();
        self.upstream.memory.principal_changed();
        self.credential.warned = false;
        self.set_timer(now.mono);
        let (text, reason) = match token {
            None => (notice::refreshed(&self.caller.principal), Reason::CredentialRefreshed),
            Some(token) => {
                self.worker.shared.metrics.token_renewed();
                (notice::renewed(&token, &self.caller.principal), Reason::CredentialRenewed)
            }
        };
        self.say(&text);
        self.worker.record(self.caller.draft(reason, Decision::Allowed, "renewal", String::new()), now);
        // Whoever was banned while the renewal ran was asked for under the old name only.
        let gate = &self.worker.shared.gate;
        if let Some(reason) = gate.blocked(self.caller.client, &self.caller.principal, now) {
            self.turn_out(reason, "blocklist", now.mono);
        }
    }

    /// Tells the client that its renewal came to nothing, and when to try again where that may help.
    fn unanswered(&mut self, reason: Reason, check: &'static str, why: &str, retry_after: Option<Duration>, now: Now) {
        let detail = why.to_owned();
        self.worker.shard().refused(reason, Decision::Replied);
        let reference = self.worker.refer(self.caller.draft(reason, Decision::Replied, check, detail.clone()), now);
        let finding = Finding {
            reason,
            check,
            outcome: OnRefuse::Reply,
            field: None,
            rule: None,
            evidence: None,
            detail,
            message_type: None,
            retry_after,
        };
        let text = error_reply(&self.caller.route.spec.errors, &finding, &reference);
        self.say(&text);
    }

    /// A message of the gateway's own to the client.
    fn say(&mut self, text: &str) {
        let mut frame = Vec::with_capacity(text.len() + 14);
        let mask = self.client.mask(self.worker.mask_key());
        encode_message(&mut frame, MessageKind::Text, text.as_bytes(), mask);
        self.client.queue(&frame);
    }
}

/// A fresh token for the one that was just verified.
fn issue(worker: &Worker, token: &str, principal: &Principal) -> Renewed {
    let policy = worker.shared.policy.load();
    let identity = &policy.checked.identity;
    let Some(rules) = &identity.renewal else { return Renewed::Declined("`identity.renewal` was taken out") };
    let mut random = [0; RANDOM_BYTES];
    if getrandom::fill(&mut random).is_err() {
        return Renewed::Declined("the system gave no random numbers");
    }
    match renew(token, principal, rules, identity.token_bytes_max, &random, worker.shared.clock.now()) {
        Ok(fresh) => Renewed::With(Box::new(fresh)),
        Err(why) => Renewed::Declined(why),
    }
}

async fn verify(worker: &Worker, mut renewal: Renewal) -> Renewed {
    loop {
        match renewal.step(worker.shared.clock.now()) {
            RenewalStep::Done(Ok(principal)) => return Renewed::As(principal),
            RenewalStep::Done(Err((reason, check))) => return Renewed::Refused(reason, check),
            RenewalStep::Unanswered(reason, check) => return Renewed::Unanswered(reason, check),
            // Whether it came or not, the next step tells.
            RenewalStep::Ask(Question::RefreshKeys { source, .. }) => {
                let _ = crate::fetch::refresh(&worker.shared, source).await;
            }
            RenewalStep::Ask(Question::Introspect { token }) => {
                renewal.introspected(crate::introspect::ask(&worker.shared, &token).await);
            }
            RenewalStep::Ask(Question::Redeem { name }) => {
                renewal.redeemed(crate::nodes::redeem(&worker.shared, &name).await);
            }
            RenewalStep::Ask(Question::Recall { name }) => crate::nodes::recall(&worker.shared, &name).await,
            RenewalStep::Ask(Question::Authorize { route, body }) => {
                renewal.authorized(crate::authorize::ask(&worker.shared, &route, body).await);
            }
            RenewalStep::Ask(Question::FirstMessage { .. } | Question::Wait { .. } | Question::Count(_)) => {
                return Renewed::Refused(Reason::CredentialInvalid, "renewal");
            }
        }
    }
}
