//! Keeps the gate's blocklist as the file says, and the file as the gate has earned it (SPEC 3.11, 7.1).
//!
//! One thread looks at the file five times a second; whoever changed it (the admin API, a command, another gateway on
//! the same state folder), open connections of those it names are closed within a second. Bans that failed
//! authentications brought are written every [`EARNED_EVERY`] and at the end, and are in force again after a restart.
//! A file that cannot be read leaves the list in force as it is, and says so in the log.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::event::Decision;
use portcullis_core::reputation::{Block, Blocklist, Lockdown, Target};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;
use portcullis_store::{Blocks, StoreError};
use tokio::sync::{mpsc, watch};

use crate::conditions::Conditions;
use crate::record::Draft;
use crate::shared::Shared;
use crate::worker::Command;

/// From one look at the file to the next.
const LOOK: Duration = Duration::from_millis(200);
/// From one writing of earned bans to the next.
const EARNED_EVERY: Duration = Duration::from_secs(2);
/// What clocks may make of the end of one ban.
const ROUNDING_MS: u64 = 2_000;
/// Changes named in events at one look; the list itself takes all of them.
const EVENTS_MAX: usize = 100;

/// The thread's state.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    file: Blocks,
    version: i64,
    known: HashMap<Target, Block>,
    earned: HashSet<IpAddr>,
    lockdown: Option<Lockdown>,
    conditions: Conditions,
}

