//! Binary messages.

use std::collections::BTreeSet;

use super::Rate;
use crate::message::binary::Format;

/// What binary messages may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Binaries {
    /// Kinds that may pass; `None` allows any.
    pub kinds: Option<BTreeSet<String>>,
    /// The largest; `None` is the direction's `bytes_max`.
    pub bytes_max: Option<u64>,
    /// How many a connection may send.
    pub rate: Option<Rate>,
    /// How they are read; `None` is as bytes.
    pub read_as: Option<Format>,
}
