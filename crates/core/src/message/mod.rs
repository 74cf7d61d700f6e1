//! What they say: strict JSON, ids seen before, and attacks. `inspection` puts them in order.

pub mod json;
pub mod replay;
pub mod threat;
