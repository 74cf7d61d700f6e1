//! One person in the demo chat: frames in, what everyone says out.
//!
//! Decides who hears what: everybody hears everybody. Never verifies a caller (the gate in front of it
//! does) and never keeps a message. Bounds: [`MESSAGE_BYTES_MAX`], [`HEARD_MAX`], [`WRITE_TIMEOUT`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portcullis_codec::{Decoder, Item, Limits, MessageKind, Opcode, Scratch, Sender, Step, close};
use portcullis_codec::{encode_close, encode_control, encode_message};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::broadcast;

/// Longest message taken; the gate in front has a lower limit of its own.
const MESSAGE_BYTES_MAX: u64 = 2 << 20;
/// Messages that wait for a slow listener; it misses the oldest beyond that.
const HEARD_MAX: usize = 1024;
/// A listener that takes nothing for this long has left.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes read at once.
const READ_BYTES: usize = 16 << 10;

/// The one room.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    heard: broadcast::Sender<Arc<str>>,
    online: Arc<AtomicUsize>,
}

impl Room {
    /// An empty room.
    pub(crate) fn new() -> Self {
        Self { heard: broadcast::channel(HEARD_MAX).0, online: Arc::new(AtomicUsize::new(0)) }
    }
}

/// Counts a person out whichever way the conversation ends.
struct Presence(Arc<AtomicUsize>);

impl Presence {
    fn enter(room: &Room) -> (Self, usize) {
        let online = room.online.fetch_add(1, Ordering::Relaxed) + 1;
        (Self(Arc::clone(&room.online)), online)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(serde::Deserialize)]
struct Said {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    text: String,
}

/// Talks with one client until either side has enough.
///
/// # Errors
/// The connection broke; nobody needs to be told.
pub(crate) async fn converse<S>(stream: S, you: &str, room: &Room) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut ears = room.heard.subscribe();
    let (_presence, online) = Presence::enter(room);
    let mut decoder = Decoder::new(Sender::Client, limits(), None);
    let mut scratch = Scratch::new();
    let mut input = vec![0; READ_BYTES];
    let mut out = Vec::new();
    say(&mut out, &serde_json::json!({ "type": "welcome", "you": you, "online": online }));
    loop {
        write(&mut writer, &mut out).await?;
        tokio::select! {
            read = reader.read(&mut input) => {
                let bytes = input.get(..read?).unwrap_or_default();
                let go_on = !bytes.is_empty() && take(bytes, &mut decoder, &mut scratch, you, room, &mut out);
                if !go_on {
                    write(&mut writer, &mut out).await?;
                    return writer.shutdown().await;
                }
            }
            heard = ears.recv() => match heard {
                Ok(text) => encode_message(&mut out, MessageKind::Text, text.as_bytes(), None),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            },
        }
    }
}

fn limits() -> Limits {
    Limits { message_bytes_max: MESSAGE_BYTES_MAX, frame_bytes_max: MESSAGE_BYTES_MAX, ..Limits::default() }
}

/// Takes what came; answers go to `out`. False when the conversation is over.
fn take(
    mut bytes: &[u8],
    decoder: &mut Decoder,
    scratch: &mut Scratch,
    you: &str,
    room: &Room,
    out: &mut Vec<u8>,
) -> bool {
    loop {
        let Step { consumed, item } = match decoder.decode(bytes, scratch) {
            Ok(step) => step,
            Err(error) => {
                encode_close(out, close::PROTOCOL_ERROR, &error.to_string(), None);
                return false;
            }
        };
        match item {
            None => return true,
            Some(Item::Message(message)) => hear(message.payload, you, room, out),
            Some(Item::Control(control)) => match control.opcode {
                Opcode::Ping => encode_control(out, Opcode::Pong, control.payload, None),
                Opcode::Close => {
                    let code = control.close.and_then(|said| said.code).unwrap_or(close::NORMAL);
                    encode_close(out, code, "", None);
                    return false;
                }
                _ => {}
            },
        }
        bytes = bytes.get(consumed..).unwrap_or_default();
    }
}

