//! Facts against clients, told to the scores; what a score leads to, recorded (SPEC 7.1).
//!
//! The rules are the core's. A ban is ordered there and put on the blocklist by [`crate::blocklist`].

use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::event::Decision;
use portcullis_core::policy::checked::AnomalyAction;
use portcullis_core::reputation::{Fact, Risen, Standing, Target, Unusual};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;

use crate::record::Draft;
#[cfg(feature = "redis")]
use crate::shared::Shared;
use crate::worker::Worker;

impl Worker {
    /// How long a caller is not read for after an offence: nothing, unless its score has it slowed.
    pub(crate) fn slowed_for(&self, client: IpAddr, subject: Option<&str>) -> Duration {
        let slowed = self.shared.gate.scores().standing(client, subject, self.now()) >= Standing::Slowed;
        if slowed { self.policy().checked.reputation.delay } else { Duration::ZERO }
    }

    /// Counts what was refused against who was refused: the subject where there is one, else the address. What is only
    /// observed counts nothing.
    pub(crate) fn accuse(&self, client: IpAddr, subject: Option<&str>, reason: Reason, decision: Decision) {
        if matches!(decision, Decision::Dropped | Decision::Replied | Decision::Refused | Decision::Closed)
            && let Some(fact) = Fact::of(reason)
        {
            if matches!(fact, Fact::FailedAuthentication | Fact::RefusedHandshake) {
                self.shared.gate.provenance().failure(client);
            }
            self.count_fact(fact, client, subject);
        }
    }

    /// Counts a fact.
    pub(crate) fn count_fact(&self, fact: Fact, client: IpAddr, subject: Option<&str>) {
        let now = self.now();
        for risen in self.shared.gate.scores().count(fact, client, subject, now) {
            self.tell_risen(risen, client, now);
        }
    }

    /// A user has connected: what of it is unusual.
    pub(crate) fn arrived(&self, client: IpAddr, subject: &str, agent: Option<&str>) {
        let gate = &self.shared.gate;
        if gate.anomalies().is_on() {
            let now = self.now();
            let country = gate.provenance().locate(client).country;
            let unusual = gate.anomalies().arrived(subject, country, agent, now);
            self.tell_unusual(unusual, client, subject, now);
        }
    }

    /// A user has sent so much on one connection since it was looked at last.
    pub(crate) fn sent(&self, client: IpAddr, subject: &str, (messages, bytes, types): (u32, u64, u64), now: Now) {
        let unusual = self.shared.gate.anomalies().sent(subject, messages, bytes, types, now);
        self.tell_unusual(unusual, client, subject, now);
    }

    fn tell_unusual(&self, unusual: Option<Unusual>, client: IpAddr, subject: &str, now: Now) {
        let Some(Unusual { action, detail }) = unusual else { return };
        self.shard().refused(Reason::Anomaly, Decision::Observed);
        let draft = Draft {
            source_ip: Some(client),
            user: Some(subject.to_owned()),
            ..Draft::new(Reason::Anomaly, Decision::Observed, "anomaly", detail.clone())
        };
        self.record(draft, now);
        match action {
            AnomalyAction::Observe => {}
            AnomalyAction::Score => self.count_fact(Fact::Anomaly, client, Some(subject)),
            AnomalyAction::Reauthenticate | AnomalyAction::Ban => {
                let banned = action == AnomalyAction::Ban;
                if !self.shared.gate.scores().order_user(subject, banned, &format!("unusual: {detail}"), now) {
                    tracing::error!("a user that is unusual could not be put on the blocklist");
                }
            }
        }
    }

    fn tell_risen(&self, risen: Risen, client: IpAddr, now: Now) {
        let draft = drafted(risen, Some(client));
        self.shard().refused(draft.reason, draft.decision);
        self.record(draft, now);
    }
}

/// A standing that has risen by what several nodes counted.
#[cfg(feature = "redis")]
pub(crate) fn risen_elsewhere(shared: &Shared, risen: Risen, now: Now) {
    let client = if let Target::Network(net) = &risen.target { Some(net.addr()) } else { None };
    let draft = drafted(risen, client);
    shared.metrics.shard(0).refused(draft.reason, draft.decision);
    shared.record(draft.into_event(now));
}

fn drafted(risen: Risen, client: Option<IpAddr>) -> Draft {
    let Risen { target, to, detail } = risen;
    let (reason, decision) = if to == Standing::Banned {
        (Reason::ReputationBan, Decision::Refused)
    } else {
        (Reason::ReputationStanding, Decision::Observed)
    };
    tracing::warn!("{target} is {}: {detail}", to.label());
    let user = if let Target::User(subject) = &target { Some(subject.clone()) } else { None };
    let mut draft = Draft {
        source_ip: client,
        user,
        ..Draft::new(reason, decision, "reputation", format!("{target} is {}: {detail}", to.label()))
    };
    draft.metadata.push(("standing", to.label().into()));
    draft
}
