//! One worker thread: its own runtime, its share of the listener, its connections.
//!
//! Connections never leave the thread that accepted them, so their state needs no locks and their buffers are
//! the thread's. Other threads speak to a worker through [`Command`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis_core::inspection::Workspace;
use portcullis_core::policy::Policy;
use portcullis_core::time::Now;
use tokio::sync::mpsc;

use crate::admin::ConnectionInfo;
use crate::callback::Kept;
use crate::metrics::Shard;
use crate::reads::Reads;
use crate::record::Draft;
use crate::registry::{Handle, Registry};
use crate::relay::Caller;
use crate::relay::cohort::Cohort;
use crate::shared::Shared;

/// The latest a client is asked to come back after a restart.
const RECONNECT_WITHIN_MS: u32 = 5_000;

/// The wall clock is read this often.
const WALL_EVERY: Duration = Duration::from_millis(100);

/// How often a worker's runtime ticks.
const TICK: Duration = Duration::from_millis(250);

/// Is always due soon, and does nothing. The runtime wakes itself, by a system call and an empty turn, for each timer that
/// comes before all others; behind this one the timers of connections come and go for nothing.
pub(crate) async fn tick() {
    loop {
        tokio::time::sleep(TICK).await;
    }
}

/// What others ask of a worker.
pub(crate) enum Command {
    /// A new policy is in force.
    PolicyChanged,
    /// Describe open connections.
    List(usize, std::sync::mpsc::SyncSender<Vec<ConnectionInfo>>),
    /// Say who holds open connections.
    Count(tokio::sync::oneshot::Sender<crate::statistics::Open>),
    /// Close one.
    Disconnect(String, std::sync::mpsc::SyncSender<bool>),
    /// The blocklist changed: close whom it names.
    Enforce,
    /// Stop accepting, close all.
    Drain,
}

/// Buffers every connection of the thread uses in turn.
pub(crate) struct Scratch {
    /// The codec's.
    pub codec: portcullis_codec::Scratch,
    /// The inspection's.
    pub work: Workspace,
}

/// See the module.
pub(crate) struct Worker {
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Buffers; borrowed for the length of one poll, never across an await.
    pub scratch: RefCell<Scratch>,
    /// Where reads go; borrowed no longer than those.
    pub reads: Rc<RefCell<Reads>>,
    /// Connections that were read and wait to be judged.
    pub cohort: Cohort,
    /// Open connections.
    pub registry: Registry,
    /// Connections to callbacks.
    pub idle: Kept,
    index: usize,
    random: Cell<u64>,
    generation: Cell<u64>,
    policy: RefCell<Arc<Policy>>,
    /// The clocks as they were last read together.
    read_at: Cell<Now>,
}

impl Worker {
    /// A worker; `seed` is fresh from the system's generator.
    pub(crate) fn new(shared: Arc<Shared>, index: usize, seed: u64) -> Rc<Self> {
        let policy = shared.policy.load_full();
        Rc::new(Self {
            scratch: RefCell::new(Scratch {
                codec: portcullis_codec::Scratch::new(),
                work: Workspace::new(shared.hash_seed).drawing(|bytes| getrandom::fill(bytes).is_ok()),
            }),
            reads: Reads::new(),
            cohort: Cohort::default(),
            registry: Registry::default(),
            idle: Kept::default(),
            index,
            random: Cell::new(seed | 1),
            generation: Cell::new(shared.generation.load(Ordering::Acquire)),
            policy: RefCell::new(policy),
            read_at: Cell::new(shared.clock.now()),
            shared,
        })
    }

    /// The present as messages see it: of the two clocks only the monotonic one is read each time, so that a jump
    /// of the wall clock is seen within [`WALL_EVERY`].
    pub(crate) fn now(&self) -> Now {
        let read = self.read_at.get();
        let mono = self.shared.clock.mono();
        let since = mono.saturating_sub(read.mono);
        if since < WALL_EVERY {
            return Now { mono, wall: read.wall + since };
        }
        let now = self.shared.clock.now();
        self.read_at.set(now);
        now
    }

    /// The policy in force on this thread.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.borrow())
    }

    /// Counts policies seen by this thread.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.get()
    }

    /// This thread's counters.
    pub(crate) fn shard(&self) -> &Shard {
        self.shared.metrics.shard(self.index)
    }

    /// A mask for a frame of our own (RFC 6455 5.3): from xorshift, seeded by the system. What it hides from is
    /// a proxy that misreads frames of a script's choosing, and these frames are not of a script's choosing.
    pub(crate) fn mask_key(&self) -> [u8; 4] {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        let [a, b, c, d, ..] = x.wrapping_mul(0x2545_F491_4F6C_DD1D).to_be_bytes();
        [a, b, c, d]
    }

    /// Records an event.
    pub(crate) fn record(&self, draft: Draft, now: Now) {
        self.shared.record(draft.into_event(now));
    }

    /// Records an event and returns its reference, for whoever is told of it.
    pub(crate) fn refer(&self, draft: Draft, now: Now) -> String {
        let event = draft.into_event(now);
        let reference = event.id.clone();
        self.shared.record(event);
        reference
    }

    /// Whether what is allowed is recorded too.
    pub(crate) fn records_allowed(&self) -> bool {
        self.policy.borrow().checked.audit.record_allowed
    }

    /// A connection opens.
    pub(crate) fn register(&self, caller: &Caller, now: Now) -> Rc<Handle> {
        self.registry.add(caller, now)
    }

    /// A connection ends.
    pub(crate) fn unregister(&self, handle: &Handle) {
        self.registry.remove(handle);
    }

    fn take_policy(&self) {
        *self.policy.borrow_mut() = self.shared.policy.load_full();
        self.generation.set(self.shared.generation.load(Ordering::Acquire));
        self.idle.forget();
        self.registry.wake_all();
    }

    fn drain(&self) {
        let jitter = || {
            let [a, b, ..] = self.mask_key();
            let share = u32::from(u16::from_be_bytes([a, b]));
            Duration::from_millis(u64::from(share * RECONNECT_WITHIN_MS / 0xFFFF))
        };
        self.registry.drain(jitter);
    }

    /// Obeys commands until they end or the worker is drained.
    pub(crate) async fn obey(self: Rc<Self>, mut commands: mpsc::UnboundedReceiver<Command>) {
        while let Some(command) = commands.recv().await {
            match command {
                Command::PolicyChanged => self.take_policy(),
                // Whoever asked may have stopped waiting.
                Command::List(most, reply) => drop(reply.try_send(self.registry.list(most))),
                Command::Count(reply) => drop(reply.send(self.registry.open())),
                Command::Disconnect(id, reply) => drop(reply.try_send(self.registry.disconnect(&id))),
                Command::Enforce => {
                    let now = self.shared.clock.now();
                    self.registry.enforce(|client, principal| self.shared.gate.blocked(client, principal, now));
                }
                Command::Drain => self.drain(),
            }
        }
    }
}
