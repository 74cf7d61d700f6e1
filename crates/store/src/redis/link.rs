//! The connection: made and kept by one keeper, asked by everybody, each with a timeout.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use portcullis_core::policy::checked::{Secret, Sentinel, SharedState};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, Pipeline, RedisFuture,
    RedisResult, TlsCertificates, Value,
};

/// Questions in a row that get no answer in time; then nobody asks until the keeper has heard of the server.
pub const MISSES_MAX: u32 = 3;
/// What a connection and the keeper's own questions may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longer than ours, so that ours is the one that is told.
const LIBRARY_PATIENCE: Duration = Duration::from_secs(3);
/// Words of a server that are shown, characters.
const WORDS_MAX: usize = 200;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Nobody is connected, or the server was silent too often.
    #[error("it is not connected")]
    Down,
    /// No answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// The server or the network says no.
    #[error("{0}")]
    Failed(String),
}

impl From<redis::RedisError> for LinkError {
    fn from(error: redis::RedisError) -> Self {
        let words: String = error.to_string().chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
        Self::Failed(words)
    }
}

/// Counts of what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answered {
    /// Questions that were answered.
    pub answered: u64,
    /// Questions that were not.
    pub failed: u64,
}

/// See the module.
pub struct Link {
    urls: Vec<Secret>,
    sentinel: Option<Sentinel>,
    ca_pem: Option<Vec<u8>>,
    /// Connections that were tried.
    dials: AtomicUsize,
    connection: ArcSwapOption<Connection>,
    misses: AtomicU32,
    answered: AtomicU64,
    failed: AtomicU64,
}

#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(command),
            Self::Cluster(cluster) => cluster.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(one) => one.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

impl Link {
    /// A link that is not connected.
    #[must_use]
    pub fn new(spec: &SharedState) -> Self {
        Self {
            urls: spec.urls.clone(),
            sentinel: spec.sentinel.clone(),
            ca_pem: spec.ca_pem.clone(),
            dials: AtomicUsize::new(0),
            connection: ArcSwapOption::empty(),
            misses: AtomicU32::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Connects; what carries the connection runs on the caller's runtime.
    ///
    /// # Errors
    /// Nobody is there, or it does not let us in.
    pub async fn connect(&self) -> Result<(), LinkError> {
        let connection = tokio::time::timeout(PATIENCE, self.dial()).await.map_err(|_| LinkError::Late(PATIENCE))??;
        self.misses.store(0, Ordering::Release);
        self.connection.store(Some(Arc::new(connection)));
        Ok(())
    }

    /// Lets go of the connection.
    pub fn disconnect(&self) {
        self.connection.store(None);
    }

    /// Whether somebody who asks may hope for an answer.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.connection.load().is_some() && self.misses.load(Ordering::Acquire) < MISSES_MAX
    }

    /// What was asked since the start, but for the keeper's own questions.
    #[must_use]
    pub fn counts(&self) -> Answered {
        Answered { answered: self.answered.load(Ordering::Relaxed), failed: self.failed.load(Ordering::Relaxed) }
    }

    /// A question of somebody who waits at most `timeout`.
    pub(super) async fn ask<T>(
        &self,
        timeout: Duration,
        question: impl AsyncFnOnce(&mut Connection) -> redis::RedisResult<T>,
    ) -> Result<T, LinkError> {
        if self.misses.load(Ordering::Acquire) >= MISSES_MAX {
            return Err(LinkError::Down);
        }
        let outcome = self.put(timeout, question).await;
        match &outcome {
            Ok(_) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                self.misses.store(0, Ordering::Release);
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                if matches!(error, LinkError::Late(_)) {
                    self.misses.fetch_add(1, Ordering::AcqRel);
                }
            }
        }
        outcome
    }

    /// A question of the keeper, who has time and whose success ends a silence.
    pub(super) async fn tend<T>(
        &self,
        question: impl AsyncFnOnce(&mut Connection) -> redis::RedisResult<T>,
    ) -> Result<T, LinkError> {
        let outcome = self.put(PATIENCE, question).await;
        if outcome.is_ok() {
            self.misses.store(0, Ordering::Release);
        }
        outcome
    }

    async fn put<T>(
        &self,
        timeout: Duration,
        question: impl AsyncFnOnce(&mut Connection) -> redis::RedisResult<T>,
    ) -> Result<T, LinkError> {
        let mut connection = Connection::clone(self.connection.load().as_deref().ok_or(LinkError::Down)?);
        let answer = tokio::time::timeout(timeout, question(&mut connection)).await;
        Ok(answer.map_err(|_| LinkError::Late(timeout))??)
    }
}

