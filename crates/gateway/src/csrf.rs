//! Tokens against cross-site request forgery over HTTP (SPEC 8.7): `POST <path>?for=/ws/room1&type=transfer` with a credential
//! answers `{"token":"pcc_…","expires_in_ms":3600000}`.
//!
//! Over HTTP and not over the connection, for a foreign page can open a connection with a visitor's cookie and ask there;
//! here its browser keeps the answer from it, unless `origins` allow it.

use http::{Request, Response};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use portcullis_core::admission::{Admission, Admitted, Refusal};
use portcullis_core::event::Decision as Recorded;
use portcullis_core::identity::csrf::{Purpose, RANDOM_BYTES};
use portcullis_core::policy::checked::CsrfTokens;
use portcullis_core::verdict::Reason;

use crate::handshake::{Body, Visit};
use crate::record::Draft;
use crate::ticket::{self, refusal};

/// Longest type of message that a token is made for, bytes.
const TYPE_BYTES_MAX: usize = 256;

/// Answers a request to the path of tokens.
pub(crate) async fn serve(
    visit: &Visit,
    admission: Admission,
    tokens: &CsrfTokens,
    tls: bool,
    request: Request<Incoming>,
) -> Response<Body> {
    let operation = operation(request.uri().query().unwrap_or_default());
    let issue = async |visit: &Visit, admitted: &Admitted| issue(visit, admitted, tokens, operation);
    ticket::answer(visit, admission, tls, request, issue).await
}

fn issue(
    visit: &Visit,
    admitted: &Admitted,
    tokens: &CsrfTokens,
    operation: Option<String>,
) -> Result<Response<Body>, Box<Refusal>> {
    let Some(operation) = operation else {
        return Err(refusal(Reason::HandshakeMalformed, "`&type=` must name one type of message, as `&type=transfer`"));
    };
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|_| refusal(Reason::ServerFull, "the system gave no random numbers"))?;
    let now = visit.worker.shared.clock.now();
    let purpose =
        Purpose { route: &admitted.route.spec.name, principal: &admitted.principal, operation: operation.as_bytes() };
    let token = tokens.signer.issue(&purpose, random, now.unix_seconds());
    let token = token.ok_or_else(|| refusal(Reason::CredentialMissing, "a token is bound to somebody"))?;
    let draft = Draft {
        source_ip: Some(visit.client),
        user: admitted.principal.subject.as_deref().map(str::to_owned),
        tenant: admitted.principal.tenant.as_deref().map(str::to_owned),
        route: Some(admitted.route.spec.name.clone()),
        message_type: Some(operation),
        ..Draft::new(Reason::CsrfIssued, Recorded::Allowed, "csrf", String::new())
    };
    visit.worker.record(draft, now);
    let body = serde_json::json!({
        "token": token,
        "expires_in_ms": u64::try_from(tokens.signer.ttl().as_millis()).unwrap_or(u64::MAX),
    });
    Ok(ticket::created(&body, admitted))
}

/// The one type that `type` names.
fn operation(query: &str) -> Option<String> {
    let mut named = query.split('&').filter_map(|pair| pair.strip_prefix("type="));
    let name = percent_decode_str(named.next()?).decode_utf8().ok()?;
    let fits = !name.is_empty() && name.len() <= TYPE_BYTES_MAX && named.next().is_none();
    fits.then(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::operation;

    #[test]
    fn an_operation_is_one_type() {
        assert_eq!(operation("for=/ws&type=pay%20now").as_deref(), Some("pay now"));
        let long = format!("type={}", "x".repeat(257));
        for bad in ["", "for=/ws", "type=", "type=a&type=b", "type=%ff", long.as_str()] {
            assert_eq!(operation(bad), None, "{bad}");
        }
    }
}
