//! What the admin listener sees of the gateway and may order: the other end of [`crate::admin::Live`].

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use portcullis_core::event::Event;
use portcullis_core::reputation::{Block, Country, Lockdown, Scored, Standing, Target};
use portcullis_store::{Blocks, StoreError};
use tokio::sync::mpsc::UnboundedSender;

use crate::admin::{Blocked, ConnectionInfo, Live};
use crate::metrics::Gauges;
use crate::shared::Shared;
use crate::worker::Command;

/// A worker answers within this, or is left out of the answer.
const WORKER_TIMEOUT: Duration = Duration::from_millis(500);

/// Re-reads the configuration and puts it in force.
pub(crate) type Reload = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// See the module.
pub(crate) struct View {
    pub(crate) shared: Arc<Shared>,
    pub(crate) workers: Vec<UnboundedSender<Command>>,
    pub(crate) reload: Reload,
    /// The blocklist's file.
    pub(crate) blocks: PathBuf,
}

impl Live for View {
    fn connections(&self, limit: usize) -> Vec<ConnectionInfo> {
        let mut found = Vec::new();
        for worker in &self.workers {
            let (reply, answer) = sync_channel(1);
            if worker.send(Command::List(limit - found.len(), reply)).is_ok() {
                found.extend(answer.recv_timeout(WORKER_TIMEOUT).unwrap_or_default());
            }
        }
        found
    }

    fn disconnect(&self, id: &str) -> bool {
        self.workers.iter().any(|worker| {
            let (reply, answer) = sync_channel(1);
            worker.send(Command::Disconnect(id.to_owned(), reply)).is_ok()
                && answer.recv_timeout(WORKER_TIMEOUT).unwrap_or(false)
        })
    }

    fn blocked(&self) -> Result<Blocked, StoreError> {
        let now = self.shared.clock.now().unix_millis();
        let file = Blocks::open(&self.blocks)?;
        Ok(Blocked { blocks: file.all(now)?, earned: file.earned(now)? })
    }

    fn scored(&self) -> Vec<Scored> {
        self.shared.gate.scores().scored(self.shared.clock.now())
    }

    fn block(&self, block: &Block) -> Result<(), StoreError> {
        Blocks::open(&self.blocks)?.put(block)
    }

    fn unblock(&self, target: &Target) -> Result<bool, StoreError> {
        Blocks::open(&self.blocks)?.remove(target)
    }

    fn lockdown(&self) -> Result<Option<Lockdown>, StoreError> {
        Blocks::open(&self.blocks)?.lockdown(self.shared.clock.now().unix_millis())
    }

    fn lock_down(&self, lockdown: &Lockdown) -> Result<(), StoreError> {
        Blocks::open(&self.blocks)?.lock_down(lockdown)
    }

    fn end_lockdown(&self) -> Result<bool, StoreError> {
        Blocks::open(&self.blocks)?.end_lockdown(self.shared.clock.now().unix_millis())
    }

    fn gauges(&self) -> Gauges {
        let shared = &self.shared;
        let audit = shared.audit.as_ref().map(portcullis_store::AuditLog::status);
        Gauges {
            open_connections: shared.gate.open_connections(),
            anonymous_connections: shared.gate.anonymous_connections(),
            sessions: shared.gate.sessions().len(),
            tracked_addresses: shared.gate.tracked(),
            audit_lost: audit.as_ref().map_or(0, |status| status.lost),
            audit_queued: audit.as_ref().map_or(0, |status| status.queued),
            audit_write_failures: audit.as_ref().map_or(0, |status| status.write_failures),
            config_version: shared.generation.load(std::sync::atomic::Ordering::Acquire),
            upstreams: shared.upstreams.load().loads(),
            upstream_up: shared.upstreams.load().health(),
            flood_level: shared.flood_level.load(std::sync::atomic::Ordering::Relaxed),
            locked_down: shared.gate.locked_for(shared.clock.now()).is_some(),
            feeds: shared.feeds.gauges(shared),
            countries: countries(shared),
            raised: raised(shared),
            shared_state: shared.nodes.as_ref().map(|nodes| nodes.gauges()),
            standings: standings(shared),
            tracked_profiles: shared.gate.anomalies().tracked(),
            tracked_scores: shared.gate.scores().tracked(),
            uptime: shared.clock.now().mono,
        }
    }

    fn reload(&self) -> Result<(), String> {
        (self.reload)()
    }

    fn policy_json(&self) -> serde_json::Value {
        crate::policy_view::json(&self.shared.policy.load())
    }

    fn ready(&self) -> bool {
        !self.shared.is_draining() && !self.shared.policy.load().routes().is_empty()
    }

    fn record(&self, event: Event) {
        self.shared.record(event);
    }
}

fn raised(shared: &Shared) -> Vec<(String, u8)> {
    let raised = shared.gate.provenance().raised();
    raised.iter().map(|raised| (raised.country.to_string(), raised.level as u8)).collect()
}

fn countries(shared: &Shared) -> Vec<(String, u64)> {
    let named = |country: Option<Country>| country.map_or_else(|| "unknown".to_owned(), |country| country.to_string());
    shared.gate.provenance().attempts().into_iter().map(|(country, count)| (named(country), count)).collect()
}

fn standings(shared: &Shared) -> Vec<(&'static str, usize)> {
    let scored = shared.gate.scores().scored(shared.clock.now());
    let count = |standing: Standing| scored.iter().filter(|source| source.standing == standing).count();
    let standings = [Standing::Suspicious, Standing::Slowed, Standing::Banned];
    standings.into_iter().map(|standing| (standing.label(), count(standing))).collect()
}