/// How a new connection is made: one server, the master that Sentinels name, or a cluster.
impl Link {
    async fn dial(&self) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(LIBRARY_PATIENCE))
            .set_response_timeout(Some(LIBRARY_PATIENCE));
        if let Some(sentinel) = &self.sentinel {
            let master = self.watched(sentinel)?.async_get_client().await?;
            return master.get_multiplexed_async_connection_with_config(&config).await.map(Connection::One);
        }
        if let [one] = self.urls.as_slice() {
            let client = match self.certificates() {
                Some(certificates) => Client::build_with_tls(text(one), certificates)?,
                None => Client::open(text(one))?,
            };
            return client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::One);
        }
        let mut cluster = ClusterClientBuilder::new(self.urls.iter().map(text))
            .connection_timeout(LIBRARY_PATIENCE)
            .response_timeout(LIBRARY_PATIENCE)
            .retries(2);
        if let Some(certificates) = self.certificates() {
            cluster = cluster.certs(certificates);
        }
        cluster.build()?.get_async_connection().await.map(Connection::Cluster)
    }

    /// Sentinels, with another one first each time: one that is silent holds up one attempt.
    fn watched(&self, sentinel: &Sentinel) -> RedisResult<SentinelClient> {
        let read = self.urls.iter().map(|url| text(url).into_connection_info());
        let mut infos = read.collect::<RedisResult<Vec<ConnectionInfo>>>()?;
        let first = self.dials.fetch_add(1, Ordering::Relaxed) % infos.len().max(1);
        infos.rotate_left(first);
        let addresses: Vec<ConnectionAddr> = infos.iter().map(|info| info.addr().clone()).collect();
        let encrypted = addresses.iter().any(|address| matches!(address, ConnectionAddr::TcpTls { .. }));
        let mut builder = SentinelClientBuilder::new(addresses, &sentinel.master, SentinelServerType::Master)?;
        if encrypted {
            builder = builder.set_client_to_redis_tls_mode(redis::TlsMode::Secure);
            if let Some(certificates) = self.certificates() {
                builder = builder
                    .set_client_to_redis_certificates(certificates.clone())
                    .set_client_to_sentinel_certificates(certificates);
            }
        }
        // Which of them names the account makes no difference.
        let account = infos.iter().map(ConnectionInfo::redis_settings).find(|server| server.password().is_some());
        if let Some(user) = account.and_then(|account| account.username()) {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = account.and_then(|account| account.password()) {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(database) = infos.iter().map(|info| info.redis_settings().db()).find(|database| *database != 0) {
            builder = builder.set_client_to_redis_db(database);
        }
        if let Some(password) = &sentinel.password {
            builder = builder.set_client_to_sentinel_password(text(password));
        }
        builder.build()
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        let root_cert = Some(self.ca_pem.clone()?);
        Some(TlsCertificates { client_tls: None, root_cert })
    }
}

fn text(secret: &Secret) -> String {
    String::from_utf8_lossy(secret.expose()).into_owned()
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// `Redis 7.0.15` or `Valkey 8.1.0`.
    pub server: String,
    /// What it does when its memory is full.
    pub eviction: String,
}

/// Asks who is there.
///
/// # Errors
/// Nobody is, or it does not let us in.
pub async fn probe(spec: &SharedState) -> Result<Probe, LinkError> {
    let link = Link::new(spec);
    link.connect().await?;
    // One node of a cluster is asked, not all: each would answer for itself.
    let mut info = redis::cmd("EVAL");
    info.arg("return {redis.call('INFO', 'server'), redis.call('INFO', 'memory')}")
        .arg(1)
        .arg(format!("{{{}:lists}}:version", spec.prefix));
    let said: (String, String) = link.tend(async |to| info.query_async(to).await).await?;
    let value = |text: &str, name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned));
        found.map(|text| text.chars().filter(|c| c.is_ascii_graphic()).take(64).collect::<String>())
    };
    let server = match (value(&said.0, "valkey_version"), value(&said.0, "redis_version")) {
        (Some(version), _) => format!("Valkey {version}"),
        (None, Some(version)) => format!("Redis {version}"),
        (None, None) => String::from("a server that does not say its version"),
    };
    Ok(Probe { server, eviction: value(&said.1, "maxmemory_policy").unwrap_or_default() })
}
