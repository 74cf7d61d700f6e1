//! Flood levels (SPEC 7.2): how far attempts, failures, failing sources and messages are from what is usual.
//!
//! Decides a level from one sample a second and a baseline that it learns. A level rises when the excess lasts
//! `rise_after`, and falls one at a time when half the excess is gone for `fall_after`. An excess is counted in times of
//! the usual rate with its usual swing, and never against less than a floor, so that a quiet gateway is not alarmed by a
//! few callers. Volume (attempts, messages) counts a quarter of what failures count. What is far above the usual teaches the baseline only up to three times of it, and while a level is
//! raised twenty times slower: nobody trains it within minutes. Until it has learned for one span, only failures count.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::watch::Observed;
use crate::policy::checked::{Factor, Floods};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As usual.
    #[default]
    Normal,
    /// More than usual.
    Elevated,
    /// Much more.
    High,
    /// Far more.
    Critical,
}

impl Level {
    /// All of them, mildest first.
    pub const ALL: [Self; 4] = [Self::Normal, Self::Elevated, Self::High, Self::Critical];

    /// The name in events.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Elevated => "elevated",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    const fn below(self) -> Self {
        match self {
            Self::Normal | Self::Elevated => Self::Normal,
            Self::High => Self::Elevated,
            Self::Critical => Self::High,
        }
    }
}

/// A level changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// From.
    pub from: Level,
    /// To.
    pub to: Level,
    /// What was seen, for operators.
    pub evidence: String,
}

/// One signal: what it is now, and what it usually is. Per second.
#[derive(Debug, Clone, Copy)]
struct Signal {
    name: &'static str,
    floor: f64,
    now: f64,
    mean: f64,
    swing: f64,
    /// A sign of an attacker, which counts before anything was learned; else volume, which crowds make as well.
    hostile: bool,
}

/// Seconds over which the present is smoothed.
const SMOOTHING: f64 = 3.0;
/// Volume counts as the fourth part of its excess: a market that opens is a crowd, not an attack.
const VOLUME: f64 = 0.25;
/// What is above this many times the usual teaches no more than this.
const TAUGHT_MAX: f64 = 3.0;
/// Seconds of calm that failures are taken to have had before the start.
const CALM_BEFORE: u64 = 60;
/// Learning while a level is raised, as a part of learning otherwise.
const SLOWER: f64 = 0.05;

impl Signal {
    fn usual(&self) -> f64 {
        (self.mean + 2.0 * self.swing).max(self.floor)
    }

    fn excess(&self) -> f64 {
        self.now / self.usual()
    }

    /// The excess as it counts.
    fn weight(&self) -> f64 {
        if self.hostile { self.excess() } else { self.excess() * VOLUME }
    }

    fn learn(&mut self, seen: f64, pace: f64) {
        self.now += (seen - self.now) / SMOOTHING;
        let taught = seen.min(self.usual() * TAUGHT_MAX);
        self.swing += ((taught - self.mean).abs() - self.swing) * pace;
        self.mean += (taught - self.mean) * pace;
    }
}

/// The detector.
#[derive(Debug, Clone)]
pub struct Flood {
    spec: Floods,
    signals: [Signal; 4],
    level: Level,
    /// Samples seen.
    age: u64,
    /// Samples in a row that spoke for each level or a higher one.
    raised: [u64; 4],
    /// Samples in a row that spoke for a lower level.
    calm: u64,
}

impl Flood {
    /// A detector that has learned nothing.
    #[must_use]
    pub fn new(spec: Floods) -> Self {
        let signal = |name, floor: u32, hostile| Signal {
            name,
            floor: f64::from(floor),
            now: 0.0,
            mean: 0.0,
            swing: 0.0,
            hostile,
        };
        let signals = [
            signal("failed handshakes", spec.failures_floor, true),
            signal("failing sources", spec.failures_floor, true),
            signal("connection attempts", spec.attempts_floor, false),
            signal("messages", spec.messages_floor, false),
        ];
        Self { spec, signals, level: Level::Normal, age: 0, raised: [0; 4], calm: 0 }
    }

    /// Takes over other settings; what was learned stays.
    pub fn reconfigure(&mut self, spec: &Floods) {
        let floors = [spec.failures_floor, spec.failures_floor, spec.attempts_floor, spec.messages_floor];
        for (signal, floor) in self.signals.iter_mut().zip(floors) {
            signal.floor = f64::from(floor);
        }
        self.spec = spec.clone();
    }

    /// What it has learned: samples seen, and of each signal its mean and swing.
    #[must_use]
    pub fn learned(&self) -> (u64, Vec<(f64, f64)>) {
        (self.age, self.signals.iter().map(|signal| (signal.mean, signal.swing)).collect())
    }

    /// Goes on with what an earlier run has learned. What is no rate is left out.
    pub fn restore(&mut self, age: u64, learned: &[(f64, f64)]) {
        let sane = |rate: &f64| rate.is_finite() && (0.0..1e12).contains(rate);
        if learned.len() != self.signals.len() || !learned.iter().all(|(mean, swing)| sane(mean) && sane(swing)) {
            return;
        }
        self.age = age;
        for (signal, (mean, swing)) in self.signals.iter_mut().zip(learned) {
            (signal.mean, signal.swing) = (*mean, *swing);
        }
    }