impl Keeper {
    /// Opens the file and puts what it says in force.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub(crate) fn open(path: &Path, shared: &Arc<Shared>) -> Result<Self, StoreError> {
        let file = Blocks::open(path)?;
        let mut keeper = Self {
            version: file.version()?,
            shared: Arc::clone(shared),
            workers: Vec::new(),
            file,
            known: HashMap::new(),
            earned: HashSet::new(),
            lockdown: None,
            conditions: Conditions::new(shared),
        };
        let now = shared.clock.now();
        for (address, until) in keeper.file.earned(now.unix_millis())? {
            let left = Duration::from_millis(until.saturating_sub(now.unix_millis()));
            shared.gate.ban(shared.gate.key(address), left, now);
            keeper.earned.insert(address);
        }
        keeper.known = keeper.read(now)?;
        keeper.take_lockdown(now)?;
        Ok(keeper)
    }

    /// Looks until `stopping` says so.
    pub(crate) fn run(mut self, workers: Vec<mpsc::UnboundedSender<Command>>, stopping: &watch::Receiver<bool>) {
        self.workers = workers;
        let mut since_earned = Duration::ZERO;
        let mut since_kept = Duration::ZERO;
        while !*stopping.borrow() {
            std::thread::sleep(LOOK);
            self.report(Self::look);
            self.report(Self::keep_scored);
            self.end_lockdown();
            if let Some(order) = self.conditions.refresh(&self.shared) {
                self.lock_down(&order);
            }
            since_kept += LOOK;
            if since_kept >= crate::memory::EVERY {
                since_kept = Duration::ZERO;
                self.conditions.keep(&self.shared, false);
            }
            since_earned += LOOK;
            if since_earned >= EARNED_EVERY {
                since_earned = Duration::ZERO;
                self.report(Self::keep_earned);
            }
        }
        self.report(Self::keep_earned);
        self.conditions.keep(&self.shared, true);
    }

    fn report(&mut self, step: fn(&mut Self) -> Result<(), StoreError>) {
        if let Err(error) = step(self) {
            tracing::error!("the blocklist in force stays as it is: {error}");
        }
    }

    fn look(&mut self) -> Result<(), StoreError> {
        let version = self.file.version()?;
        if version == self.version {
            return Ok(());
        }
        let now = self.shared.clock.now();
        let earlier = std::mem::take(&mut self.known);
        self.known = self.read(now)?;
        self.version = version;
        self.settle_earned(now)?;
        // Whoever was lifted before its time begins anew.
        let lifted = earlier.values().filter(|block| !self.known.contains_key(&block.target));
        for block in lifted.filter(|block| block.until_unix_ms > now.unix_millis()) {
            self.shared.gate.scores().forgive(&block.target);
        }
        self.take_lockdown(now)?;
        for worker in &self.workers {
            // A worker that is gone has no connections.
            let _ = worker.send(Command::Enforce);
        }
        self.tell(&earlier, now);
        Ok(())
    }

    /// Puts the lockdown that the file orders in force.
    fn take_lockdown(&mut self, now: Now) -> Result<(), StoreError> {
        let order = self.file.lockdown(now.unix_millis())?;
        if order == self.lockdown {
            return Ok(());
        }
        self.shared.gate.set_lockdown(order.as_ref().map(|order| order.until_unix_ms));
        let detail = match &order {
            None => String::from("the lockdown was ended"),
            Some(order) => {
                let minutes = order.left(now.unix_millis()).unwrap_or_default().as_secs().div_ceil(60);
                let who = if order.automatic { "by the gateway" } else { "by an operator" };
                let why = if order.reason.is_empty() { "no reason given" } else { &order.reason };
                format!("locked down {who} for {minutes} min: {why}")
            }
        };
        self.tell_lockdown(detail, now);
        self.lockdown = order;
        Ok(())
    }

    /// Orders the lockdown of a critical flood, unless one is in force for longer.
    fn lock_down(&mut self, order: &Lockdown) {
        if self.lockdown.as_ref().is_some_and(|held| held.until_unix_ms >= order.until_unix_ms) {
            return;
        }
        let now = self.shared.clock.now();
        if let Err(error) = self.file.lock_down(order).and_then(|()| self.take_lockdown(now)) {
            tracing::error!("the lockdown of a critical flood is not in force: {error}");
        }
        for worker in &self.workers {
            let _ = worker.send(Command::Enforce);
        }
    }

    /// A lockdown ends by itself: the gate has let callers in since, and this says so.
    fn end_lockdown(&mut self) {
        let now = self.shared.clock.now();
        if self.lockdown.as_ref().is_some_and(|order| order.left(now.unix_millis()).is_none()) {
            self.lockdown = None;
            self.shared.gate.set_lockdown(None);
            self.tell_lockdown(String::from("the lockdown ended by itself"), now);
        }
    }

    fn tell_lockdown(&self, detail: String, now: Now) {
        tracing::warn!("{detail}");
        let draft = Draft::new(Reason::LockdownChanged, Decision::Allowed, "lockdown", detail);
        self.shared.record(draft.into_event(now));
    }

    /// Compiles the file's entries and puts them in force.
    fn read(&self, now: Now) -> Result<HashMap<Target, Block>, StoreError> {
        let blocks = self.file.all(now.unix_millis())?;
        let (list, left_out) = Blocklist::new(&blocks);
        if left_out > 0 {
            tracing::error!("{left_out} entries of the blocklist are past its bound and not in force");
        }
        self.shared.gate.set_blocklist(list);
        Ok(blocks.into_iter().map(|block| (block.target.clone(), block)).collect())
    }

    /// Lifts the earned bans that somebody took out of the file, and takes over those that were earned elsewhere.
    fn settle_earned(&mut self, now: Now) -> Result<(), StoreError> {
        let kept = self.file.earned(now.unix_millis())?;
        let gate = &self.shared.gate;
        for (address, until) in kept.iter().filter(|(address, _)| !self.earned.contains(address)) {
            let left = Duration::from_millis(until.saturating_sub(now.unix_millis()));
            gate.ban(gate.key(*address), left, now);
        }
        let kept: HashSet<IpAddr> = kept.into_iter().map(|(address, _)| address).collect();
        for lifted in self.earned.difference(&kept) {
            gate.ban(gate.key(*lifted), Duration::ZERO, now);
        }
        // Bans that this gate took over from another node's counts and did not write down so far.
        let lifted: HashMap<IpAddr, u64> = self.file.lifted(now.unix_millis())?.into_iter().collect();
        for (key, left) in if lifted.is_empty() { Vec::new() } else { gate.bans(now) } {
            let until = now.unix_millis().saturating_add(u64::try_from(left.as_millis()).unwrap_or(0));
            if lifted.get(&key.address()).is_some_and(|at| until <= *at) {
                gate.ban(key, Duration::ZERO, now);
            }
        }
        self.earned = kept;
        Ok(())
    }

    /// Puts on the list whom scores have banned. An operator's entry of the same target stays where it lasts longer.
    fn keep_scored(&mut self) -> Result<(), StoreError> {
        let orders = self.shared.gate.scores().take_orders();
        if orders.is_empty() {
            return Ok(());
        }
        let lasts =
            |block: &Block| self.known.get(&block.target).is_none_or(|held| held.until_unix_ms < block.until_unix_ms);
        for block in orders.iter().filter(|block| lasts(block)) {
            self.file.put(block)?;
        }
        self.known = self.read(self.shared.clock.now())?;
        for worker in &self.workers {
            let _ = worker.send(Command::Enforce);
        }
        Ok(())
    }

    fn keep_earned(&mut self) -> Result<(), StoreError> {
        // Whoever was lifted since the last look stays lifted, and whoever was banned elsewhere stays banned.
        self.look()?;
        let now = self.shared.clock.now();
        let until = |left: Duration| now.unix_millis().saturating_add(u64::try_from(left.as_millis()).unwrap_or(0));
        let mut bans: Vec<(IpAddr, u64)> =
            self.shared.gate.bans(now).into_iter().map(|(key, left)| (key.address(), until(left))).collect();
        let earned: HashSet<IpAddr> = bans.iter().map(|(address, _)| *address).collect();
        if earned == self.earned {
            return Ok(());
        }
        // An end that stands is not written anew for the rounding of clocks: other nodes would take it for news.
        let stands: HashMap<IpAddr, u64> = self.file.earned(now.unix_millis())?.into_iter().collect();
        for (address, until) in &mut bans {
            if let Some(before) = stands.get(address).filter(|before| before.abs_diff(*until) < ROUNDING_MS) {
                *until = *before;
            }
        }
        self.file.keep_earned(&bans)?;
        self.earned = earned;
        Ok(())
    }

    /// An event for each entry that came or went.
    fn tell(&self, earlier: &HashMap<Target, Block>, now: Now) {
        let came = self.known.values().filter(|block| earlier.get(&block.target) != Some(block));
        let came = came.map(|block| {
            let what = if block.spares_issued_after_unix_s.is_some() { "revoked" } else { "banned" };
            let why = if block.reason.is_empty() { "no reason given" } else { &block.reason };
            format!("{what}: {}: {why}", block.target)
        });
        let went = earlier.keys().filter(|target| !self.known.contains_key(target));
        let went = went.map(|target| format!("lifted: {target}"));
        for detail in came.chain(went).take(EVENTS_MAX) {
            let draft = Draft::new(Reason::AdminAction, Decision::Allowed, "blocklist", detail);
            self.shared.record(draft.into_event(now));
        }
    }
}
