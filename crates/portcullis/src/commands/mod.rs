//! One file a command.

pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod ban;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod key;
pub(crate) mod lockdown;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod session;
pub(crate) mod token;
pub(crate) mod verdicts;
