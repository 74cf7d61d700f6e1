//! permessage-deflate (RFC 7692).
//!
//! The gateway keeps the parameters of both legs equal, so a compressed message that passes
//! unchanged leaves as the bytes that came. It sends one normalised offer upstream
//! ([`DeflatePolicy::propose`]), and tells the client what the upstream agreed to
//! ([`Proposal::accept`], [`Params::header_value`]).

mod compress;
mod inflate;
mod negotiate;
mod parse;

pub use compress::compress_into;
pub use inflate::{INFLATER_BYTES, Inflate};
pub use negotiate::{DeflatePolicy, ExtensionError, Offer, Params, Proposal};
