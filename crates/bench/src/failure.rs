//! What can go wrong in a measurement, named by whose doing it is.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("handshake refused: `{0}`")]
    Refused(String),
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
    #[error("the connection was closed")]
    Closed,
    #[error("no answer within {0} s")]
    Timeout(u64),
    #[error("`{path}`: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("cannot start `{command}`: {source}")]
    Spawn { command: String, source: io::Error },
    #[error("{name} does not relay: {cause}; its last words: {words}")]
    NotReady { name: &'static str, cause: String, words: String },
    #[error("`{0}` is not of the form ws://127.0.0.1:PORT/PATH (loopback only)")]
    Url(String),
    #[error("the access token could not be signed: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    #[error("a message of {asked} bytes is too small, {least} at least")]
    TooSmall { asked: usize, least: usize },
    #[error("a thread of the load tool ended early")]
    Thread,
}
