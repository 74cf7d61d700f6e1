//! One WebSocket connection of the load: opens, keeps messages in flight, checks their echoes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::chat::{Chat, ID_BYTES, ID_OFFSET, Id, fresh_id};
use crate::failure::Failure;
use crate::wire::{self, CLOSE, Chance, Deframer, FIN, Head, PING, PONG, Piece};

/// A handshake that takes longer has failed, in seconds.
pub(crate) const HANDSHAKE_S: u64 = 10;
/// One read takes at most this many bytes; one buffer a thread, none a connection.
const READ_BYTES: usize = 256 * 1024;
const WATCHED_BYTES: usize = ID_OFFSET + ID_BYTES;

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Reads once, whatever is there, and hands it to `take`.
pub(crate) fn poll_read_into<T>(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    take: impl FnOnce(&mut [u8]) -> Result<T, Failure>,
) -> Poll<Result<T, Failure>> {
    READ.with_borrow_mut(|scratch| {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Err(Failure::Closed));
        }
        Poll::Ready(take(buffer.filled_mut()))
    })
}

/// Bytes on their way out.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) bytes: Vec<u8>,
    written: usize,
}

impl Outbox {
    pub(crate) fn poll_flush(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        while let Some(rest @ [_, ..]) = self.bytes.get(self.written..) {
            self.written += ready!(Pin::new(&mut *stream).poll_write(cx, rest))?;
        }
        self.bytes.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

/// Whom to connect to and with what request.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    path: String,
    token: Option<String>,
}

impl Target {
    /// Takes `ws://127.0.0.1:PORT/PATH`: the tool loads nothing beyond this machine.
    pub(crate) fn new(url: &str, token: Option<String>) -> Result<Self, Failure> {
        let wrong = || Failure::Url(url.to_owned());
        let rest = url.strip_prefix("ws://").ok_or_else(wrong)?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address: SocketAddr = host.parse().map_err(|_| wrong())?;
        if !address.ip().is_loopback() {
            return Err(wrong());
        }
        Ok(Self { address, path: format!("/{path}"), token })
    }

    /// The opening request. Every gateway gets the headers a TLS proxy in front would add.
    fn request(&self, key: &str) -> String {
        let Self { address, path, token } = self;
        let bearer = token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\
             X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\n{}\r\n",
            bearer.unwrap_or_default()
        )
    }

    /// Connects and shakes hands; returns the stream and what followed the answer's head.
    pub(crate) async fn open(&self, chance: &mut Chance) -> Result<(TcpStream, Vec<u8>), Failure> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let key = chance.websocket_key();
        stream.write_all(self.request(&key).as_bytes()).await?;
        let (head, rest) = read_head(&mut stream).await?;
        let status = head.lines().next().unwrap_or_default();
        if !status.starts_with("HTTP/1.1 101") {
            return Err(Failure::Refused(status.to_owned()));
        }
        if wire::header(&head, "sec-websocket-accept") != Some(&wire::accept_for(&key)) {
            return Err(Failure::Protocol("wrong `Sec-WebSocket-Accept`"));
        }
        Ok((stream, rest))
    }
}

/// Reads an HTTP head; returns it and what followed it.
pub(crate) async fn read_head(stream: &mut TcpStream) -> Result<(String, Vec<u8>), Failure> {
    let mut bytes = Vec::with_capacity(1024);
    while bytes.len() < wire::HEAD_BYTES_MAX {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(Failure::Closed);
        }
        if let Some(end) = wire::head_end(&bytes) {
            let rest = bytes.split_off(end);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
    }
    Err(Failure::Protocol("an HTTP head without an end"))
}

/// Echoes that came back in one turn.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Echoes {
    pub(crate) right: u64,
    /// Of another length or with another id than what was sent.
    pub(crate) altered: u64,
}

#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    chance: Chance,
    outbox: Outbox,
    receiver: Receiver,
}

impl Client {
    /// Opens a connection; `seed` makes its masks and ids its own.
    pub(crate) async fn open(target: &Target, seed: u64) -> Result<Self, Failure> {
        let mut chance = Chance::new(seed);
        let opening = timeout(Duration::from_secs(HANDSHAKE_S), target.open(&mut chance));
        let (stream, mut rest) = opening.await.map_err(|_| Failure::Timeout(HANDSHAKE_S))??;
        let mut client = Self { stream, chance, outbox: Outbox::default(), receiver: Receiver::default() };
        client.receiver.take(&mut rest, &mut client.outbox.bytes)?;
        Ok(client)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.receiver.in_flight()
    }

    /// Queues one message; it leaves with the next turn.
    pub(crate) fn queue(&mut self, chat: &Chat, unix_s: u64) {
        let id = fresh_id(&mut self.chance);
        chat.write_frame(&mut self.outbox.bytes, &id, unix_s, self.chance.mask());
        self.receiver.expect(id, chat.size_bytes());
    }

    /// Writes what is queued as far as the socket takes it, and waits for something to read.
    pub(crate) async fn turn(&mut self) -> Result<Echoes, Failure> {
        let Self { stream, outbox, receiver, .. } = self;
        poll_fn(|cx| {
            if let Poll::Ready(Err(failure)) = outbox.poll_flush(stream, cx) {
                return Poll::Ready(Err(failure));
            }
            poll_read_into(stream, cx, |data| receiver.take(data, &mut outbox.bytes))
        })
        .await
    }

