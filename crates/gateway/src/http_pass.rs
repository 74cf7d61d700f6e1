//! Plain HTTP on a route that passes it (SPEC 1.3): one request to the route's backend, its answer back.
//!
//! Headers are those admission rebuilt; an upgrade to anything is not among them. A request's body streams with
//! a limit in bytes; nothing of it is looked at.

use std::rc::Rc;

use http::{Request, Response};
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use portcullis_core::admission::Admitted;
use portcullis_core::verdict::Reason;

use crate::upstream::{self, Failure};
use crate::worker::Worker;

/// Largest request body passed on.
pub(crate) const BODY_BYTES_MAX: usize = 16 << 20;

/// Sends the request on.
pub(crate) async fn forward(
    worker: &Rc<Worker>,
    admitted: &Admitted,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, Failure> {
    let within = admitted.route.spec.times.upstream_connect;
    let late =
        || Failure { reason: Reason::UpstreamTimeout, detail: format!("no answer within {} ms", within.as_millis()) };
    let dialled = upstream::dial(worker, &admitted.route, admitted.balance_key);
    let (leg, lease) = tokio::time::timeout(within, dialled).await.map_err(|_| late())??;
    let broken = |detail: String| Failure {
        reason: Reason::UpstreamProtocol,
        detail: format!("`{}`: {detail}", lease.authority()),
    };
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .handshake(TokioIo::new(leg))
        .await
        .map_err(|error| broken(error.to_string()))?;
    let path = format!("{}{}", lease.path_prefix(), admitted.upstream_uri_path);
    let uri = path.parse().map_err(|_| broken(String::from("the path cannot be written")))?;
    let host = lease.authority().parse().map_err(|_| broken(String::from("the host cannot be written")))?;
    tokio::task::spawn_local(async move {
        // The place at the backend is held until its answer is through; its errors come out of `send_request`.
        let _lease = lease;
        let _ = connection.await;
    });
    let mut outgoing = Request::new(());
    *outgoing.method_mut() = request.method().clone();
    *outgoing.uri_mut() = uri;
    *outgoing.headers_mut() = admitted.upstream_headers.clone();
    outgoing.headers_mut().insert(http::header::HOST, host);
    let outgoing = outgoing.map(|()| Limited::new(request.into_body(), BODY_BYTES_MAX));
    let answer = tokio::time::timeout(within, sender.send_request(outgoing)).await.map_err(|_| late())?;
    let mut response =
        answer.map_err(|error| Failure { reason: Reason::UpstreamProtocol, detail: error.to_string() })?;
    upstream::keep_end_to_end(response.headers_mut());
    Ok(response)
}
