//! What they say: strict JSON, MessagePack and CBOR, schemas, ids seen before, attacks, and what must not leave. `inspection` puts them in order.

pub mod asyncapi;
pub mod binary;
pub mod html;
pub mod json;
pub mod leak;
pub mod replay;
pub mod rewrite;
pub mod schema;
pub mod seal;
pub mod seen;
pub(crate) mod survey;
pub mod threat;
