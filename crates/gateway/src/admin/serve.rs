//! Serves the router: bounded connections, bounded and timed request heads.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::Service as _;

/// Connections to the admin listener at once; further ones wait to be accepted.
pub const ADMIN_CONNECTIONS_MAX: usize = 256;
/// From accept, or the answer before, to a complete request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Pause after a failed accept: the system is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is ready; connections still open are cut then.
pub async fn serve(listener: TcpListener, router: axum::Router, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX));
    let mut open = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return,
            Some(_) = open.join_next() => continue,
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                listener.accept().await.map(|(stream, peer)| (stream, peer, place))
            } => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let router = router.clone();
                open.spawn(async move {
                    let _place = place;
                    connection(stream, peer, router).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: tokio::net::TcpStream, peer: SocketAddr, router: axum::Router) {
    let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut router = router.clone();
        async move { Ok::<_, Infallible>(router.call(request).await.unwrap_or_else(|never| match never {})) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "an admin connection ended early");
    }
}
