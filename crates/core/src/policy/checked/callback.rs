//! Endpoints that are asked about messages.

use std::time::Duration;

use super::{OnFailure, OnRefuse, Secret};

/// An endpoint.
#[derive(Debug, Clone)]
pub struct Callback {
    /// Its name in events.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// What it knows the gateway by.
    pub token: Option<Secret>,
    /// Patterns of the types that it is asked about; `None` asks about every message.
    pub types: Option<Vec<String>>,
    /// The whole of a question, waiting for a place included.
    pub timeout: Duration,
    /// Questions to its URL at once.
    pub concurrency_max: usize,
    /// What happens to a message when it gives no answer.
    pub on_failure: OnFailure,
    /// What happens to a message that it refuses.
    pub on_refuse: OnRefuse,
    /// Its answer may carry another message.
    pub may_rewrite: bool,
}