    /// The level.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// What the level multiplies limits by.
    #[must_use]
    pub fn factor(&self) -> Factor {
        match self.level {
            Level::Normal => Factor::ONE,
            Level::Elevated => self.spec.factors[0],
            Level::High => self.spec.factors[1],
            Level::Critical => self.spec.factors[2],
        }
    }

    /// Takes one second's sample; tells a change of the level.
    #[expect(clippy::cast_precision_loss, reason = "counts of a second")]
    pub fn step(&mut self, observed: &Observed, messages: u64) -> Option<Change> {
        let span = seconds(self.spec.learn);
        self.age = self.age.saturating_add(1);
        let slower = if self.level == Level::Normal { 1.0 } else { SLOWER };
        let seen = [observed.failures, observed.sources, observed.attempts, messages];
        for (signal, seen) in self.signals.iter_mut().zip(seen) {
            // The mean of what was seen so far, until a span is over. What is judged from the start learns as if a calm
            // minute had come before, or an attack on a fresh gateway would be the usual.
            let age = if signal.hostile { self.age + CALM_BEFORE } else { self.age };
            signal.learn(seen as f64, slower / (age.min(span.max(1)) as f64));
        }
        let learned = self.age > span;
        let judged = self.signals.iter().filter(|signal| learned || signal.hostile);
        // Of equals the first.
        let worst = judged.copied().rev().max_by(|a, b| a.weight().total_cmp(&b.weight()))?;
        self.judge(worst, observed)
    }

    fn judge(&mut self, worst: Signal, observed: &Observed) -> Option<Change> {
        let excess = worst.weight();
        let from = self.level;
        let mut to = from;
        for ((level, over), raised) in Level::ALL.into_iter().skip(1).zip(self.spec.over).zip(&mut self.raised) {
            *raised = if excess >= f64::from(over) { raised.saturating_add(1) } else { 0 };
            if level > from && *raised >= seconds(self.spec.rise_after).max(1) {
                to = level;
            }
        }
        let held_by = match from {
            Level::Normal => 0.0,
            Level::Elevated => f64::from(self.spec.over[0]),
            Level::High => f64::from(self.spec.over[1]),
            Level::Critical => f64::from(self.spec.over[2]),
        };
        self.calm = if excess < held_by / 2.0 { self.calm.saturating_add(1) } else { 0 };
        if to == from && self.calm >= seconds(self.spec.fall_after).max(1) {
            to = from.below();
        }
        if to == from {
            return None;
        }
        self.level = to;
        self.calm = 0;
        Some(Change { from, to, evidence: evidence(worst, observed) })
    }
}

