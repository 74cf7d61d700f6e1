//! MessagePack and CBOR: read as JSON, held to the checks, and written anew where a check changed a value.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod house;
mod reading;
mod rewriting;
mod samples;
