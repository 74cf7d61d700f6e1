//! The rules of Portcullis: who is calling, what they may do, how often, what they say.
//!
//! Pure: no sockets, no async, no clock, no entropy, no files, no environment. What a rule needs from
//! outside comes in as an argument ([`time::Now`], a policy, a state) or is asked for
//! ([`admission`] is a state machine of questions and answers). Rooms are siblings; only `admission`
//! and `inspection` import them all.

pub mod access;
pub mod admission;
pub mod event;
pub mod identity;
pub mod inspection;
pub mod limits;
pub mod message;
pub mod notice;
pub mod policy;
pub mod reputation;
pub mod time;
pub mod verdict;
