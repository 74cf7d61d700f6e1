//! Keeps sessions (SPEC 5): the one thread that writes their file and puts them in force.
//!
//! A session is written before it is told, so what a client holds survives the loss of the process. The thread looks at
//! the file five times a second for what others changed, ends what is idle or old, and has the connections of sessions
//! that are gone closed. A file that cannot be written issues nothing; one that cannot be read leaves the sessions in
//! force as they are, and says so in the log.
//!
//! Where there are several nodes every change goes to the others, and theirs come here, in `elsewhere.rs`.

mod elsewhere;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use portcullis_core::event::Decision;
use portcullis_core::identity::session::{Order, Plan, RANDOM_BYTES, Session};
use portcullis_core::reputation::Target;
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;
use portcullis_store::{Entries, SessionFile, StoreError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::metrics::SessionOutcome as Outcome;
use crate::record::Draft;
use crate::shared::Shared;
use crate::worker::Command;

/// Wishes that wait at most; more are refused with 503.
const WAITING_MAX: usize = 1_024;
/// From one look at the file to the next.
const LOOK: Duration = Duration::from_millis(200);
/// From one writing of last uses to the next, at most; and how often within the idle time, so that no other node takes a
/// session that is used here for an idle one.
const USED_EVERY: Duration = Duration::from_secs(30);
const USED_WITHIN_IDLE: u32 = 4;
/// Ends named in events at one look; the book itself takes all of them.
const EVENTS_MAX: usize = 100;

/// What the thread is asked for.
enum Wish {
    Issue(Box<Order>, oneshot::Sender<Result<Plan, Reason>>),
    End(String, oneshot::Sender<Result<bool, Reason>>),
    EndOf(Target, oneshot::Sender<Result<usize, Reason>>),
    Merge(Entries, oneshot::Sender<Result<(), Reason>>),
    Words(oneshot::Sender<Result<Entries, Reason>>),
}

/// Where wishes are handed in.
pub(crate) struct Desk(SyncSender<Wish>);

/// Where the thread takes them.
pub(crate) struct Tray(Receiver<Wish>);

/// Both ends.
pub(crate) fn desk() -> (Desk, Tray) {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    (Desk(sender), Tray(receiver))
}

impl Desk {
    /// A session, once it is kept and in force.
    ///
    /// # Errors
    /// There are too many, or it could not be kept.
    pub(crate) async fn issue(&self, order: Order) -> Result<Plan, Reason> {
        self.ask(|reply| Wish::Issue(Box::new(order), reply)).await
    }

    /// Ends a session; false where it was not in force.
    ///
    /// # Errors
    /// The file could not be written.
    pub(crate) async fn end(&self, id: &str) -> Result<bool, Reason> {
        self.ask(|reply| Wish::End(id.to_owned(), reply)).await
    }

    /// Ends every session that rests on what a target names; how many.
    ///
    /// # Errors
    /// The file could not be written.
    pub(crate) async fn end_of(&self, target: Target) -> Result<usize, Reason> {
        self.ask(|reply| Wish::EndOf(target, reply)).await
    }

    /// Takes over what other nodes said.
    ///
    /// # Errors
    /// The file could not be written.
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "only other nodes ask"))]
    pub(crate) async fn merge(&self, entries: Entries) -> Result<(), Reason> {
        self.ask(|reply| Wish::Merge(entries, reply)).await
    }

    /// The last words on all sessions, for other nodes.
    ///
    /// # Errors
    /// The file could not be read.
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "only other nodes ask"))]
    pub(crate) async fn words(&self) -> Result<Entries, Reason> {
        self.ask(Wish::Words).await
    }

    async fn ask<T>(&self, wish: impl FnOnce(oneshot::Sender<Result<T, Reason>>) -> Wish) -> Result<T, Reason> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(wish(reply)).map_err(|_| Reason::SessionsUnavailable)?;
        answer.await.unwrap_or(Err(Reason::SessionsUnavailable))
    }
}

/// The thread's state.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    tray: Tray,
    file: SessionFile,
    version: i64,
}

