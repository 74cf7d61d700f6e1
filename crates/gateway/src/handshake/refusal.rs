//! How a client at the gate is told no, and what is written of it.

use std::net::IpAddr;

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Either;
use hyper::body::Incoming;
use portcullis_core::admission::{Admitted, Refusal};
use portcullis_core::event::Decision as Recorded;
use portcullis_core::policy::checked::RefuseWith;
use portcullis_core::verdict::Reason;

use super::answer::{accepted, first_protocol};
use super::{Body, Visit};
use crate::record::Draft;
use crate::worker::Worker;
use crate::{client_leg, problem, upstream};

impl Visit {
    pub(crate) fn refuse(&self, refusal: &Refusal, request: &Request<Incoming>) -> Response<Body> {
        let reference = self.note(refusal);
        let policy = self.worker.policy();
        let key = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned();
        if let (RefuseWith::Close, Some(key)) = (refusal.refuse_with, key) {
            let words = refusal.reason.words(policy.checked.detailed_errors()).to_owned();
            let code = refusal.reason.row().close_code;
            let protocol = first_protocol(request.headers());
            self.handover.set_then(move |leg, early| {
                let closes = async move { client_leg::Waiting::new(leg, early).close(code, &words).await };
                tokio::task::spawn_local(Box::pin(closes));
            });
            let mut response = accepted(&key, request.headers());
            if let Some(protocol) = protocol.and_then(|protocol| HeaderValue::from_str(&protocol).ok()) {
                response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
            }
            return response;
        }
        self.status(refusal, &reference)
    }

    /// A refusal by status, whatever the client speaks.
    pub(crate) fn refuse_by_status(&self, refusal: &Refusal) -> Response<Body> {
        self.status(refusal, &self.note(refusal))
    }

    fn status(&self, refusal: &Refusal, reference: &str) -> Response<Body> {
        let detailed = self.worker.policy().checked.detailed_errors();
        let mut response = problem::response(refusal.reason, detailed, reference, refusal.retry_after);
        response.headers_mut().extend(refusal.headers.clone());
        response.map(Either::Left)
    }

    /// Records a refusal; returns its reference.
    pub(super) fn note(&self, refusal: &Refusal) -> String {
        self.worker.shard().refused(refusal.reason, Recorded::Refused);
        self.worker.shared.gate.watch().refused(self.client, refusal.reason);
        self.worker.accuse(self.client, refusal.subject.as_deref(), refusal.reason, Recorded::Refused);
        let draft = Draft {
            source_ip: Some(self.client),
            connection: Some(self.connection_id.clone()),
            user: refusal.subject.clone(),
            route: refusal.route.clone(),
            metadata: self.agent(),
            ..Draft::new(refusal.reason, Recorded::Refused, refusal.check, refusal.detail.clone())
        };
        self.worker.refer(draft, self.worker.now())
    }

    pub(super) fn note_failure(&self, admitted: &Admitted, reason: Reason, detail: String) -> String {
        self.worker.shard().refused(reason, Recorded::Refused);
        let draft = self.caller(admitted).draft(reason, Recorded::Refused, "upstream", detail);
        self.worker.refer(draft, self.worker.now())
    }

    pub(super) fn failed(&self, admitted: &Admitted, reason: Reason, detail: String) -> Response<Body> {
        let reference = self.note_failure(admitted, reason, detail);
        let detailed = admitted.route.spec.errors.detailed;
        problem::response(reason, detailed, &reference, None).map(Either::Left)
    }

    /// An upstream's refusal reaches the client as it was said, except what belongs to the connection.
    pub(super) fn refused_by_upstream(
        &self,
        admitted: &Admitted,
        response: Response<Incoming>,
        lease: &upstream::Lease,
    ) -> Response<Body> {
        let status = response.status();
        let detail = format!("`{}` answered {status}", lease.authority());
        self.note_failure(admitted, Reason::UpstreamRefused, detail);
        let mut response = response.map(Either::Right);
        upstream::keep_end_to_end(response.headers_mut());
        // A 1xx would promise another answer.
        if status.is_informational() {
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
        // No byte of this socket is read as a second request: a client may have been fooled to speak frames.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// A refusal before a route is known.
pub(super) struct Plain {
    reason: Reason,
    check: &'static str,
    client: IpAddr,
}

impl Plain {
    pub(super) fn new(reason: Reason, check: &'static str, client: IpAddr) -> Self {
        Self { reason, check, client }
    }

    pub(super) fn tell(&self, worker: &Worker) -> Response<Body> {
        worker.shard().refused(self.reason, Recorded::Refused);
        worker.shared.gate.watch().refused(self.client, self.reason);
        worker.accuse(self.client, None, self.reason, Recorded::Refused);
        let draft = Draft {
            source_ip: Some(self.client),
            ..Draft::new(self.reason, Recorded::Refused, self.check, self.reason.row().internal.to_owned())
        };
        let reference = worker.refer(draft, worker.now());
        let detailed = worker.policy().checked.detailed_errors();
        problem::response(self.reason, detailed, &reference, None).map(Either::Left)
    }
}
