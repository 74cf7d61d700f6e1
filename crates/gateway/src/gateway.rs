//! Start, reload, stop: the threads and what they are given.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use portcullis_core::admission::Gate;
use portcullis_core::event::Decision;
use portcullis_core::identity::{KeyRing, TokenCache};
use portcullis_core::limits::Ledger;
use portcullis_core::policy::{Checked, Policy};
use portcullis_core::verdict::Reason;
use portcullis_store::{AuditLog, BLOCKS_FILE, KEYS_FILE, SESSIONS_FILE, Settings, StoreError};
use tokio::runtime::LocalOptions;
use tokio::sync::{broadcast, mpsc, watch};

use crate::admin::{self, AdminState};
use crate::blocklist::Keeper;
use crate::live::View;
use crate::metrics::Metrics;
use crate::record::Draft;
use crate::shared::{Clock, Shared};
use crate::upstream::Upstreams;
use crate::worker::{Command, Worker};
use crate::{api_keys, fetch, listen, nodes, sessions, tls};

/// Events a slow watcher of the live page may lag behind.
const EVENTS_WATCHED: usize = 256;
/// Keys of message limits remembered (users and addresses).
const LEDGER_ENTRIES_MAX: usize = 65_536;
/// How often a draining worker looks whether its connections are gone.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// How often key sets are looked at for their age.
const KEYS_LOOK: Duration = Duration::from_secs(1);
/// The file of the audit inside the state folder.
pub const AUDIT_FILE: &str = "audit.db";

/// Reads and checks the configuration again.
pub type Reloader = Box<dyn Fn() -> Result<Checked, String> + Send + Sync>;

