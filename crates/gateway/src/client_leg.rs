//! A client's socket that is upgraded but has no upstream: it waits for a credential, or is told why it must go.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use portcullis_codec::{Decoder, Item, Limits, Scratch, Sender, encode_close};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};

use crate::relay::leg::Leg;

/// Largest first message: a token and its JSON around it.
const FIRST_MESSAGE_BYTES_MAX: u64 = 32 << 10;
/// A client is heard no longer than this after our Close.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes thrown away while lingering.
const LINGER_BYTES_MAX: usize = 256 << 10;

/// See the module.
pub(crate) struct Waiting {
    leg: Leg,
    early: BytesMut,
}

impl Waiting {
    /// A socket with what was read past its handshake.
    pub(crate) fn new(leg: Leg, early: Bytes) -> Self {
        Self { leg, early: early.into() }
    }

    /// The first text message. `None`: something else came, or nothing more will.
    pub(crate) async fn first_message(&mut self) -> Option<Vec<u8>> {
        let limits = Limits {
            message_bytes_max: FIRST_MESSAGE_BYTES_MAX,
            frame_bytes_max: FIRST_MESSAGE_BYTES_MAX,
            fragments_max: 16,
            ..Limits::default()
        };
        let mut decoder = Decoder::new(Sender::Client, limits, None);
        let mut scratch = Scratch::new();
        loop {
            let input = self.early.split();
            let step = decoder.decode(&input, &mut scratch).ok()?;
            let consumed = step.consumed;
            match step.item {
                Some(Item::Message(message)) => {
                    let text = (message.kind == portcullis_codec::MessageKind::Text).then(|| message.payload.to_vec());
                    self.early.extend_from_slice(input.get(consumed..).unwrap_or_default());
                    return text;
                }
                // A client that pings or closes before it says who it is has nothing to wait for.
                Some(Item::Control(_)) => return None,
                None => {}
            }
            let mut buffer = [0; 4096];
            let count = poll_fn(|cx| {
                let mut read = ReadBuf::new(&mut buffer);
                Pin::new(&mut self.leg).poll_read(cx, &mut read).map_ok(|()| read.filled().len())
            })
            .await
            .ok()?;
            if count == 0 {
                return None;
            }
            self.early.extend_from_slice(buffer.get(..count)?);
        }
    }

    /// Says Close and ends, hearing the client out for a moment so that it can read why.
    pub(crate) async fn close(mut self, code: u16, words: &str) {
        let mut frame = Vec::new();
        encode_close(&mut frame, code, words, None);
        let said = async {
            self.leg.write_all(&frame).await?;
            self.leg.shutdown().await?;
            let mut heard = 0;
            let mut buffer = [0; 1024];
            while heard < LINGER_BYTES_MAX {
                match self.leg.read(&mut buffer).await? {
                    0 => break,
                    count => heard += count,
                }
            }
            std::io::Result::Ok(())
        };
        // A client that is gone cannot be told.
        let _ = tokio::time::timeout(LINGER, said).await;
    }

    /// The socket, and what came after the first message.
    pub(crate) fn into_socket(self) -> (Leg, Bytes) {
        (self.leg, self.early.freeze())
    }
}
