//! The shell of Portcullis: it knows sockets and no rules.

pub mod admin;
pub mod metrics;
