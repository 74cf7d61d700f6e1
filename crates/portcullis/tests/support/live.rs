//! A running program, and a WebSocket client of few words.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use portcullis_codec::{Decoder, Item, Limits, MessageKind, Scratch, Sender, encode_message};

use super::Folder;

/// Anything takes at most this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program that listens.
pub(crate) struct Live {
    pub(crate) child: Child,
    /// `127.0.0.1:PORT` of the gateway.
    pub(crate) gateway: String,
    /// `127.0.0.1:PORT` of the admin listener.
    pub(crate) admin: String,
    out: BufReader<ChildStdout>,
}

impl Live {
    /// Starts it, with both listeners on free ports, and waits until it listens.
    pub(crate) fn start(folder: &Folder, arguments: &[&str], log: &str) -> Self {
        let err = std::fs::File::create(folder.0.join(log)).unwrap();
        let mut command = super::program(&folder.0);
        command.args(arguments).args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(err).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = |start: &str| {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            let rest = line.strip_prefix(start).unwrap_or_else(|| panic!("{line}{}", folder.read(log)));
            rest.split_whitespace().next().unwrap().to_owned()
        };
        let gateway = line("listening gateway=http://");
        let admin = line("listening admin=http://");
        Self { child, gateway, admin, out }
    }

    /// The next line on standard output that holds `part`.
    pub(crate) fn line_with(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.out.read_line(&mut line).unwrap(), 0, "no line with {part}");
            if line.contains(part) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let done =
            std::process::Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(done.unwrap().success());
    }

    /// Its exit code, once it ends by itself.
    pub(crate) fn ends(&mut self) -> i32 {
        let mut code = None;
        eventually("the program ends", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        code.unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again until it holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The answer to a plain request: head and body.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of a handshake that is refused, 101 for one that is not.
pub(crate) fn handshake_status(address: &str, path: &str) -> u16 {
    Socket::open(address, path, "").map_or_else(|status| status, |_| 101)
}

/// One connection.
pub(crate) struct Socket {
    stream: TcpStream,
    decoder: Decoder,
    scratch: Scratch,
    pending: Vec<u8>,
}

/// What a socket heard.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    Json(serde_json::Value),
    Close(Option<u16>),
    Gone,
}

impl Socket {
    /// Connects; `headers` end in a line break each. The status when it is not 101.
    pub(crate) fn open(address: &str, path: &str, headers: &str) -> Result<Self, u16> {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let status: u16 = std::str::from_utf8(&head[9..12]).unwrap().parse().unwrap();
        if status != 101 {
            return Err(status);
        }
        // A browser fails a handshake that chooses none of the subprotocols it offered.
        let chosen = String::from_utf8_lossy(&head).to_lowercase().contains("sec-websocket-protocol: ");
        assert_eq!(chosen, headers.to_lowercase().contains("sec-websocket-protocol: "), "a subprotocol is chosen");
        let decoder = Decoder::new(Sender::Server, Limits::default(), None);
        Ok(Self { stream, decoder, scratch: Scratch::new(), pending: Vec::new() })
    }

    pub(crate) fn say(&mut self, text: &str) {
        let mut out = Vec::new();
        encode_message(&mut out, MessageKind::Text, text.as_bytes(), Some([1, 2, 3, 4]));
        self.stream.write_all(&out).unwrap();
    }

    /// The next message or close; pings are passed over.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            let step = self.decoder.decode(&self.pending, &mut self.scratch).unwrap();
            let heard = match step.item {
                Some(Item::Message(message)) => Some(Heard::Json(serde_json::from_slice(message.payload).unwrap())),
                Some(Item::Control(control)) => control.close.map(|close| Heard::Close(close.code)),
                None => None,
            };
            let consumed = step.consumed;
            self.pending.drain(..consumed);
            if let Some(heard) = heard {
                return heard;
            }
            if self.pending.is_empty() {
                let mut bytes = [0; 4096];
                match self.stream.read(&mut bytes) {
                    Ok(0) | Err(_) => return Heard::Gone,
                    Ok(read) => self.pending.extend_from_slice(&bytes[..read]),
                }
            }
        }
    }

    /// The next message, which must be one.
    #[track_caller]
    pub(crate) fn hear_json(&mut self) -> serde_json::Value {
        match self.hear() {
            Heard::Json(value) => value,
            other => panic!("{other:?}"),
        }
    }
}
