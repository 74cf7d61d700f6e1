//! Keeps the lists of this node and those of the others alike (SPEC 3.11, 7.1, 14.3).
//!
//! The files of the state folder are this node's truth: commands, the admin API and the gateway change them, and the
//! threads that watch them put what they say in force. This looks at the files and at the meeting place ten times a
//! second and carries words both ways, so that a ban takes at most half a second to the connections of another node. A
//! meeting place that lost its memory is filled again; what two nodes said while they were apart is settled entry by
//! entry.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis_core::event::Decision;
use portcullis_core::verdict::Reason;
use portcullis_store::redis::{LinkError, PAGE};
use portcullis_store::{BLOCKS_FILE, Blocks, Entries, Entry, KEYS_FILE, Keys, StoreError};
use tokio::sync::watch;

use super::{Nodes, sessions};
use crate::record::Draft;
use crate::shared::Shared;

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(100);
/// From one comparison of everything to the next: a cluster's failover may forget what a master had just taken.
const WHOLE_EVERY: Duration = Duration::from_secs(300);
/// From one attempt to connect to the next, at first and at most.
const BACK_OFF: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(2);

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Link(#[from] LinkError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("sessions: {}", .0.row().internal)]
    Sessions(Reason),
}

impl From<sessions::Trouble> for Trouble {
    fn from(trouble: sessions::Trouble) -> Self {
        match trouble {
            sessions::Trouble::Link(error) => Self::Link(error),
            sessions::Trouble::Kept(reason) => Self::Sessions(reason),
        }
    }
}

/// The thread's state.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    nodes: Arc<Nodes>,
    blocks: Blocks,
    keys: Keys,
    /// The files as they were read last.
    versions: Option<(i64, i64)>,
    /// What both sides are known to hold.
    agreed: Entries,
    /// The server's memory, and how much of it was read.
    epoch: Option<String>,
    read_to: u64,
    whole_at: Duration,
    sessions: sessions::Courier,
    /// Whether others know that it is gone.
    told_lost: bool,
}

impl Keeper {
    pub(super) fn open(nodes: &Arc<Nodes>, shared: &Arc<Shared>) -> Result<Self, StoreError> {
        let folder = shared.policy.load().checked.state_dir.clone();
        Ok(Self {
            shared: Arc::clone(shared),
            nodes: Arc::clone(nodes),
            blocks: Blocks::open(&folder.join(BLOCKS_FILE))?,
            keys: Keys::open(&folder.join(KEYS_FILE))?,
            versions: None,
            agreed: Entries::new(),
            epoch: None,
            read_to: 0,
            whole_at: Duration::ZERO,
            sessions: sessions::Courier::default(),
            told_lost: false,
        })
    }

