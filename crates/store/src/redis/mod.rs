//! Where nodes meet: Redis or Valkey, one server or a cluster (SPEC 14.1, 14.2).
//!
//! Decides how long anybody waits for it, and when it counts as gone. Never decides what a node does then: it goes on
//! with what it has. Everything that must not be torn apart is one script in `lua/`, on keys of one slot. Names of users
//! and addresses are in no key: digests are.
//!
//! Every call is bounded twice: by its timeout, and by [`MISSES_MAX`], after which nobody waits until the server has
//! answered its keeper again. URLs hold passwords: only [`SharedState::shown`](portcullis_core::policy::checked::SharedState) is in words.
//!
//! Tests: `tests/redis.rs` against a real server; `tests/acceptance/cases/nodes.py` with three gateways too.

mod limits;
mod link;
mod lists;
mod marks;
mod places;

pub use limits::{Limits, Verdict};
pub use link::{Answered, Link, LinkError, MISSES_MAX, Probe, probe};
pub use lists::{Lists, News, PAGE};
pub use marks::{MARKS_MAX, MarkNews, Marks, Said, Turn, WORDS_MAX};
pub use places::{PLACES_MAX, Place, Places, RELEASES_MAX, Releases};