/// One message: everyone hears it, its sender included.
fn hear(payload: &[u8], you: &str, room: &Room, out: &mut Vec<u8>) {
    match serde_json::from_slice::<Said>(payload) {
        Ok(said) if said.kind == "chat" => {
            let text = serde_json::json!({ "type": "chat", "id": said.id, "from": you, "text": said.text });
            // It fails when nobody listens, and then nobody misses it.
            let _ = room.heard.send(text.to_string().into());
        }
        _ => say(out, &serde_json::json!({ "type": "notice", "text": "the chat did not understand that" })),
    }
}

fn say(out: &mut Vec<u8>, value: &serde_json::Value) {
    encode_message(out, MessageKind::Text, value.to_string().as_bytes(), None);
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), out: &mut Vec<u8>) -> std::io::Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    tokio::time::timeout(WRITE_TIMEOUT, writer.write_all(out)).await??;
    out.clear();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: Option<[u8; 4]> = Some([7, 1, 9, 3]);

    struct Person {
        stream: tokio::io::DuplexStream,
        decoder: Decoder,
        scratch: Scratch,
    }

    fn enter(you: &'static str, room: &Room) -> Person {
        let (near, far) = tokio::io::duplex(1 << 20);
        let room = room.clone();
        tokio::spawn(async move { converse(far, you, &room).await });
        Person { stream: near, decoder: Decoder::new(Sender::Server, limits(), None), scratch: Scratch::new() }
    }

    impl Person {
        async fn says(&mut self, text: &str) {
            let mut out = Vec::new();
            encode_message(&mut out, MessageKind::Text, text.as_bytes(), MASK);
            self.stream.write_all(&out).await.unwrap();
        }

        /// The next message as JSON, a control frame as its opcode and code.
        async fn hears(&mut self) -> serde_json::Value {
            loop {
                let mut byte = [0; 1];
                self.stream.read_exact(&mut byte).await.unwrap();
                match self.decoder.decode(&byte, &mut self.scratch).unwrap().item {
                    Some(Item::Message(message)) => return serde_json::from_slice(message.payload).unwrap(),
                    Some(Item::Control(control)) => {
                        return serde_json::json!([
                            format!("{:?}", control.opcode),
                            control.close.and_then(|said| said.code)
                        ]);
                    }
                    None => {}
                }
            }
        }
    }

    #[tokio::test]
    async fn everyone_hears_what_one_says() {
        let room = Room::new();
        let mut ada = enter("ada", &room);
        assert_eq!(ada.hears().await, serde_json::json!({"type": "welcome", "you": "ada", "online": 1}));
        let mut bob = enter("bob", &room);
        assert_eq!(bob.hears().await["online"], 2);
        ada.says(r#"{"type":"chat","id":"1","text":"hello"}"#).await;
        let expected = serde_json::json!({"type": "chat", "id": "1", "from": "ada", "text": "hello"});
        assert_eq!(ada.hears().await, expected);
        assert_eq!(bob.hears().await, expected);
    }

    #[tokio::test]
    async fn what_it_does_not_understand_it_says_so() {
        let mut ada = enter("ada", &Room::new());
        ada.hears().await;
        for text in [
            "not json",
            "{}",
            r#"{"type":"chat","id":"1","text":{"$ne":null}}"#,
            r#"{"type":"other","id":"1","text":""}"#,
        ] {
            ada.says(text).await;
            assert_eq!(ada.hears().await["type"], "notice", "{text}");
        }
    }

    #[tokio::test]
    async fn pings_and_closes_are_answered() {
        let room = Room::new();
        let mut ada = enter("ada", &room);
        ada.hears().await;
        let mut out = Vec::new();
        encode_control(&mut out, Opcode::Ping, b"x", MASK);
        encode_close(&mut out, 4242, "bye", MASK);
        ada.stream.write_all(&out).await.unwrap();
        assert_eq!(ada.hears().await[0], "Pong");
        assert_eq!(ada.hears().await, serde_json::json!(["Close", 4242]));
        let mut rest = Vec::new();
        ada.stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(room.online.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_broken_frame_ends_the_conversation() {
        let mut ada = enter("ada", &Room::new());
        ada.hears().await;
        ada.stream.write_all(b"\x81\x01x").await.unwrap(); // not masked
        assert_eq!(ada.hears().await, serde_json::json!(["Close", 1002]));
    }
}
