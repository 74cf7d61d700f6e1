//! From a decision to an event: ids, time and the caller's names put around what a check said.

use std::net::IpAddr;
use std::sync::Arc;

use portcullis_core::event::{Decision, Event, Fact, Origin};
use portcullis_core::identity::Principal;
use portcullis_core::policy::Route;
use portcullis_core::time::Now;
use portcullis_core::verdict::{Reason, Severity};

use crate::relay::Caller;

/// An event without its id and time.
pub(crate) struct Draft {
    /// Why.
    pub reason: Reason,
    /// What was done.
    pub decision: Decision,
    /// Which check.
    pub check: &'static str,
    /// Words for operators.
    pub detail: String,
    /// Whom it is about, where that is known already; the next six fields say it otherwise.
    pub origin: Option<Arc<Origin>>,
    /// Client address.
    pub source_ip: Option<std::net::IpAddr>,
    /// Connection id.
    pub connection: Option<String>,
    /// Session id.
    pub session: Option<String>,
    /// Subject.
    pub user: Option<String>,
    /// Tenant.
    pub tenant: Option<String>,
    /// Route name.
    pub route: Option<String>,
    /// Message type.
    pub message_type: Option<String>,
    /// More facts.
    pub metadata: Vec<(&'static str, Fact)>,
}

impl Draft {
    /// An event about no connection.
    pub(crate) fn new(reason: Reason, decision: Decision, check: &'static str, detail: String) -> Self {
        Self {
            reason,
            decision,
            check,
            detail,
            origin: None,
            source_ip: None,
            connection: None,
            session: None,
            user: None,
            tenant: None,
            route: None,
            message_type: None,
            metadata: Vec::new(),
        }
    }

    /// The event, with a fresh id.
    pub(crate) fn into_event(self, now: Now) -> Event {
        let Self { source_ip, connection, session, user, tenant, route, .. } = self;
        let loose = || Arc::new(Origin { source_ip, connection, session, user, tenant, route });
        let event = Event {
            id: fresh_id(now.unix_millis()),
            time_unix_ms: now.unix_millis(),
            reason: self.reason,
            decision: self.decision,
            check: self.check,
            origin: self.origin.unwrap_or_else(loose),
            message_type: self.message_type,
            detail: self.detail,
            metadata: self.metadata,
        };
        log(&event);
        event
    }
}

/// A UUID version 7 of a time in Unix milliseconds: that of the event, so that ids sort as times do. No clock is read for
/// it, and no counter shared.
pub(crate) fn fresh_id(unix_ms: u64) -> String {
    // Of a version 4, what is random in each byte: all but its seventh and ninth.
    let [a, b, c, d, e, f, _, g, _, h, i, j, ..] = uuid::Uuid::new_v4().into_bytes();
    let id = uuid::Builder::from_unix_timestamp_millis(unix_ms, &[a, b, c, d, e, f, g, h, i, j]).into_uuid();
    id.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).to_owned()
}

/// One structured log line an event: refusals where someone reads them, the ordinary at debug.
fn log(event: &Event) {
    let row = event.reason.row();
    let ip = event.origin.source_ip.map(tracing::field::display);
    let connection = event.origin.connection.as_deref().unwrap_or_default();
    let route = event.origin.route.as_deref().unwrap_or_default();
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "portcullis::event",
                reference = %event.id, reason = row.label, decision = event.decision.label(), check = event.check,
                ip, connection, route, "{}", event.detail
            )
        };
    }
    match row.severity {
        Severity::Low => line!(debug),
        Severity::Medium | Severity::High => line!(info),
        Severity::Critical => line!(warn),
    }
}

impl Caller {
    /// An event about this connection.
    pub(crate) fn draft(&self, reason: Reason, decision: Decision, check: &'static str, detail: String) -> Draft {
        Draft { origin: Some(Arc::clone(&self.origin)), ..Draft::new(reason, decision, check, detail) }
    }

    /// What its events share.
    pub(crate) fn origin(connection_id: &str, client: IpAddr, principal: &Principal, route: &Route) -> Arc<Origin> {
        let owned = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        Arc::new(Origin {
            source_ip: Some(client),
            connection: Some(connection_id.to_owned()),
            session: owned(&principal.session),
            user: owned(&principal.subject),
            tenant: owned(&principal.tenant),
            route: Some(route.spec.name.clone()),
        })
    }

    /// Goes on as another principal, or under another policy's route.
    pub(crate) fn become_of(&mut self, principal: Arc<Principal>, route: Arc<Route>) {
        self.origin = Self::origin(&self.connection_id, self.client, &principal, &route);
        (self.principal, self.route) = (principal, route);
    }
}
