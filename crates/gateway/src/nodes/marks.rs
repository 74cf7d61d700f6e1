//! A task beside the keeper: scores, waits and rates of this node go to the others, and theirs come here (SPEC 6.3, 7.1,
//! 7.2). No admission and no message waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use portcullis_core::limits::Wait;
use portcullis_core::reputation::exchange::Told;
use portcullis_store::redis::{LinkError, MARKS_MAX, Said, Turn, WORDS_MAX};

use super::Nodes;
use crate::shared::Shared;
use crate::standing::risen_elsewhere;

/// Questions of one round; what is left comes with the next.
const QUESTIONS_MAX: usize = 64;

/// How far this node has heard.
#[derive(Default)]
struct Heard {
    epoch: Option<String>,
    read_to: u64,
    /// Scores and waits that a server which lost its memory is told again.
    scores: Vec<Told>,
    waits: Vec<Wait>,
}

/// Exchanges for ever.
pub(super) async fn exchange(nodes: Arc<Nodes>, shared: Arc<Shared>) {
    let mut heard = Heard::default();
    loop {
        tokio::time::sleep(nodes.spec.exchange_interval).await;
        if nodes.connected.load(Ordering::Acquire)
            && let Err(error) = heard.round(&nodes, &shared).await
        {
            tracing::debug!("scores and waits were not exchanged: {error}");
        }
    }
}

impl Heard {
    /// Until everything is told and heard.
    async fn round(&mut self, nodes: &Nodes, shared: &Shared) -> Result<(), LinkError> {
        for _ in 0..QUESTIONS_MAX {
            if !self.step(nodes, shared).await? {
                break;
            }
        }
        Ok(())
    }

    /// One question. Tells whether there is more to say or to hear.
    async fn step(&mut self, nodes: &Nodes, shared: &Shared) -> Result<bool, LinkError> {
        let now = shared.clock.now();
        let scores = shared.gate.scores();
        // What was lost comes before what is new.
        let again = self.scores.len().min(WORDS_MAX);
        let mut told: Vec<Told> = self.scores.iter().take(again).cloned().collect();
        told.extend(scores.tell(WORDS_MAX - again, now));
        let again_waits = self.waits.len().min(WORDS_MAX);
        let mut waits: Vec<Wait> = self.waits.iter().take(again_waits).copied().collect();
        waits.extend(shared.ledger.waits(false, WORDS_MAX - again_waits, now.mono_nanos()));
        let rates = *nodes.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let half_life = shared.policy.load().checked.reputation.half_life;
        let fresh = uuid::Uuid::new_v4().simple().to_string();
        let said = Said { scores: &told, waits: &waits, rates };
        let turn = Turn { said, since: self.read_to, epoch: &fresh, half_life, hold: nodes.rates_hold() };
        let news = nodes.marks.exchange(&nodes.link, turn).await?;
        let now = shared.clock.now();
        self.scores.drain(..again);
        self.waits.drain(..again_waits);
        let full = told.len() >= WORDS_MAX || waits.len() >= WORDS_MAX;
        shared.ledger.told_waits(&waits);
        nodes.marks_told.fetch_add((told.len() + waits.len()) as u64, Ordering::Relaxed);
        nodes.marks_heard.fetch_add((news.scores.len() + news.waits.len()) as u64, Ordering::Relaxed);
        for risen in scores.settle(told, &news.scores, now) {
            risen_elsewhere(shared, risen, now);
        }
        for wait in &news.waits {
            shared.ledger.hear_wait(wait, now.mono_nanos());
        }
        *nodes.others.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            news.others.map(|others| (now.mono, others));
        if self.epoch.as_ref() == Some(&news.epoch) {
            self.read_to = news.read_to;
            return Ok(full || news.more);
        }
        // Another memory: what this node knows is told again, and all of what it holds is heard.
        if self.epoch.replace(news.epoch).is_some() {
            self.scores = scores.tell_all(MARKS_MAX, now);
            self.waits = shared.ledger.waits(true, MARKS_MAX, now.mono_nanos());
        }
        self.read_to = 0;
        Ok(true)
    }
}
