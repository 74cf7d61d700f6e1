//! Which compression both legs use (RFC 7692 5, 7.1).
//!
//! Inputs: the client's offers, the operator's policy, the upstream's answer. Outputs: the one
//! offer that goes upstream, and the parameters that hold on both legs and answer the client.
//! Tests: `tests/negotiation.rs`.

use std::fmt::Write as _;

use super::parse::{Extension, extensions};

const NAME: &str = "permessage-deflate";
const SERVER_ALONE: &str = "server_no_context_takeover";
const CLIENT_ALONE: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// What is wrong with a `Sec-WebSocket-Extensions` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// RFC 6455 9.1: the header does not follow the grammar. From a client: refuse the handshake.
    #[error("a `Sec-WebSocket-Extensions` header does not follow the grammar")]
    Malformed,
    /// More than 16 extensions, or parameters of one.
    #[error("a `Sec-WebSocket-Extensions` header lists more than 16 extensions or parameters")]
    TooMany,
    /// RFC 6455 4.1: the upstream agreed to something that was not offered.
    #[error("the upstream agreed to an extension that was not offered")]
    NotOffered,
    /// RFC 7692 7.1: the upstream's parameters contradict the offer, or are no parameters at all.
    #[error("the upstream's permessage-deflate parameters do not fit the offer")]
    InvalidResponse,
}

/// Whether and how messages may be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeflatePolicy {
    /// Off unless the operator turns it on: compression next to secrets leaks them (CRIME, BREACH).
    pub enabled: bool,
    /// Whether a message may refer to earlier ones. Compresses better, and costs 47 KiB of
    /// memory for each direction of a connection.
    pub context_takeover: bool,
}

/// One offer of permessage-deflate by a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offer {
    /// The server is asked to compress each message alone.
    pub server_no_context_takeover: bool,
    /// The client hints that it compresses each message alone.
    pub client_no_context_takeover: bool,
    /// The server is asked to use no larger window than this: 8 to 15.
    pub server_max_window_bits: Option<u8>,
    /// The client can limit its window: to 15 bits, or the number it hints at.
    pub client_max_window_bits: Option<Option<u8>>,
}

/// What both legs agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Params {
    /// The server compresses each message alone.
    pub server_no_context_takeover: bool,
    /// The client compresses each message alone.
    pub client_no_context_takeover: bool,
    /// The server's window: 8 to 15 bits; `None` is 15.
    pub server_max_window_bits: Option<u8>,
    /// The client's window: 8 to 15 bits; `None` is 15.
    pub client_max_window_bits: Option<u8>,
}

/// The offer that goes upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal {
    offer: Offer,
}

impl Offer {
    /// Reads a client's headers; the offers stand in the client's order of preference. Other
    /// extensions, and offers with unknown, repeated or invalid parameters, are left out, as
    /// RFC 7692 7.1 demands.
    ///
    /// # Errors
    /// Headers against the grammar or with more than 16 elements: refuse the handshake.
    pub fn parse_all<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Self>, ExtensionError> {
        let list = extensions(values)?;
        let ours = list.iter().filter(|extension| extension.name == NAME);
        Ok(ours.filter_map(Self::parse).collect())
    }

    fn parse(extension: &Extension<'_>) -> Option<Self> {
        let mut offer = Self::default();
        for (key, value) in &extension.params {
            match (*key, value) {
                (SERVER_ALONE, None) => once(&mut offer.server_no_context_takeover)?,
                (CLIENT_ALONE, None) => once(&mut offer.client_no_context_takeover)?,
                (SERVER_BITS, Some(bits)) if offer.server_max_window_bits.is_none() => {
                    offer.server_max_window_bits = Some(window_bits(bits)?);
                }
                (CLIENT_BITS, bits) if offer.client_max_window_bits.is_none() => {
                    offer.client_max_window_bits = Some(match bits {
                        Some(bits) => Some(window_bits(bits)?),
                        None => None,
                    });
                }
                _ => return None,
            }
        }
        Some(offer)
    }
}

impl DeflatePolicy {
    /// The offer to send upstream, from the client's first that is valid; `None` when there is
    /// nothing to offer. Where context takeover is not allowed, both sides are asked to forgo it.
    #[must_use]
    pub fn propose(&self, offers: &[Offer]) -> Option<Proposal> {
        let mut offer = *offers.first().filter(|_| self.enabled)?;
        offer.server_no_context_takeover |= !self.context_takeover;
        offer.client_no_context_takeover |= !self.context_takeover;
        Some(Proposal { offer })
    }
}

