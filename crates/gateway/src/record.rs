//! From a decision to an event: ids, time and the caller's names put around what a check said.

use portcullis_core::event::{Decision, Event};
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
    pub metadata: Vec<(&'static str, String)>,
}

impl Draft {
    /// An event about no connection.
    pub(crate) fn new(reason: Reason, decision: Decision, check: &'static str, detail: String) -> Self {
        Self {
            reason,
            decision,
            check,
            detail,
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

    /// The event, with a fresh id whose first part is the time (UUID version 7).
    pub(crate) fn into_event(self, now: Now) -> Event {
        let event = Event {
            id: uuid::Uuid::now_v7().to_string(),
            time_unix_ms: now.unix_millis(),
            reason: self.reason,
            decision: self.decision,
            check: self.check,
            source_ip: self.source_ip,
            connection: self.connection,
            session: self.session,
            user: self.user,
            tenant: self.tenant,
            route: self.route,
            message_type: self.message_type,
            detail: self.detail,
            metadata: self.metadata,
        };
        log(&event);
        event
    }
}

/// One structured log line an event: refusals where someone reads them, the ordinary at debug.
fn log(event: &Event) {
    let row = event.reason.row();
    let ip = event.source_ip.map(tracing::field::display);
    let connection = event.connection.as_deref().unwrap_or_default();
    let route = event.route.as_deref().unwrap_or_default();
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
        let owned = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        Draft {
            source_ip: Some(self.client),
            connection: Some(self.connection_id.clone()),
            session: owned(&self.principal.session),
            user: owned(&self.principal.subject),
            tenant: owned(&self.principal.tenant),
            route: Some(self.route.spec.name.clone()),
            ..Draft::new(reason, decision, check, detail)
        }
    }
}
