//! The lists all nodes hold: put there, and what is new since (SPEC 3.11, 7.1, 14.3).

use std::time::Duration;

use redis::{Script, ScriptInvocation};

use super::{Link, LinkError};
use crate::replica::{Entries, Entry};

/// Most entries of one question.
pub const PAGE: usize = 500;

/// See the module.
pub struct Lists {
    put: Script,
    since: Script,
    keys: Keys,
}

/// All in one slot of a cluster.
struct Keys {
    entries: String,
    log: String,
    ends: String,
    version: String,
    epoch: String,
}

/// What is new since a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Names the server's memory: another epoch is another memory, and what was put before is lost.
    pub epoch: String,
    /// Changes it has taken.
    pub version: u64,
    /// Up to where these entries reach.
    pub read_to: u64,
    /// At most [`PAGE`] entries that changed.
    pub entries: Entries,
}

impl Lists {
    /// The lists of a group of nodes.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self::named(prefix, "lists")
    }

    /// Lists of their own, with a bound of their own.
    #[must_use]
    pub fn named(prefix: &str, lists: &str) -> Self {
        let key = |name: &str| format!("{{{prefix}:{lists}}}:{name}");
        Self {
            put: Script::new(include_str!("lua/put.lua")),
            since: Script::new(include_str!("lua/since.lua")),
            keys: Keys {
                entries: key("entries"),
                log: key("log"),
                ends: key("ends"),
                version: key("version"),
                epoch: key("epoch"),
            },
        }
    }

    /// Puts words there; each stands or not, as [`Entry::outdoes`] says. At most [`PAGE`].
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn put(&self, link: &Link, entries: &[(String, Entry)]) -> Result<(), LinkError> {
        let call = self.putting(entries);
        link.tend(async |to| call.invoke_async::<u64>(to).await).await.map(drop)
    }

    /// As [`Self::put`], for somebody who waits at most `timeout`.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn put_soon(&self, link: &Link, entries: &[(String, Entry)], timeout: Duration) -> Result<(), LinkError> {
        let call = self.putting(entries);
        link.ask(timeout, async |to| call.invoke_async::<u64>(to).await).await.map(drop)
    }

    fn putting(&self, entries: &[(String, Entry)]) -> ScriptInvocation<'_> {
        let keys = &self.keys;
        let mut call = self.put.prepare_invoke();
        call.key(&keys.entries).key(&keys.log).key(&keys.ends).key(&keys.version);
        call.arg(crate::replica::ENTRIES_MAX);
        for (name, entry) in entries.iter().take(PAGE) {
            call.arg(name).arg(entry.at).arg(u8::from(entry.gone)).arg(entry.until_unix_ms).arg(&entry.body);
        }
        call
    }

    /// The word on one matter, for somebody who waits at most `timeout`.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn find(&self, link: &Link, name: &str, timeout: Duration) -> Result<Option<Entry>, LinkError> {
        let mut find = redis::cmd("HGET");
        find.arg(&self.keys.entries).arg(name);
        let text: Option<String> = link.ask(timeout, async |to| find.query_async(to).await).await?;
        Ok(text.as_deref().and_then(parse))
    }

    /// What changed since a version. `epoch` names the server's memory where it has no name yet.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn since(&self, link: &Link, version: u64, epoch: &str) -> Result<News, LinkError> {
        let keys = &self.keys;
        let mut call = self.since.prepare_invoke();
        call.key(&keys.entries).key(&keys.log).key(&keys.version).key(&keys.epoch);
        call.arg(epoch).arg(version).arg(PAGE);
        type Told = (String, u64, Vec<(String, u64, String)>);
        let (epoch, latest, changed): Told = link.tend(async |to| call.invoke_async(to).await).await?;
        let read_to = changed.iter().map(|(_, version, _)| *version).max().unwrap_or(latest);
        let entries = changed.into_iter().filter_map(|(name, _, text)| Some((name, parse(&text)?))).collect();
        Ok(News { epoch, version: latest, read_to, entries })
    }
}

/// `at gone until body`, as `put.lua` writes it.
fn parse(text: &str) -> Option<Entry> {
    let mut parts = text.splitn(4, ' ');
    let mut next = || parts.next();
    let (at, gone, until, body) = (next()?, next()?, next()?, next()?);
    Some(Entry { at: at.parse().ok()?, gone: gone == "1", until_unix_ms: until.parse().ok()?, body: body.to_owned() })
}
