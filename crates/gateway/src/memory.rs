//! Keeps scores, standings on the ladder and what the flood detector has learned over a restart (SPEC 6.3, 7.1, 7.2).
//!
//! Written every [`EVERY`] and at the end, by the thread of the blocklist. What a clock says about the time between is
//! believed as far as it is not negative.

use std::path::PathBuf;
use std::time::Duration;

use portcullis_core::limits::KeptStanding;
use portcullis_core::reputation::{FACTS, Flood};
use portcullis_store::{KeptMemory, KeptProfiles, MEMORY_FILE, PROFILES_FILE, halves, whole};

use crate::shared::Shared;

/// From one writing to the next.
pub(crate) const EVERY: Duration = Duration::from_secs(15);
/// The same for what is usual for users, which changes slowly and is larger.
const PROFILES_EVERY: Duration = Duration::from_secs(300);

/// The seed of an earlier run of this state folder, or a new one.
pub(crate) fn seed(folder: &std::path::Path, fresh: [u64; 2]) -> [u64; 2] {
    KeptMemory::load(&folder.join(MEMORY_FILE)).map_or(fresh, |kept| kept.seed)
}

/// Puts in force what an earlier run has kept under the same seed.
pub(crate) fn restore(shared: &Shared, flood: &mut Flood) {
    let Some(kept) = KeptMemory::load(&path(shared)).filter(|kept| kept.seed == shared.kept_seed) else { return };
    let now = shared.clock.now();
    let away_ms = now.unix_millis().saturating_sub(kept.saved_unix_ms);
    let scores = kept
        .scores
        .iter()
        .filter_map(|(hash, points)| Some((whole(*hash), <[f32; FACTS]>::try_from(points.as_slice()).ok()?)));
    shared.gate.scores().restore(scores, Duration::from_millis(away_ms), now);
    let standings: Vec<KeptStanding> = kept
        .standings
        .iter()
        .map(|(hash, left_ms, step, forgive_ms)| KeptStanding {
            hash: whole(*hash),
            left_ms: *left_ms,
            step: *step,
            forgive_ms: *forgive_ms,
        })
        .collect();
    shared.ledger.restore_standings(&standings, away_ms, now.mono_nanos());
    flood.restore(kept.flood.0, &kept.flood.1);
}

/// Writes it down.
pub(crate) fn keep(shared: &Shared, flood: &Flood) {
    let now = shared.clock.now();
    let standings = shared.ledger.kept_standings(now.mono_nanos());
    let kept = KeptMemory {
        seed: shared.kept_seed,
        saved_unix_ms: now.unix_millis(),
        scores: shared
            .gate
            .scores()
            .kept(now)
            .into_iter()
            .map(|(hash, points)| (halves(hash), points.to_vec()))
            .collect(),
        standings: standings.into_iter().map(|it| (halves(it.hash), it.left_ms, it.step, it.forgive_ms)).collect(),
        flood: flood.learned(),
    };
    if let Err(error) = kept.save(&path(shared)) {
        tracing::warn!("scores and waits cannot be kept for a restart: {error}");
    }
}

/// Puts in force what an earlier run has learned of users.
pub(crate) fn restore_profiles(shared: &Shared) {
    let kept = KeptProfiles::load(&folder(shared).join(PROFILES_FILE)).filter(|kept| kept.seed == shared.kept_seed);
    let Some(kept) = kept else { return };
    let now = shared.clock.now();
    let away = Duration::from_millis(now.unix_millis().saturating_sub(kept.saved_unix_ms));
    shared.gate.anomalies().restore(&kept.profiles, away, now);
}

/// Writes down what is usual for users, when it is time; tells when that was.
pub(crate) fn keep_profiles(shared: &Shared, kept_at: Duration, at_once: bool) -> Duration {
    let now = shared.clock.now();
    let due = at_once || now.mono.saturating_sub(kept_at) >= PROFILES_EVERY;
    if !due || !shared.gate.anomalies().is_on() {
        return kept_at;
    }
    let profiles = shared.gate.anomalies().kept(now);
    let kept = KeptProfiles { seed: shared.kept_seed, saved_unix_ms: now.unix_millis(), profiles };
    if let Err(error) = kept.save(&folder(shared).join(PROFILES_FILE)) {
        tracing::warn!("what is usual for users cannot be kept for a restart: {error}");
    }
    now.mono
}

fn path(shared: &Shared) -> PathBuf {
    folder(shared).join(MEMORY_FILE)
}

fn folder(shared: &Shared) -> PathBuf {
    shared.policy.load().checked.state_dir.clone()
}
