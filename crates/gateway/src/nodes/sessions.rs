//! Carries words on sessions between this node and the meeting place (SPEC 5.3): changes as they happen, everything
//! after a connection and every few minutes. They have lists of their own, so that no number of them crowds out a ban.
//!
//! The thread that writes sessions says what changed here and takes over what others said; this only carries.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portcullis_core::verdict::Reason;
use portcullis_store::redis::{LinkError, PAGE};
use portcullis_store::{Entries, Entry, session_words};

use super::Nodes;
use crate::shared::Shared;

/// Most changes that wait to be told; with more, everything is compared.
const WAITING_MAX: usize = 50_000;
/// From one comparison of everything to the next.
const WHOLE_EVERY: Duration = Duration::from_secs(300);

/// Changes that wait to be told.
#[derive(Default)]
pub(super) struct Outbox(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    words: Entries,
    overflown: bool,
}

/// Why a look failed.
pub(super) enum Trouble {
    Link(LinkError),
    /// The sessions' file.
    Kept(Reason),
}

impl From<LinkError> for Trouble {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

impl Outbox {
    fn add(&self, words: impl Iterator<Item = (String, Entry)>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, entry) in words {
            if waiting.words.len() >= WAITING_MAX && !waiting.words.contains_key(&name) {
                waiting.overflown = true;
                break;
            }
            match waiting.words.get(&name) {
                Some(known) if !entry.outdoes(known) => {}
                _ => drop(waiting.words.insert(name, entry)),
            }
        }
    }

    fn take(&self) -> (Entries, bool) {
        let taken = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        (taken.words, taken.overflown)
    }
}

/// How far this node has read and told.
#[derive(Default)]
pub(super) struct Courier {
    epoch: Option<String>,
    read_to: u64,
    /// When everything was compared last; `None` makes the next look do it.
    whole_at: Option<Duration>,
}

impl Courier {
    /// Everything is compared at the next look.
    pub(super) fn forget(&mut self) {
        self.whole_at = None;
    }

    pub(super) async fn look(&mut self, nodes: &Nodes, shared: &Shared) -> Result<(), Trouble> {
        if shared.policy.load().checked.identity.sessions.is_none() {
            return Ok(());
        }
        let now = shared.clock.mono();
        if self.whole_at.is_none_or(|at| now.saturating_sub(at) >= WHOLE_EVERY) {
            // What waits is in the file too.
            drop(nodes.outbox.take());
            self.compare(nodes, shared).await?;
            self.whole_at = Some(now);
            return Ok(());
        }
        if !self.hear(nodes, shared, |_| {}).await? {
            self.whole_at = None;
            return Ok(());
        }
        let (words, overflown) = nodes.outbox.take();
        if overflown {
            self.whole_at = None;
            return Ok(());
        }
        // What is lost with the connection is told when everything is compared.
        put(nodes, words.into_iter().collect()).await
    }

    async fn compare(&mut self, nodes: &Nodes, shared: &Shared) -> Result<(), Trouble> {
        let mut there = HashMap::new();
        self.read_to = 0;
        loop {
            let whole = self
                .hear(nodes, shared, |entries| {
                    there.extend(entries.iter().map(|(name, entry)| (name.clone(), (entry.at, entry.gone))));
                })
                .await?;
            if whole {
                break;
            }
            there.clear();
        }
        let words = shared.sessions.words().await.map_err(Trouble::Kept)?;
        let now = shared.clock.now().unix_millis();
        let news = |(name, entry): &(String, Entry)| {
            entry.matters(now) && there.get(name).is_none_or(|known| (entry.at, entry.gone) > *known)
        };
        put(nodes, words.into_iter().filter(news).collect()).await
    }

    /// Takes over what is new. False where the server has lost its memory: then everything is to be read again.
    async fn hear(&mut self, nodes: &Nodes, shared: &Shared, mut seen: impl FnMut(&Entries)) -> Result<bool, Trouble> {
        loop {
            let name = uuid::Uuid::new_v4().to_string();
            let news = nodes.sessions.since(&nodes.link, self.read_to, &name).await?;
            let another = self.epoch.as_ref().is_some_and(|known| *known != news.epoch) || news.version < self.read_to;
            self.epoch = Some(news.epoch);
            if another {
                self.read_to = 0;
                return Ok(false);
            }
            if !news.entries.is_empty() {
                seen(&news.entries);
                shared.sessions.merge(news.entries).await.map_err(Trouble::Kept)?;
            }
            self.read_to = news.read_to;
            if self.read_to >= news.version {
                return Ok(true);
            }
        }
    }
}

async fn put(nodes: &Nodes, words: Vec<(String, Entry)>) -> Result<(), Trouble> {
    for page in words.chunks(PAGE) {
        nodes.sessions.put(&nodes.link, page).await?;
    }
    Ok(())
}

impl Nodes {
    /// Has the other nodes told of sessions.
    pub(crate) fn say_sessions(&self, words: impl Iterator<Item = (String, Entry)>) {
        self.outbox.add(words);
    }
}

/// Tells the other nodes of a session that was just issued, before its owner hears of it. Without an answer in time
/// they hear of it with the next look.
pub(crate) async fn tell_session(shared: &Shared, word: impl FnOnce() -> (String, Entry)) {
    let Some(nodes) = &shared.nodes else { return };
    if let Err(error) = nodes.sessions.put_soon(&nodes.link, &[word()], nodes.spec.timeout).await {
        tracing::debug!("a session is good on this node alone for now: {error}");
    }
}

/// Looks for a session that another node may have issued, and puts it in force.
pub(crate) async fn recall(shared: &Shared, name: &str) {
    let Some(nodes) = &shared.nodes else { return };
    let name = session_words::listed(name);
    match nodes.sessions.find(&nodes.link, &name, nodes.spec.timeout).await {
        Ok(Some(entry)) => {
            // Whether it could be kept, the next step tells.
            let _ = shared.sessions.merge(Entries::from([(name, entry)])).await;
        }
        Ok(None) => {}
        Err(error) => tracing::debug!("a session could not be looked for: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(name: usize, at: u64) -> (String, Entry) {
        (name.to_string(), Entry { at, gone: false, until_unix_ms: 0, body: String::new() })
    }

    #[test]
    fn the_last_word_waits_and_too_many_have_everything_compared() {
        let outbox = Outbox::default();
        outbox.add([word(1, 5), word(1, 7), word(1, 6)].into_iter());
        let (words, overflown) = outbox.take();
        assert_eq!((words.len(), words["1"].at, overflown), (1, 7, false));
        outbox.add((0..WAITING_MAX).map(|name| word(name, 1)));
        outbox.add([word(3, 2)].into_iter());
        assert!(!outbox.0.lock().unwrap().overflown, "it replaces one");
        outbox.add([word(WAITING_MAX, 1)].into_iter());
        let (words, overflown) = outbox.take();
        assert_eq!((words.len(), overflown), (WAITING_MAX, true));
        assert_eq!(outbox.take(), (Entries::new(), false));
    }
}