impl Proposal {
    /// What is offered.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// The value of `Sec-WebSocket-Extensions` for the upstream.
    #[must_use]
    pub fn header_value(&self) -> String {
        let offer = &self.offer;
        let mut value =
            written(offer.server_no_context_takeover, offer.client_no_context_takeover, offer.server_max_window_bits);
        match offer.client_max_window_bits {
            Some(Some(bits)) => write_bits(&mut value, CLIENT_BITS, bits),
            Some(None) => value.extend(["; ", CLIENT_BITS]),
            None => {}
        }
        value
    }

    /// Reads the upstream's answer; `None` when it declined, so neither leg compresses.
    ///
    /// What is agreed is also a legal answer to the client, whose limits are all in the proposal:
    /// a server may ask either side to compress messages alone, and limit its own window, without
    /// being asked (RFC 7692 7.1.1, 7.1.2.1).
    ///
    /// # Errors
    /// An answer that does not fit the offer. The connection must be failed (RFC 7692 7.1).
    pub fn accept<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Params>, ExtensionError> {
        let list = extensions(values)?;
        let answer = match list.as_slice() {
            [] => return Ok(None),
            [answer] if answer.name == NAME => answer,
            _ => return Err(ExtensionError::NotOffered),
        };
        let mut params = Params::parse(answer).ok_or(ExtensionError::InvalidResponse)?;
        if !self.allows(&params) {
            return Err(ExtensionError::InvalidResponse);
        }
        // The upstream may pass over this hint; the client is asked all the same, and a message
        // compressed alone is valid for an upstream that keeps its context.
        params.client_no_context_takeover |= self.offer.client_no_context_takeover;
        Ok(Some(params))
    }

    fn allows(&self, params: &Params) -> bool {
        let offer = &self.offer;
        let alone = params.server_no_context_takeover || !offer.server_no_context_takeover;
        let server_bits = match (offer.server_max_window_bits, params.server_max_window_bits) {
            (None, _) => true,
            (Some(most), Some(bits)) => bits <= most,
            (Some(_), None) => false,
        };
        let client_bits = match (offer.client_max_window_bits, params.client_max_window_bits) {
            (_, None) => true,
            (Some(hint), Some(bits)) => bits <= hint.unwrap_or(15),
            (None, Some(_)) => false,
        };
        alone && server_bits && client_bits
    }
}

impl Params {
    /// The value of `Sec-WebSocket-Extensions` for the client.
    #[must_use]
    pub fn header_value(&self) -> String {
        let mut value =
            written(self.server_no_context_takeover, self.client_no_context_takeover, self.server_max_window_bits);
        if let Some(bits) = self.client_max_window_bits {
            write_bits(&mut value, CLIENT_BITS, bits);
        }
        value
    }

    fn parse(extension: &Extension<'_>) -> Option<Self> {
        let offer = Offer::parse(extension)?;
        Some(Self {
            server_no_context_takeover: offer.server_no_context_takeover,
            client_no_context_takeover: offer.client_no_context_takeover,
            server_max_window_bits: offer.server_max_window_bits,
            client_max_window_bits: match offer.client_max_window_bits {
                Some(None) => return None, // only an offer may leave the number out
                Some(bits) => bits,
                None => None,
            },
        })
    }
}

fn written(server_alone: bool, client_alone: bool, server_bits: Option<u8>) -> String {
    let mut value = String::from(NAME);
    if server_alone {
        value.extend(["; ", SERVER_ALONE]);
    }
    if client_alone {
        value.extend(["; ", CLIENT_ALONE]);
    }
    if let Some(bits) = server_bits {
        write_bits(&mut value, SERVER_BITS, bits);
    }
    value
}

fn write_bits(value: &mut String, name: &str, bits: u8) {
    // Writing to a string does not fail.
    let _ = write!(value, "; {name}={bits}");
}

/// Sets a flag that may be set once.
fn once(flag: &mut bool) -> Option<()> {
    (!std::mem::replace(flag, true)).then_some(())
}

/// RFC 7692 7.1.2: 8 to 15, without leading zeros.
fn window_bits(text: &str) -> Option<u8> {
    match text {
        "8" => Some(8),
        "9" => Some(9),
        "10" => Some(10),
        "11" => Some(11),
        "12" => Some(12),
        "13" => Some(13),
        "14" => Some(14),
        "15" => Some(15),
        _ => None,
    }
}
