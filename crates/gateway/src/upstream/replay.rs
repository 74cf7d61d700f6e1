//! A socket whose answer was read before its reader came.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::relay::leg::Leg;

/// Gives again what was read, then what the socket has; swallows what is written, for the request was sent. Gives
/// nothing before that: an answer to no question is refused by who asks.
pub(super) struct Replay {
    leg: Leg,
    read: Vec<u8>,
    /// How much was given again.
    given: usize,
    asked: bool,
    waiting: Option<Waker>,
}

impl Replay {
    pub(super) fn new(leg: Leg, read: Vec<u8>) -> Self {
        Self { leg, read, given: 0, asked: false, waiting: None }
    }
}

impl AsyncRead for Replay {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.asked {
            this.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let rest = this.read.get(this.given..).unwrap_or_default();
        if rest.is_empty() {
            return Pin::new(&mut this.leg).poll_read(cx, buf);
        }
        let fits = rest.get(..buf.remaining()).unwrap_or(rest);
        buf.put_slice(fits);
        this.given += fits.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replay {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.asked = true;
        if let Some(reader) = this.waiting.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().leg).poll_shutdown(cx)
    }
}
