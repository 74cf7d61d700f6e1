//! One-time tickets over HTTP (SPEC 3.1): `POST <path>?for=/ws/room1` with a credential answers
//! `{"ticket":"pct_…","expires_in_ms":10000}`; `OPTIONS` answers a page's preflight (Fetch, CORS protocol).
//!
//! Decides nothing: admission judges the request as it would judge the connection, origin included.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use portcullis_core::admission::{Admission, Admitted, Decision, Head, Refusal, may_ask};
use portcullis_core::event::Decision as Recorded;
use portcullis_core::identity::ticket::{Fare, RANDOM_BYTES};
use portcullis_core::policy::checked::{RefuseWith, Tickets};
use portcullis_core::verdict::Reason;

use crate::cross_origin;
use crate::handshake::{Body, Settled, Visit};
use crate::record::Draft;

/// Answers a request to the ticket path.
pub(crate) async fn serve(
    visit: &Visit,
    admission: Admission,
    tickets: &Tickets,
    tls: bool,
    request: Request<Incoming>,
) -> Response<Body> {
    let issue = async |visit: &Visit, admitted: &Admitted| issue(visit, admitted, tickets).await;
    answer(visit, admission, tls, request, issue).await
}

/// Answers a request for something that `issue` makes for a caller whom the route of `for` would admit.
pub(crate) async fn answer(
    visit: &Visit,
    mut admission: Admission,
    tls: bool,
    request: Request<Incoming>,
    issue: impl AsyncFnOnce(&Visit, &Admitted) -> Result<Response<Body>, Box<Refusal>>,
) -> Response<Body> {
    let Some(target) = target(request.uri()) else {
        let words = "`?for=` must name the path of the connection, as `?for=/ws/room1`";
        return visit.refuse(&refusal(Reason::HandshakeMalformed, words), &request);
    };
    let headers = request.headers().clone();
    let allowed = may_ask(visit.worker.policy().as_ref(), target.path(), &headers, tls);
    if request.method() == Method::OPTIONS {
        return cross_origin::preflight(&headers, allowed, "POST");
    }
    if request.method() != Method::POST {
        return cross_origin::method_not_allowed("POST, OPTIONS");
    }
    let head = Head { method: request.method(), uri: &target, version: request.version(), headers: &headers };
    let step = admission.arrive_for_ticket(&head, visit.worker.shared.clock.now());
    let mut response = match visit.settle(&mut admission, step).await {
        Settled::Done(decision) => match *decision {
            Decision::PassHttp(admitted) => match issue(visit, &admitted).await {
                Ok(response) => response,
                Err(refused) => visit.refuse(&refused, &request),
            },
            Decision::Refuse(refused) => visit.refuse(&refused, &request),
            Decision::Admit(_) => {
                visit.refuse(&refusal(Reason::HandshakeMalformed, "no ticket is a connection"), &request)
            }
        },
        Settled::FirstMessage(_) => visit
            .refuse(&refusal(Reason::CredentialMissing, "a ticket is fetched with a credential in its head"), &request),
    };
    if allowed {
        cross_origin::allow(&headers, response.headers_mut());
    }
    response
}

async fn issue(visit: &Visit, admitted: &Admitted, tickets: &Tickets) -> Result<Response<Body>, Box<Refusal>> {
    if admitted.principal.is_anonymous() {
        return Err(refusal(Reason::CredentialMissing, "nobody needs a ticket to come as a guest"));
    }
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|_| refusal(Reason::TicketsFull, "the system gave no random numbers"))?;
    let now = visit.worker.shared.clock.now();
    let fare = Fare {
        principal: std::sync::Arc::clone(&admitted.principal),
        route: admitted.route.spec.name.as_str().into(),
        ip: admitted.ip_key,
    };
    let ticket = visit.worker.shared.gate.tickets().issue(&random, fare, tickets.ttl, now);
    let ticket = ticket.ok_or_else(|| refusal(Reason::TicketsFull, Reason::TicketsFull.row().internal))?;
    crate::nodes::keep_ticket(&visit.worker.shared, &ticket, tickets.ttl).await;
    let draft = Draft {
        source_ip: Some(visit.client),
        user: admitted.principal.subject.as_deref().map(str::to_owned),
        tenant: admitted.principal.tenant.as_deref().map(str::to_owned),
        route: Some(admitted.route.spec.name.clone()),
        ..Draft::new(Reason::TicketIssued, Recorded::Allowed, "ticket", String::new())
    };
    visit.worker.record(draft, now);
    let body = serde_json::json!({
        "ticket": ticket,
        "expires_in_ms": u64::try_from(tickets.ttl.as_millis()).unwrap_or(u64::MAX),
    });
    Ok(created(&body, admitted))
}

/// What was issued; it is for one reader, and to be kept nowhere.
pub(crate) fn created(body: &serde_json::Value, admitted: &Admitted) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(body.to_string()))));
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.extend(admitted.response_headers.clone());
    response
}

pub(crate) fn refusal(reason: Reason, detail: &str) -> Box<Refusal> {
    Box::new(Refusal {
        reason,
        check: "ticket",
        refuse_with: RefuseWith::Status,
        retry_after: None,
        headers: HeaderMap::new(),
        detail: detail.to_owned(),
        route: None,
        subject: None,
    })
}

/// The path that `for` names, without a query.
fn target(uri: &Uri) -> Option<Uri> {
    let query = uri.query()?;
    let mut named = query.split('&').filter_map(|pair| pair.strip_prefix("for="));
    let path = percent_decode_str(named.next()?).decode_utf8().ok()?;
    let path = path.split('?').next().filter(|path| path.starts_with('/') && named.next().is_none())?;
    path.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn a_target_is_one_path() {
        let path = |uri: &str| target(&uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(path("/t?for=/ws/room1").as_deref(), Some("/ws/room1"));
        assert_eq!(path("/t?x=1&for=%2Fws%2Froom1").as_deref(), Some("/ws/room1"));
        assert_eq!(path("/t?for=/ws?token=x").as_deref(), Some("/ws"));
        for bad in
            ["/t", "/t?for=", "/t?for=ws", "/t?for=http://a.example/", "/t?for=/a&for=/b", "/t?for=/%0a", "/t?for=%ff"]
        {
            assert_eq!(path(bad), None, "{bad}");
        }
    }
}