impl Keeper {
    /// Opens the file and puts its sessions in force.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub(crate) fn open(path: &Path, tray: Tray, shared: &Arc<Shared>) -> Result<Self, StoreError> {
        let file = SessionFile::open(path)?;
        let version = file.version()?;
        shared.gate.sessions().replace(file.all(None)?);
        Ok(Self { shared: Arc::clone(shared), tray, file, version })
    }

    /// Serves wishes and looks after the file until `stopping` says so.
    pub(crate) fn run(mut self, workers: &[mpsc::UnboundedSender<Command>], stopping: &watch::Receiver<bool>) {
        let (mut looked, mut noted) = (self.mono(), self.mono());
        while !*stopping.borrow() {
            match self.tray.0.recv_timeout(LOOK) {
                Ok(wish) => self.grant(wish, workers),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = self.mono();
            if now.saturating_sub(looked) >= LOOK {
                looked = now;
                if report(self.look()).is_some_and(|gone| gone > 0) {
                    enforce(workers);
                }
                report(self.sweep());
            }
            if now.saturating_sub(noted) >= self.used_every() {
                noted = now;
                report(self.keep_used());
            }
        }
        report(self.keep_used());
    }

    fn mono(&self) -> Duration {
        self.shared.clock.mono()
    }

    fn grant(&mut self, wish: Wish, workers: &[mpsc::UnboundedSender<Command>]) {
        match wish {
            Wish::Issue(order, reply) => {
                let outcome = self.issue(&order);
                let gone = outcome.as_ref().is_ok_and(|plan| !(plan.replaces.is_empty() && plan.displaces.is_empty()));
                // Whoever asked may be gone; the session then ends by idleness.
                let _ = reply.send(outcome);
                if gone {
                    enforce(workers);
                }
            }
            Wish::End(id, reply) => {
                let outcome = self.end(&[id], Outcome::LoggedOut).map(|ended| ended > 0);
                let _ = reply.send(outcome.map_err(|error| unavailable(&error)));
                enforce(workers);
            }
            Wish::EndOf(target, reply) => {
                let ids = self.shared.gate.sessions().resting_on(&target);
                let outcome = self.end(&ids, Outcome::Revoked);
                let _ = reply.send(outcome.map_err(|error| unavailable(&error)));
                enforce(workers);
            }
            Wish::Merge(entries, reply) => {
                let outcome = self.merge(&entries);
                if outcome.as_ref().is_ok_and(|ended| *ended > 0) {
                    enforce(workers);
                }
                let _ = reply.send(outcome.map(drop).map_err(|error| unavailable(&error)));
            }
            Wish::Words(reply) => {
                let _ = reply.send(self.words().map_err(|error| unavailable(&error)));
            }
        }
    }

    fn issue(&mut self, order: &Order) -> Result<Plan, Reason> {
        let policy = self.shared.policy.load();
        let rules = policy.checked.identity.sessions.as_ref().ok_or(Reason::SessionsUnavailable)?;
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(|_| Reason::SessionsUnavailable)?;
        let sessions = self.shared.gate.sessions();
        let now = self.shared.clock.now();
        let plan = sessions.plan(&random, order, rules, now)?;
        let leaving: Vec<String> = plan.replaces.iter().chain(&plan.displaces).cloned().collect();
        self.file.put(&plan.session, &leaving).map_err(|error| unavailable(&error))?;
        let replaced = sessions.end(&plan.replaces);
        let displaced = sessions.end(&plan.displaces);
        sessions.commit(&plan);
        self.say_ended(replaced.iter().chain(&displaced));
        self.say_in_force([plan.session.terms.id.as_str()], rules);
        self.tell(&replaced, Outcome::Rotated, now);
        self.tell(&displaced, Outcome::Displaced, now);
        self.shared.metrics.session(Outcome::Issued, 1);
        Ok(plan)
    }

    fn end(&mut self, ids: &[String], outcome: Outcome) -> Result<usize, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        self.file.remove(ids)?;
        let ended = self.shared.gate.sessions().end(ids);
        self.say_ended(&ended);
        self.tell(&ended, outcome, self.shared.clock.now());
        Ok(ended.len())
    }

    /// Takes over what another program changed; how many are gone.
    fn look(&mut self) -> Result<usize, StoreError> {
        let version = self.file.version()?;
        if version == self.version {
            return Ok(0);
        }
        let gone = self.shared.gate.sessions().replace(self.file.all(None)?);
        self.version = version;
        self.say_ended(&gone);
        self.tell(&gone, Outcome::Revoked, self.shared.clock.now());
        Ok(gone.len())
    }

    /// Ends what has ended by itself; its connections close by their own clocks.
    fn sweep(&mut self) -> Result<(), StoreError> {
        let policy = self.shared.policy.load_full();
        let Some(rules) = &policy.checked.identity.sessions else { return Ok(()) };
        let ended = self.shared.gate.sessions().ended(rules, self.shared.clock.now());
        for (reason, outcome) in [(Reason::SessionIdle, Outcome::Idle), (Reason::SessionExpired, Outcome::Expired)] {
            let ids: Vec<String> =
                ended.iter().filter(|(_, why)| *why == reason).map(|(session, _)| session.terms.id.clone()).collect();
            if !ids.is_empty() {
                // Not said to other nodes: each sees it for itself, and one may know of a later use.
                self.file.forget(&ids)?;
                let ended = self.shared.gate.sessions().end(&ids);
                self.tell(&ended, outcome, self.shared.clock.now());
            }
        }
        Ok(())
    }

    fn used_every(&self) -> Duration {
        let policy = self.shared.policy.load();
        let idle = policy.checked.identity.sessions.as_ref().map(|rules| rules.idle_timeout / USED_WITHIN_IDLE);
        idle.unwrap_or(USED_EVERY).clamp(LOOK, USED_EVERY)
    }

    fn keep_used(&mut self) -> Result<(), StoreError> {
        let used = self.shared.gate.sessions().take_used();
        if used.is_empty() {
            return Ok(());
        }
        self.file.used(&used)?;
        let policy = self.shared.policy.load();
        if let Some(rules) = &policy.checked.identity.sessions {
            self.say_in_force(used.iter().map(|(id, _)| id.as_str()), rules);
        }
        Ok(())
    }

    /// Counts ends, and records an event for each.
    fn tell(&self, ended: &[Session], outcome: Outcome, now: Now) {
        self.shared.metrics.session(outcome, u64::try_from(ended.len()).unwrap_or(u64::MAX));
        for session in ended.iter().take(EVENTS_MAX) {
            let draft = Draft {
                session: Some(session.terms.id.clone()),
                user: Some(session.terms.subject.clone()),
                tenant: session.terms.tenant.clone(),
                ..Draft::new(Reason::SessionEnded, Decision::Allowed, "session", outcome.words().to_owned())
            };
            self.shared.record(draft.into_event(now));
        }
    }
}

fn enforce(workers: &[mpsc::UnboundedSender<Command>]) {
    for worker in workers {
        // A worker that is gone has no connections.
        let _ = worker.send(Command::Enforce);
    }
}

fn unavailable(error: &StoreError) -> Reason {
    tracing::error!("a session cannot be kept: {error}");
    Reason::SessionsUnavailable
}

fn report<T>(step: Result<T, StoreError>) -> Option<T> {
    step.inspect_err(|error| tracing::error!("the sessions in force stay as they are: {error}")).ok()
}