fn evidence(worst: Signal, observed: &Observed) -> String {
    let mut words =
        format!("{:.0} {} a second, {:.1} times the usual {:.0}", worst.now, worst.name, worst.excess(), worst.usual());
    if observed.sources > 0 {
        // Writing to a String cannot fail.
        let _ = write!(words, "; {} sources fail", observed.sources);
    }
    for (what, heaviest) in [("network", &observed.network), ("source", &observed.source)] {
        if let Some((net, count)) = heaviest {
            // Writing to a String cannot fail.
            let _ = write!(words, "; most from {what} {net}: {count}");
        }
    }
    if let Some((country, count)) = observed.country {
        let _ = write!(words, "; most from country {country}: {count}");
    }
    words
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spec() -> Floods {
        Floods { failures_floor: 5, messages_floor: 1000, ..Floods::default() }
    }

    fn sample(attempts: u64, failures: u64) -> Observed {
        Observed { attempts, failures, sources: failures, ..Observed::default() }
    }

    /// A detector that has seen twenty minutes of ordinary traffic.
    fn learned() -> Flood {
        let mut flood = Flood::new(spec());
        for second in 0..1200_u64 {
            assert_eq!(flood.step(&sample(80 + second % 20, 2 + second % 3), 5000), None);
        }
        flood
    }

    /// Changes of the level over so many seconds of the same.
    fn run(flood: &mut Flood, seconds: u64, observed: &Observed, messages: u64) -> Vec<(u64, Level)> {
        let step = |second| flood.step(observed, messages).map(|change| (second, change.to));
        (1..=seconds).filter_map(step).collect()
    }

    #[test]
    fn what_was_learned_is_known_after_a_restart() {
        let mut first = Flood::new(spec());
        let usual = Observed { attempts: 200, failures: 1, sources: 1, ..Observed::default() };
        for _ in 0..700 {
            assert_eq!(first.step(&usual, 5_000), None);
        }
        let (age, learned) = first.learned();
        let mut second = Flood::new(spec());
        second.restore(age, &learned);
        for _ in 0..60 {
            assert_eq!(second.step(&usual, 5_000), None, "the usual is the usual");
        }
        let many = Observed { attempts: 200 * 60, ..usual.clone() };
        assert!((0..20).any(|_| second.step(&many, 5_000).is_some()), "volume is judged at once, for it has learned");
        let mut fresh = Flood::new(spec());
        fresh.restore(age, &[(f64::NAN, 0.0); 4]);
        assert_eq!(fresh.learned().0, 0, "what is no rate teaches nothing");
    }

    #[test]
    fn a_flood_is_seen_within_seconds_and_named_by_its_size() {
        for (failures, level) in [(25, Level::Elevated), (50, Level::High), (100, Level::Critical)] {
            let mut flood = learned();
            let changes = run(&mut flood, 20, &sample(100, failures), 5000);
            assert!(changes[0].0 <= 6, "{changes:?}");
            assert_eq!(flood.level(), level, "{failures} failures a second: {changes:?}");
        }
        let mut flood = learned();
        run(&mut flood, 20, &sample(3_000, 2), 5000);
        assert_eq!(flood.level(), Level::High, "attempts alone");
        let mut flood = learned();
        run(&mut flood, 20, &sample(90, 2), 400_000);
        assert_eq!(flood.level(), Level::Critical, "messages alone");
        let mut flood = learned();
        run(&mut flood, 60, &sample(900, 2), 50_000);
        assert_eq!(flood.level(), Level::Normal, "ten times as many, and nobody fails: a crowd");
    }

    #[test]
    fn it_falls_one_level_at_a_time_and_not_before_its_time() {
        let mut flood = learned();
        run(&mut flood, 20, &sample(100, 200), 5000);
        assert_eq!(flood.level(), Level::Critical);
        let changes = run(&mut flood, 400, &sample(90, 3), 5000);
        let levels: Vec<Level> = changes.iter().map(|(_, level)| *level).collect();
        assert_eq!(levels, [Level::High, Level::Elevated, Level::Normal]);
        assert!(changes[0].0 >= 60 && changes[1].0 >= changes[0].0 + 60, "{changes:?}");
    }

    #[test]
    fn a_level_does_not_flutter_at_its_edge() {
        let mut flood = learned();
        let mut changes = 0;
        for second in 0..1200_u64 {
            let failures = if second % 20 < 10 { 30 } else { 12 };
            changes += usize::from(flood.step(&sample(90, failures), 5000).is_some());
        }
        assert!(changes <= 2, "{changes} changes");
    }

    #[test]
    fn a_start_with_everybody_at_once_is_no_flood() {
        let mut flood = Flood::new(spec());
        assert_eq!(run(&mut flood, 30, &sample(5000, 3), 50_000), []);
        assert_eq!(run(&mut flood, 600, &sample(90, 3), 5_000), []);
    }

    #[test]
    fn an_attack_on_a_fresh_gateway_is_seen() {
        let mut flood = Flood::new(spec());
        let changes = run(&mut flood, 10, &sample(100, 100), 50);
        assert!(changes[0].0 <= 6 && flood.level() == Level::Critical, "{changes:?}");
    }

    #[test]
    fn a_quiet_gateway_is_not_alarmed_by_a_few_callers() {
        let mut flood = Flood::new(spec());
        run(&mut flood, 3600, &sample(0, 0), 0);
        assert_eq!(run(&mut flood, 60, &sample(100, 10), 2000), []);
    }

    #[test]
    fn nobody_trains_the_baseline_within_minutes() {
        let mut flood = learned();
        run(&mut flood, 600, &sample(2000, 300), 5000);
        assert_eq!(flood.level(), Level::Critical, "ten minutes on, it is still a flood");
    }

    #[test]
    fn the_evidence_names_signal_size_and_heaviest() {
        let mut flood = learned();
        let observed = Observed {
            network: Some(("203.0.113.0/24".parse().unwrap(), 90)),
            source: Some(("203.0.113.7/32".parse().unwrap(), 80)),
            ..sample(100, 100)
        };
        let change = (0..9).find_map(|_| flood.step(&observed, 5000)).unwrap();
        for words in
            ["failed handshakes a second", "times the usual", "network 203.0.113.0/24: 90", "203.0.113.7/32: 80"]
        {
            assert!(change.evidence.contains(words), "{}", change.evidence);
        }
    }

    proptest! {
        #[test]
        fn levels_rise_only_after_a_lasting_excess_and_fall_only_step_by_step(
            traffic in prop::collection::vec((0u64..3000, 0u64..400, 0u64..50_000), 1..600),
        ) {
            let mut flood = learned();
            let mut since = 0;
            for (attempts, failures, messages) in traffic {
                since += 1;
                let before = flood.level();
                if let Some(change) = flood.step(&sample(attempts, failures), messages) {
                    prop_assert_eq!(change.from, before);
                    prop_assert_ne!(change.to, before);
                    prop_assert_eq!(change.to, flood.level());
                    if change.to < before {
                        prop_assert_eq!(change.to, before.below());
                        prop_assert!(since >= 60);
                    }
                    since = 0;
                }
                prop_assert!(flood.factor() <= Factor::ONE);
            }
        }
    }
}
