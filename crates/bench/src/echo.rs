//! The upstream of every set-up: sends each message back as it came, answers Ping and Close.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::spawn_local;

use crate::client::{Outbox, poll_read_into, read_head};
use crate::failure::Failure;
use crate::load;
use crate::wire::{self, CLOSE, Deframer, Head, PING, PONG};

const BACKLOG: u32 = 4096;

/// Serves until the process ends.
pub(crate) fn run(listen: SocketAddr, threads: usize) -> Result<(), Failure> {
    load::on_threads(threads, |_| async move { serve(listen).await }).into_iter().collect()
}

/// Each thread has a listener of its own on the one address (`SO_REUSEPORT`).
async fn serve(listen: SocketAddr) -> Result<(), Failure> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(listen)?;
    accept_all(socket.listen(BACKLOG)?).await
}

async fn accept_all(listener: TcpListener) -> Result<(), Failure> {
    loop {
        match listener.accept().await {
            // A connection's end, whatever it is, concerns that connection alone.
            Ok((stream, _)) => drop(spawn_local(converse(stream))),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn converse(mut stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let (head, mut rest) = read_head(&mut stream).await?;
    let Some(key) = wire::header(&head, "sec-websocket-key") else {
        stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await?;
        return Ok(());
    };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        wire::accept_for(key)
    );
    drop(head);
    stream.write_all(answer.as_bytes()).await?;
    drop(answer);

    let mut deframer = Deframer::default();
    let mut outbox = Outbox::default();
    let mut closing = echo(&mut deframer, &mut rest, &mut outbox.bytes)?;
    drop(rest);
    while !closing {
        closing = poll_fn(|cx| {
            // Nothing is read while the other side does not take what it is owed.
            if let Err(failure) = ready!(outbox.poll_flush(&mut stream, cx)) {
                return Poll::Ready(Err(failure));
            }
            poll_read_into(&mut stream, cx, |data| echo(&mut deframer, data, &mut outbox.bytes))
        })
        .await?;
    }
    poll_fn(|cx| outbox.poll_flush(&mut stream, cx)).await?;
    stream.shutdown().await?;
    Ok(())
}

/// Appends the answer to `data`; says whether a Close was among it.
fn echo(deframer: &mut Deframer, mut data: &mut [u8], out: &mut Vec<u8>) -> Result<bool, Failure> {
    let mut closing = false;
    while let Some(piece) = deframer.next_piece(&mut data) {
        let head = piece.head;
        if head.mask.is_none() {
            return Err(Failure::Protocol("an unmasked frame from a client"));
        }
        if head.opcode() == PONG {
            continue;
        }
        if piece.starts_frame {
            let turned = if head.opcode() == PING { PING ^ PONG } else { 0 };
            Head { first_byte: head.first_byte ^ turned, mask: None, ..head }.encode(out);
        }
        out.extend_from_slice(piece.bytes);
        closing |= piece.ends_frame && head.opcode() == CLOSE;
    }
    Ok(closing)
}
