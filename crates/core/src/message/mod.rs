//! What they say: strict JSON, ids seen before, attacks, and what must not leave. `inspection` puts them in order.

pub mod json;
pub mod leak;
pub mod replay;
pub mod threat;
