//! What the operator wrote: raw (as YAML says it) → checked (an invalid state cannot be built) →
//! one compiled, immutable policy.

pub mod checked;
