//! The credential comes as the connection's first message (SPEC 3.1): 101 first, then admission, then the upstream.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use portcullis_core::admission::{Admission, Answer, Decision};
use portcullis_core::verdict::Reason;

use super::answer::{accepted, first_protocol};
use super::{Body, Settled, Visit};
use crate::client_leg;
use crate::relay::leg::Leg;
use crate::relay::{Parts, Relay};
use crate::upstream::{self, Ask};

impl Visit {
    /// Says 101 first, for the credential comes as a message (SPEC 3.1); the upstream is dialled after it.
    pub(super) fn upgrade_for_credential(
        &self,
        admission: Admission,
        timeout: Duration,
        request: &Request<Incoming>,
    ) -> Response<Body> {
        let headers = request.headers();
        let key = headers.get(header::SEC_WEBSOCKET_KEY).cloned().unwrap_or_else(|| HeaderValue::from_static(""));
        let protocol = first_protocol(headers);
        let visit = Self {
            worker: Rc::clone(&self.worker),
            client: self.client,
            connection_id: self.connection_id.clone(),
            user_agent: self.user_agent.clone(),
            // What waits in the handover must not hold it.
            handover: Rc::default(),
        };
        self.handover.seated();
        let answered = protocol.clone();
        self.handover.set_then(move |leg, early| {
            let waits = async move { visit.credential_by_message(admission, timeout, leg, early, answered).await };
            tokio::task::spawn_local(Box::pin(waits));
        });
        let mut response = accepted(&key, request.headers());
        if let Some(protocol) = protocol.and_then(|protocol| HeaderValue::from_str(&protocol).ok()) {
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }

    async fn credential_by_message(
        &self,
        mut admission: Admission,
        timeout: Duration,
        leg: Leg,
        early: Bytes,
        protocol: Option<String>,
    ) {
        let mut waiting = client_leg::Waiting::new(leg, early);
        let message = tokio::time::timeout(timeout, waiting.first_message()).await.unwrap_or_default();
        let step = admission.answer(Answer::FirstMessage(message), self.worker.now());
        let decision = match self.settle(&mut admission, step).await {
            Settled::Done(decision) => *decision,
            // It cannot be asked for twice.
            Settled::FirstMessage(_) => return,
        };
        let mut admitted = match decision {
            Decision::Admit(admitted) => admitted,
            Decision::PassHttp(_) => return,
            Decision::Refuse(refusal) => {
                self.note(&refusal);
                let words = refusal.reason.words(self.worker.policy().checked.detailed_errors());
                return waiting.close(refusal.reason.row().close_code, words).await;
            }
        };
        let ask = Ask {
            path: &admitted.upstream_uri_path,
            headers: &mut admitted.upstream_headers,
            protocols: protocol.as_slice(),
            balance_key: admitted.balance_key,
            deflate: None,
        };
        let failure = match upstream::open(&self.worker, &admitted.route, ask).await {
            Ok(upstream::Answer::Opened(opened)) if opened.protocol == protocol => {
                let (client, client_early) = waiting.into_socket();
                let caller = self.caller(&admitted);
                self.note_listed(&caller);
                self.note_arrival(&admitted, None);
                let parts = Parts {
                    caller,
                    seat: admitted.seat,
                    lease: opened.lease,
                    client,
                    client_early,
                    upstream: opened.leg,
                    upstream_early: opened.early,
                    deflate: None,
                };
                tokio::task::spawn_local(Relay::task(Rc::clone(&self.worker), parts));
                return;
            }
            Ok(upstream::Answer::Opened(_)) => upstream::Failure {
                reason: Reason::UpstreamProtocol,
                detail: String::from("it chose another subprotocol than the client was told"),
            },
            Ok(upstream::Answer::Refused(response, _)) => upstream::Failure {
                reason: Reason::UpstreamRefused,
                detail: format!("it answered {}", response.status()),
            },
            Err(failure) => failure,
        };
        self.note_failure(&admitted, failure.reason, failure.detail);
        let detailed = admitted.route.spec.errors.detailed;
        waiting.close(failure.reason.row().close_code, failure.reason.words(detailed)).await;
    }
}