    /// Looks until `stopping` says so.
    pub(super) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let mut pause = BACK_OFF;
        let mut connected = false;
        while !*stopping.borrow() {
            let wait = if connected {
                match self.look().await {
                    Ok(()) => LOOK,
                    Err(error @ (Trouble::Store(_) | Trouble::Sessions(_))) => {
                        tracing::error!("what other nodes said is not in force: {error}");
                        BACK_OFF_MAX
                    }
                    Err(Trouble::Link(error)) => {
                        connected = false;
                        self.lost(&error);
                        pause
                    }
                }
            } else {
                match self.join().await {
                    Ok(()) => {
                        connected = true;
                        pause = BACK_OFF;
                        LOOK
                    }
                    Err(error @ (Trouble::Store(_) | Trouble::Sessions(_))) => {
                        tracing::error!("what other nodes said is not in force: {error}");
                        BACK_OFF_MAX
                    }
                    Err(Trouble::Link(error)) => {
                        self.lost(&error);
                        pause = (pause * 2).min(BACK_OFF_MAX);
                        pause
                    }
                }
            };
            // A stop ends the wait; its sender is gone only when the gateway is.
            let _ = tokio::time::timeout(wait, stopping.wait_for(|stop| *stop)).await;
        }
    }

    /// Connects, and settles everything once.
    async fn join(&mut self) -> Result<(), Trouble> {
        self.nodes.link.connect().await?;
        self.forget();
        self.sessions.forget();
        self.look().await?;
        self.nodes.connected.store(true, Ordering::Release);
        self.nodes.joins.fetch_add(1, Ordering::AcqRel);
        let words = if self.told_lost { "is back" } else { "is there" };
        self.told_lost = false;
        let detail = format!("`{}` {words}; {} entries are held in common", self.nodes.spec.shown, self.agreed.len());
        tracing::info!("shared state: {detail}");
        self.tell(Reason::SharedStateJoined, detail);
        Ok(())
    }

    fn lost(&mut self, error: &LinkError) {
        self.nodes.link.disconnect();
        self.nodes.connected.store(false, Ordering::Relaxed);
        if self.told_lost {
            return tracing::debug!("shared state: {error}");
        }
        self.told_lost = true;
        let detail = format!("`{}`: {error}", self.nodes.spec.shown);
        tracing::warn!("shared state: {detail}; this node decides alone until it is back");
        self.tell(Reason::SharedStateLost, detail);
    }

    fn tell(&self, reason: Reason, detail: String) {
        let draft = Draft::new(reason, Decision::Allowed, "shared_state", detail);
        self.shared.record(draft.into_event(self.shared.clock.now()));
    }

    /// Everything is compared at the next look.
    fn forget(&mut self) {
        self.agreed.clear();
        self.versions = None;
        self.read_to = 0;
        self.whole_at = self.shared.clock.now().mono;
    }

    async fn look(&mut self) -> Result<(), Trouble> {
        if self.shared.clock.now().mono.saturating_sub(self.whole_at) >= WHOLE_EVERY {
            self.forget();
        }
        self.hear().await?;
        self.say().await?;
        Ok(self.sessions.look(&self.nodes, &self.shared).await?)
    }

    /// Takes over what is new.
    async fn hear(&mut self) -> Result<(), Trouble> {
        loop {
            // A new name each time: that of a memory that is no more must not be given to another.
            let name = uuid::Uuid::new_v4().to_string();
            let news = self.nodes.lists.since(&self.nodes.link, self.read_to, &name).await?;
            let another = self.epoch.as_ref().is_some_and(|known| *known != news.epoch) || news.version < self.read_to;
            if another {
                tracing::warn!("shared state: the server has lost its memory and is filled again");
                self.epoch = Some(news.epoch);
                self.forget();
                continue;
            }
            self.epoch = Some(news.epoch);
            self.read_to = news.read_to;
            if !news.entries.is_empty() {
                let now = self.shared.clock.now().unix_millis();
                self.blocks.merge(&news.entries, now)?;
                self.keys.merge(&news.entries, now)?;
                self.agreed.extend(news.entries);
                // What did not stand here is said again.
                self.versions = None;
            }
            if self.read_to >= news.version {
                return Ok(());
            }
        }
    }

    /// Says what changed here.
    async fn say(&mut self) -> Result<(), Trouble> {
        let versions = (self.blocks.version()?, self.keys.version()?);
        if self.versions == Some(versions) {
            return Ok(());
        }
        let now = self.shared.clock.now();
        let mut entries = self.blocks.entries(now.unix_millis())?;
        entries.extend(self.keys.entries(now.unix_millis() / 1000)?);
        let differs = |(name, entry): &(&String, &Entry)| self.agreed.get(*name) != Some(*entry);
        let new: Vec<_> = entries.iter().filter(differs).map(|(name, entry)| (name.clone(), entry.clone())).collect();
        // Before the others hear of it, or they would be told once more of the ban that was lifted.
        for address in new.iter().filter(|(_, entry)| entry.gone).filter_map(|(name, _)| name.strip_prefix("earned:")) {
            if let Ok(address) = address.parse() {
                self.nodes.limits.lift(&self.nodes.link, self.shared.gate.key(address)).await?;
            }
        }
        for page in new.chunks(PAGE) {
            self.nodes.lists.put(&self.nodes.link, page).await?;
        }
        self.agreed = entries;
        self.versions = Some(versions);
        Ok(())
    }
}