    /// Sends a Close and waits until the other side has ended the connection.
    pub(crate) async fn close(mut self) -> Result<(), Failure> {
        let head = Head { first_byte: FIN | CLOSE, mask: Some(self.chance.mask()), payload_bytes: 2 };
        head.encode(&mut self.outbox.bytes);
        let mut status = 1000_u16.to_be_bytes();
        wire::apply_mask(&mut status, head.mask.unwrap_or_default(), 0);
        self.outbox.bytes.extend_from_slice(&status);
        loop {
            match self.turn().await {
                Ok(_) => {}
                Err(Failure::Closed) => return Ok(()),
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// Puts frames together to messages and compares them with what was sent.
#[derive(Debug)]
pub(crate) struct Receiver {
    deframer: Deframer,
    in_flight: VecDeque<(Id, usize)>,
    message_bytes: usize,
    /// The message's first bytes, enough to hold its id.
    beginning: [u8; WATCHED_BYTES],
}

impl Default for Receiver {
    fn default() -> Self {
        Self {
            deframer: Deframer::default(),
            in_flight: VecDeque::new(),
            message_bytes: 0,
            beginning: [0; WATCHED_BYTES],
        }
    }
}

impl Receiver {
    pub(crate) fn expect(&mut self, id: Id, size_bytes: usize) {
        self.in_flight.push_back((id, size_bytes));
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(crate) fn take(&mut self, mut data: &mut [u8], out: &mut Vec<u8>) -> Result<Echoes, Failure> {
        let mut deframer = std::mem::take(&mut self.deframer);
        let mut echoes = Echoes::default();
        while let Some(piece) = deframer.next_piece(&mut data) {
            if piece.head.mask.is_some() {
                return Err(Failure::Protocol("a masked frame from a server"));
            }
            match piece.head.opcode() {
                PING => answer_ping(&piece, out),
                // After a Close comes the end of the stream, which says as much.
                CLOSE.. => {}
                _ => self.take_data(&piece, &mut echoes)?,
            }
        }
        self.deframer = deframer;
        Ok(echoes)
    }

    fn take_data(&mut self, piece: &Piece<'_>, echoes: &mut Echoes) -> Result<(), Failure> {
        if let Some(free) = self.beginning.get_mut(self.message_bytes..) {
            free.iter_mut().zip(piece.bytes.iter()).for_each(|(slot, byte)| *slot = *byte);
        }
        self.message_bytes += piece.bytes.len();
        if piece.ends_frame && piece.head.is_final() {
            let sent = self.in_flight.pop_front();
            let (id, size) = sent.ok_or(Failure::Protocol("a message nobody sent"))?;
            let same = self.message_bytes == size && self.beginning.ends_with(&id);
            *(if same { &mut echoes.right } else { &mut echoes.altered }) += 1;
            self.message_bytes = 0;
        }
        Ok(())
    }
}

/// Control frames are at most 125 bytes and come whole but for the rarest cut, which goes unanswered.
fn answer_ping(piece: &Piece<'_>, out: &mut Vec<u8>) {
    if piece.starts_frame && piece.ends_frame {
        Head { first_byte: FIN | PONG, mask: Some([0; 4]), ..piece.head }.encode(out);
        out.extend_from_slice(piece.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::TEXT;

    /// What comes back for one message sent, after `spoil` had its way with the echo.
    fn echoed(spoil: impl Fn(&mut Vec<u8>)) -> Result<Echoes, Failure> {
        let (chat, id) = (Chat::new(128).unwrap(), fresh_id(&mut Chance::new(3)));
        let mut payload = Vec::new();
        chat.write_frame(&mut payload, &id, 1_790_000_000, [0; 4]);
        payload.drain(..payload.len() - 128);
        spoil(&mut payload);
        let mut frame = Vec::new();
        let payload_bytes = payload.len() as u64;
        Head { first_byte: FIN | TEXT, mask: None, payload_bytes }.encode(&mut frame);
        frame.extend_from_slice(&payload);

        let mut receiver = Receiver::default();
        receiver.expect(id, 128);
        let mut sum = Echoes::default();
        // In the smallest pieces, as a slow network might.
        for byte in frame.chunks_mut(1) {
            let echoes = receiver.take(byte, &mut Vec::new())?;
            sum.right += echoes.right;
            sum.altered += echoes.altered;
        }
        Ok(sum)
    }

    #[test]
    fn an_echo_of_another_length_or_id_counts_as_altered() {
        let same = echoed(|_| {}).unwrap();
        assert_eq!((same.right, same.altered), (1, 0));
        let longer = echoed(|payload| payload.push(b' ')).unwrap();
        assert_eq!((longer.right, longer.altered), (0, 1));
        let other_id = echoed(|payload| payload[ID_OFFSET] ^= 1).unwrap();
        assert_eq!((other_id.right, other_id.altered), (0, 1));
    }

    #[test]
    fn only_this_machine_is_loaded() {
        for url in ["ws://192.0.2.1:80/", "ws://example.com:80/", "wss://127.0.0.1:80/", "127.0.0.1:80"] {
            assert!(Target::new(url, None).is_err(), "{url}");
        }
        assert!(Target::new("ws://127.0.0.1:8080/ws", None).is_ok());
    }
}