/// Why the gateway did not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on `{address}` ({key}): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The configuration key.
        key: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The policy cannot be compiled.
    #[error("the policy cannot be compiled: {0}")]
    Policy(String),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] tls::TlsError),
    /// The state folder cannot be made.
    #[error("cannot make the state folder `{path}`: {source}; set `state.dir` or `--state` to one that can be written")]
    State {
        /// The folder.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The audit or the blocklist cannot be opened.
    #[error("the state folder: {0}")]
    Store(#[from] StoreError),
    /// A key set that must be there is not.
    #[error("{0}")]
    Keys(#[from] fetch::FetchError),
    /// A database of addresses or a threat list is not sound.
    #[error("{0}")]
    Feed(#[from] crate::feeds::FeedError),
    /// The program cannot meet others.
    #[error("`shared_state` names a server, but this program was built without the feature `redis`")]
    WithoutRedis,
    /// A thread or runtime cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// The gateway, before it runs.
pub struct Gateway;

impl Gateway {
    /// Binds, opens the store, starts the threads. Clients are served when this returns.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(checked: Checked, reloader: Reloader) -> Result<Running, StartError> {
        let policy = compile(checked)?;
        let spec = &policy.checked;
        let workers = spec.listen.workers.unwrap_or_else(cores).max(1);
        let listen_failed = |address, key| move |source| StartError::Listen { address, key, source };
        let listeners =
            listen::bind(spec.listen.address, workers).map_err(listen_failed(spec.listen.address, "listen.address"))?;
        let admin_listener =
            listen::bind(spec.admin.address, 1).map_err(listen_failed(spec.admin.address, "admin.address"))?;
        let local = |listeners: &[std::net::TcpListener]| listeners.first().and_then(|one| one.local_addr().ok());
        let gateway_address = local(&listeners).unwrap_or(spec.listen.address);
        let admin_address = local(&admin_listener).unwrap_or(spec.admin.address);
        let (desk, tray) = sessions::desk();
        let shared = share(Arc::clone(&policy), workers, desk)?;
        blocking(load_keys(&shared, &shared.keys.load_full(), &policy, true))??;
        shared.feeds.load(&shared, &policy)?;
        let keeper = Keeper::open(&spec.state_dir.join(BLOCKS_FILE), &shared)?;
        let key_keeper = api_keys::Keeper::open(&spec.state_dir.join(KEYS_FILE), &shared)?;
        let session_keeper = sessions::Keeper::open(&spec.state_dir.join(SESSIONS_FILE), tray, &shared)?;
        let (stop, stopping) = watch::channel(false);
        let mut threads = Vec::new();
        let mut commands = Vec::new();
        for (index, listener) in listeners.into_iter().enumerate() {
            let (sender, receiver) = mpsc::unbounded_channel();
            commands.push(sender);
            let (shared, stopping) = (Arc::clone(&shared), stopping.clone());
            let name = format!("worker-{index}");
            threads.push(thread(name, move || work(shared, index, listener, receiver, stopping))?);
        }
        {
            let (workers, stopping) = (commands.clone(), stopping.clone());
            threads.push(thread(String::from("blocklist"), move || keeper.run(workers, &stopping))?);
        }
        {
            let (workers, stopping) = (commands.clone(), stopping.clone());
            threads.push(thread(String::from("api-keys"), move || key_keeper.run(&workers, &stopping))?);
        }
        {
            let (workers, stopping) = (commands.clone(), stopping.clone());
            threads.push(thread(String::from("sessions"), move || session_keeper.run(&workers, &stopping))?);
        }
        if let Some(nodes) = &shared.nodes {
            threads.push(nodes::start(nodes, &shared, stopping.clone())?);
        }
        shared.statistics.workers(commands.clone());
        let core = Arc::new(Core { shared, commands, reloader, reloading: Mutex::new(()) });
        for listener in admin_listener {
            let (core, stopping) = (Arc::clone(&core), stopping.clone());
            threads.push(thread(String::from("admin"), move || administer(core, listener, admin_address, stopping))?);
        }
        core.note(Reason::Started, format!("listening on {gateway_address}, admin on {admin_address}"));
        Ok(Running { gateway_address, admin_address, core, stop, threads })
    }
}

/// A gateway that serves.
pub struct Running {
    /// Where clients connect.
    pub gateway_address: SocketAddr,
    /// Where operators connect.
    pub admin_address: SocketAddr,
    core: Arc<Core>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Running {
    /// Reads the configuration again and puts it in force for new and open connections; none is dropped. A
    /// configuration that is refused leaves the one in force.
    ///
    /// # Errors
    /// What is wrong with the new configuration.
    pub fn reload(&self) -> Result<(), String> {
        self.core.reload()
    }

    /// Stops accepting, tells every client to come back elsewhere, waits until they are gone or
    /// `listen.drain_timeout` is over, and flushes the audit.
    pub fn drain(self) {
        let within = self.core.shared.policy.load().checked.listen.drain_timeout;
        self.core.shared.draining.store(true, Ordering::Release);
        for worker in &self.core.commands {
            // A worker that is gone has nothing to drain.
            let _ = worker.send(Command::Drain);
        }
        let _ = self.stop.send(true);
        for thread in self.threads {
            let _ = thread.join();
        }
        self.core.note(Reason::Stopped, String::from("drained"));
        if let Some(audit) = &self.core.shared.audit
            && let Err(error) = audit.flush(within.max(Duration::from_secs(1)))
        {
            tracing::error!("the last audit events may be lost: {error}");
        }
    }
}

/// What start, reload and the admin listener share.
struct Core {
    shared: Arc<Shared>,
    commands: Vec<mpsc::UnboundedSender<Command>>,
    reloader: Reloader,
    reloading: Mutex<()>,
}

impl Core {
    fn note(&self, reason: Reason, detail: String) {
        let draft = Draft::new(reason, Decision::Allowed, "gateway", detail);
        self.shared.record(draft.into_event(self.shared.clock.now()));
    }

    fn reload(&self) -> Result<(), String> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.replace();
        match &outcome {
            Ok(()) => {
                let version = self.shared.generation.load(Ordering::Acquire);
                tracing::info!(version, "the configuration was reloaded");
                self.note(Reason::ConfigReloaded, format!("version {version} is in force"));
            }
            Err(error) => {
                tracing::error!("the new configuration is refused, the old one stays:\n{error}");
                let first = error.lines().next().unwrap_or_default();
                self.note(Reason::ConfigRefused, first.chars().take(400).collect());
            }
        }
        outcome
    }

    fn replace(&self) -> Result<(), String> {
        let checked = (self.reloader)()?;
        let old = self.shared.policy.load_full();
        let policy = compile(checked).map_err(|error| error.to_string())?;
        let tls = listen::tls_of(&policy.checked.listen).map_err(|error| error.to_string())?;
        let keys = key_ring(&policy).map_err(|error| error.to_string())?;
        keys.inherit(&self.shared.keys.load());
        let keys = Arc::new(keys);
        blocking(load_keys(&self.shared, &keys, &policy, true))
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        let upstreams = Upstreams::new(&policy, &self.shared.upstreams.load()).map_err(|error| error.to_string())?;
        for (what, before, after) in [
            ("listen.address", old.checked.listen.address, policy.checked.listen.address),
            ("admin.address", old.checked.admin.address, policy.checked.admin.address),
        ] {
            if before != after {
                tracing::warn!("`{what}` changed from {before} to {after}: that needs a restart");
            }
        }
        let shared = &self.shared;
        shared.feeds.load(shared, &policy).map_err(|error| error.to_string())?;
        if shared.nodes.as_ref().map_or(policy.checked.shared_state.is_some(), |nodes| !nodes.is(&policy)) {
            tracing::warn!("`shared_state` changed: that needs a restart");
        }
        shared.upstreams.store(Arc::new(upstreams));
        shared.cache.store(Arc::new(token_cache(&policy)));
        shared.keys.store(keys);
        shared.fetches.keep(&policy.checked.identity);
        shared.callbacks.keep(&policy);
        shared.tls.store(tls);
        shared.gate.reconfigure(&policy);
        shared.metrics.name_routes(policy.routes().iter().map(|route| route.spec.name.clone()).collect());
        shared.policy.store(policy);
        shared.generation.fetch_add(1, Ordering::AcqRel);
        for worker in &self.commands {
            let _ = worker.send(Command::PolicyChanged);
        }
        Ok(())
    }
}

fn compile(checked: Checked) -> Result<Arc<Policy>, StartError> {
    Policy::compile(checked).map(Arc::new).map_err(|error| StartError::Policy(error.to_string()))
}

fn share(policy: Arc<Policy>, workers: usize, sessions: sessions::Desk) -> Result<Arc<Shared>, StartError> {
    let spec = &policy.checked;
    let folder = &spec.state_dir;
    std::fs::create_dir_all(folder)
        .map_err(|source| StartError::State { path: folder.display().to_string(), source })?;
    let audit = if spec.audit.enabled {
        let settings =
            Settings { queue_max: spec.audit.queue_max, retention: spec.audit.retention, ..Settings::default() };
        Some(AuditLog::open(&folder.join(AUDIT_FILE), &settings)?)
    } else {
        None
    };
    let keys = key_ring(&policy)?;
    let kept_seed = crate::memory::seed(folder, seed());
    let names = policy.routes().iter().map(|route| route.spec.name.clone()).collect();
    Ok(Arc::new(Shared {
        clock: Clock::start(),
        generation: AtomicU64::new(1),
        gate: Gate::new(&policy, kept_seed),
        ledger: Arc::new(ledger(&policy, kept_seed)),
        kept_seed,
        keys: ArcSwap::from_pointee(keys),
        cache: ArcSwap::from_pointee(token_cache(&policy)),
        upstreams: ArcSwap::from_pointee(Upstreams::new(&policy, &Upstreams::default())?),
        tls: ArcSwapOption::new(listen::tls_of(&spec.listen)?),
        client_tls: tls::client()?,
        audit,
        events: broadcast::Sender::new(EVENTS_WATCHED),
        metrics: Metrics::new(workers, names),
        introspections: crate::introspect::places(),
        authorizations: crate::authorize::places(),
        callbacks: crate::callback::Callbacks::default(),
        sessions,
        statistics: crate::statistics::Statistics::default(),
        fetches: fetch::Fetches::default(),
        feeds: crate::feeds::Feeds::default(),
        hash_seed: seed()[0],
        draining: AtomicBool::new(false),
        flood_level: AtomicU8::new(0),
        nodes: nodes::Nodes::of(&policy)?,
        policy: ArcSwap::new(policy),
    }))
}

fn key_ring(policy: &Policy) -> Result<KeyRing, StartError> {
    KeyRing::new(&policy.checked.identity)
        .map_err(|(at, error)| StartError::Policy(format!("identity.keys[{at}]: {error}")))
}

fn token_cache(policy: &Policy) -> TokenCache {
    let identity = &policy.checked.identity;
    TokenCache::new(identity.cache_entries_max, identity.cache_ttl)
}

fn ledger(policy: &Policy, seed: [u64; 2]) -> Ledger {
    let ledger = Ledger::new(LEDGER_ENTRIES_MAX, seed);
    if policy.checked.shared_state.is_some() { ledger.named() } else { ledger }
}

/// 128 bits from the system's generator.
fn seed() -> [u64; 2] {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    [high, low]
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn thread(name: String, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new().name(name).spawn(body).map_err(StartError::Thread)
}

/// Runs a future to its end on a thread of its own: callers may stand inside a runtime.
fn blocking<T: Send>(future: impl Future<Output = T> + Send) -> Result<T, StartError> {
    std::thread::scope(|scope| {
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(future))
        };
        let thread = std::thread::Builder::new().spawn_scoped(scope, run)?;
        thread.join().unwrap_or_else(|_| Err(std::io::Error::other("a thread ended early")))
    })
    .map_err(StartError::Thread)
}

/// Fills what is empty of a key ring. Files must be there; a provider that does not answer is asked again later.
async fn load_keys(
    shared: &Shared,
    keys: &KeyRing,
    policy: &Policy,
    files_must: bool,
) -> Result<(), fetch::FetchError> {
    use portcullis_core::policy::checked::JwksLocation;
    let sources = policy.checked.identity.jwks.iter().enumerate().filter(|(index, _)| !keys.is_loaded(*index));
    // Together, so that one slow provider is waited for and not one after the other.
    let loads = sources.map(|(index, source)| async move {
        let Err(error) = fetch::load(shared, keys, index, source).await else { return Ok(()) };
        match source.location {
            JwksLocation::File(_) if files_must => return Err(error),
            _ => tracing::warn!("{error}"),
        }
        Ok(())
    });
    futures_util::future::join_all(loads).await.into_iter().collect()
}

fn work(
    shared: Arc<Shared>,
    index: usize,
    listener: std::net::TcpListener,
    commands: mpsc::UnboundedReceiver<Command>,
    mut stopping: watch::Receiver<bool>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!("a worker cannot start: {error}"),
    };
    runtime.block_on(async move {
        let [random, _] = seed();
        let worker = Worker::new(shared, index, random);
        tokio::task::spawn_local(std::rc::Rc::clone(&worker).obey(commands));
        tokio::task::spawn_local(crate::relay::cohort::judging(std::rc::Rc::clone(&worker)));
        tokio::task::spawn_local(crate::worker::tick());
        let stop = async move {
            // The sender is gone only when the gateway is.
            let _ = stopping.wait_for(|stop| *stop).await;
        };
        if let Err(error) = listen::accept(std::rc::Rc::clone(&worker), listener, stop).await {
            tracing::error!("a worker stopped accepting: {error}");
        }
        let within = worker.policy().checked.listen.drain_timeout;
        let gone = async {
            while worker.registry.len() > 0 {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        if tokio::time::timeout(within, gone).await.is_err() {
            tracing::warn!("{} connections did not end in time and are cut", worker.registry.len());
        }
    });
}

fn administer(
    core: Arc<Core>,
    listener: std::net::TcpListener,
    address: SocketAddr,
    mut stopping: watch::Receiver<bool>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!("the admin listener cannot start: {error}"),
    };
    runtime.block_on(async move {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!("the admin listener cannot start: {error}"),
        };
        tokio::spawn(keep_keys_fresh(Arc::clone(&core.shared)));
        tokio::spawn(crate::feeds::keep_fresh(Arc::clone(&core.shared)));
        tokio::spawn(crate::upstream::health::keep_watch(Arc::clone(&core.shared)));
        let router = admin::router(admin_state(&core, address));
        // The stop is told to the workers too; the page stays up while they drain.
        let stop = async {
            // The sender is gone only when the gateway is.
            let _ = stopping.wait_for(|stop| *stop).await;
            wait_for_drain(&core.shared).await;
        };
        admin::serve(listener, router, stop).await;
    });
}

async fn wait_for_drain(shared: &Shared) {
    let within = shared.policy.load().checked.listen.drain_timeout;
    let gone = async {
        while shared.gate.open_connections() > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    };
    // Whoever is left is cut by its worker.
    let _ = tokio::time::timeout(within, gone).await;
}

fn admin_state(core: &Arc<Core>, address: SocketAddr) -> AdminState {
    let shared = &core.shared;
    let policy = shared.policy.load_full();
    let reload = {
        let core = Arc::clone(core);
        Arc::new(move || core.reload())
    };
    let blocks = policy.checked.state_dir.join(BLOCKS_FILE);
    let view = View { shared: Arc::clone(shared), workers: core.commands.clone(), reload, blocks };
    AdminState {
        metrics: Arc::clone(&shared.metrics),
        events: shared.events.clone(),
        reader: shared.audit.is_some().then(|| policy.checked.state_dir.join(AUDIT_FILE)),
        api_keys: policy.checked.state_dir.join(KEYS_FILE),
        sessions: policy.checked.state_dir.join(SESSIONS_FILE),
        live: Arc::new(view),
        token: policy.checked.admin.token.clone(),
        tokens: policy.checked.admin.tokens.clone(),
        address,
    }
}

/// Reads key sets again as they grow old, each on its own, so that a slow provider holds up no other. One that failed is
/// asked again soon.
async fn keep_keys_fresh(shared: Arc<Shared>) {
    let mut seen = 0;
    // When each was asked last; `None` for at once.
    let mut asked: Vec<Option<Duration>> = Vec::new();
    loop {
        tokio::time::sleep(KEYS_LOOK).await;
        let policy = shared.policy.load_full();
        let sources = &policy.checked.identity.jwks;
        let now = shared.clock.now().mono;
        let generation = shared.generation.load(Ordering::Acquire);
        if generation != seen {
            // A start has just read them all; a reload may have inherited some.
            asked = vec![(seen == 0).then_some(now); sources.len()];
            seen = generation;
        }
        for (index, (source, asked)) in sources.iter().zip(&mut asked).enumerate() {
            let failed = shared.fetches.failed(source);
            let pause = if failed { source.refresh.min(fetch::FAILED_PAUSE) } else { source.refresh };
            if asked.is_some_and(|at| now.saturating_sub(at) < pause) {
                continue;
            }
            *asked = Some(now);
            let (shared, keys, source) = (Arc::clone(&shared), shared.keys.load_full(), source.clone());
            tokio::spawn(async move {
                if let Err(error) = fetch::load(&shared, &keys, index, &source).await {
                    tracing::warn!("{error}; the keys it gave before stay in force");
                }
            });
        }
    }
}
