//! tokio-tungstenite on both sides of the real binary: a client and a backend nobody here wrote.
//!
//! Everything waits for a condition with a bound; ports are picked by the system.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, accept_hdr_async, connect_async};

const PATIENCE: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An echo backend; a text `close N` makes it close with that code.
async fn backend() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    url
}

#[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
fn agree(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    if let Some(offered) = request.headers().get("sec-websocket-protocol") {
        let first = offered.to_str().unwrap().split(',').next().unwrap().trim().parse().unwrap();
        response.headers_mut().insert("sec-websocket-protocol", first);
    }
    Ok(response)
}

async fn serve(stream: TcpStream) {
    let Ok(mut socket) = accept_hdr_async(stream, agree).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        let wish = message.to_text().ok().and_then(|text| text.strip_prefix("close ")?.parse::<u16>().ok());
        if let (Message::Text(_), Some(code)) = (&message, wish) {
            let frame = CloseFrame { code: CloseCode::from(code), reason: "that is all".into() };
            let _ = socket.close(Some(frame)).await;
        } else if matches!(message, Message::Text(_) | Message::Binary(_)) {
            let _ = socket.send(message).await;
        }
    }
}

/// A state folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("portcullis-tungstenite-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The binary before a backend; ends with the value.
struct Gateway {
    _child: Child,
    _state: Folder,
    url: String,
}

impl Gateway {
    async fn before(upstream: &str) -> Self {
        let state = Folder::new();
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["serve", "--upstream", upstream, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--state"])
            .arg(&state.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = timeout(PATIENCE, async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the gateway ended before it listened");
                if line.starts_with("listening") && !line.contains("admin") {
                    let at = line.find("127.0.0.1:").unwrap();
                    return line[at..].split([' ', '/']).next().unwrap().to_owned();
                }
            }
        })
        .await
        .unwrap();
        // The rest is read, so that the gateway never blocks on its own words.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { _child: child, _state: state, url: format!("ws://{address}/socket") }
    }

    async fn open(&self) -> Socket {
        timeout(PATIENCE, connect_async(&self.url)).await.unwrap().unwrap().0
    }
}

async fn receive(socket: &mut Socket) -> Message {
    loop {
        let message = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        if !message.is_ping() {
            return message;
        }
    }
}

#[tokio::test]
async fn text_and_binary_of_every_length_form_come_back_as_they_were() {
    let gateway = Gateway::before(&backend().await).await;
    let mut socket = gateway.open().await;
    for size in [0, 1, 125, 126, 127, 65_535, 65_536, (1 << 20) - 1] {
        for message in [Message::text("é".repeat(size / 2)), Message::binary(vec![0xA5; size])] {
            socket.send(message.clone()).await.unwrap();
            assert_eq!(receive(&mut socket).await, message, "{size} bytes");
        }
    }
}

#[tokio::test]
async fn close_codes_pass_both_ways() {
    let gateway = Gateway::before(&backend().await).await;
    for code in [1000, 3000, 3999, 4000, 4999] {
        let mut socket = gateway.open().await;
        let frame = CloseFrame { code: CloseCode::from(code), reason: "enough".into() };
        socket.close(Some(frame.clone())).await.unwrap();
        assert_eq!(receive(&mut socket).await, Message::Close(Some(frame)), "from the client");

        let mut socket = gateway.open().await;
        socket.send(Message::text(format!("close {code}"))).await.unwrap();
        let Message::Close(Some(frame)) = receive(&mut socket).await else { panic!("no close came") };
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (code, "that is all"), "from the backend");
    }
}

#[tokio::test]
async fn a_ping_is_answered() {
    let gateway = Gateway::before(&backend().await).await;
    let mut socket = gateway.open().await;
    socket.send(Message::Ping("are you there".into())).await.unwrap();
    assert_eq!(receive(&mut socket).await, Message::Pong("are you there".into()));
}

#[tokio::test]
async fn the_subprotocol_is_negotiated_end_to_end() {
    let gateway = Gateway::before(&backend().await).await;
    let mut request = gateway.url.as_str().into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "chat.v2, chat.v1".parse().unwrap());
    let (_, response) = timeout(PATIENCE, connect_async(request)).await.unwrap().unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat.v2");
}

#[tokio::test]
async fn a_backend_that_is_down_is_a_bad_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let gateway = Gateway::before(&nobody).await;
    match timeout(PATIENCE, connect_async(&gateway.url)).await.unwrap() {
        Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), 502),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn malformed_json_is_answered_and_the_socket_stays_up() {
    let gateway = Gateway::before(&backend().await).await;
    let mut socket = gateway.open().await;
    socket.send(Message::text(r#"{"type":"chat","#)).await.unwrap();
    let reply = receive(&mut socket).await.into_text().unwrap();
    assert!(reply.contains("json_malformed"), "{reply}");
    socket.send(Message::text(r#"{"type":"chat"}"#)).await.unwrap();
    assert_eq!(receive(&mut socket).await, Message::text(r#"{"type":"chat"}"#));
}
