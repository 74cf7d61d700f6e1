//! The pipeline as the relay sees it: order, outcomes, limits at their edges, memory that stays bounded.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod house;
mod own;
mod pipeline;
mod schemas;
mod topics;
