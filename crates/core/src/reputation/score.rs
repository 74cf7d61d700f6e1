//! One source's score: points by fact that fade by half in each half-life.
//!
//! A pure step: score + fact + now → score. Says which facts gave which points. 40 bytes, whatever happened.

use std::fmt::Write as _;
use std::time::Duration;

use super::fact::{FACTS, Fact};

/// Points past this are not counted: whoever has so many has long been banned, and a fact's last point still shows.
const POINTS_MAX: f32 = 1e6;

/// See the module. The default is a source that nothing is known of.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score {
    points: [f32; FACTS],
    /// When the points were true, monotonic milliseconds.
    at_ms: u64,
}

impl Score {
    /// The points at a time, in all. A clock that goes back fades nothing.
    #[must_use]
    pub fn total(&self, half_life: Duration, now_ms: u64) -> f32 {
        self.points.iter().sum::<f32>() * self.faded(half_life, now_ms)
    }

    /// Adds a fact's points.
    pub fn add(&mut self, fact: Fact, points: u32, half_life: Duration, now_ms: u64) {
        let faded = self.faded(half_life, now_ms);
        for held in &mut self.points {
            *held *= faded;
        }
        self.at_ms = self.at_ms.max(now_ms);
        if let Some(held) = self.points.get_mut(fact.place()) {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^24")]
            let more = points as f32;
            *held = (*held + more).min(POINTS_MAX);
        }
    }

    /// The same score as it is at another time.
    #[must_use]
    pub fn at(&self, half_life: Duration, now_ms: u64) -> Self {
        let faded = self.faded(half_life, now_ms);
        Self { points: self.points.map(|points| points * faded), at_ms: self.at_ms.max(now_ms) }
    }

    /// When no more than so many points are left, milliseconds.
    #[must_use]
    pub fn fades_to(&self, points: f32, half_life: Duration) -> u64 {
        let halves = (self.points.iter().sum::<f32>() / points).log2();
        if halves.is_nan() || halves <= 0.0 {
            return self.at_ms;
        }
        let after = half_life.as_secs_f64() * f64::from(halves) * 1000.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; casts saturate")]
        self.at_ms.saturating_add(after as u64)
    }

    /// Which facts gave how many points, the most first: `attacks 20, failed authentications 6`.
    #[must_use]
    pub fn facts(&self, half_life: Duration, now_ms: u64) -> Vec<(Fact, f32)> {
        let faded = self.faded(half_life, now_ms);
        let held = Fact::ALL.into_iter().zip(self.points).map(|(fact, points)| (fact, points * faded));
        let mut held: Vec<(Fact, f32)> = held.filter(|(_, points)| *points >= 0.05).collect();
        held.sort_by(|a, b| b.1.total_cmp(&a.1));
        held
    }

    /// The same in words.
    #[must_use]
    pub fn words(&self, half_life: Duration, now_ms: u64) -> String {
        let mut text = String::new();
        for (fact, points) in self.facts(half_life, now_ms) {
            let comma = if text.is_empty() { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}{} {points:.0}", fact.words());
        }
        text
    }

    /// Its points and when they were true, to be kept over a restart.
    #[must_use]
    pub fn parts(&self) -> ([f32; FACTS], u64) {
        (self.points, self.at_ms)
    }

    /// A score that was kept. What is no number of points is none.
    #[must_use]
    pub fn from_parts(points: [f32; FACTS], at_ms: u64) -> Self {
        let sane = |points: f32| if points.is_finite() { points.clamp(0.0, POINTS_MAX) } else { 0.0 };
        Self { points: points.map(sane), at_ms }
    }

    fn faded(&self, half_life: Duration, now_ms: u64) -> f32 {
        let age = Duration::from_millis(now_ms.saturating_sub(self.at_ms));
        let halves = age.as_secs_f32() / half_life.as_secs_f32().max(0.001);
        (-halves).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HALF: Duration = Duration::from_secs(600);

    fn close(a: f32, b: f32) -> bool {
        (a - b).abs() <= 0.001 * a.abs().max(b.abs()).max(1.0)
    }

    #[test]
    fn points_add_up_and_fade_by_half_in_a_half_life() {
        let mut score = Score::default();
        score.add(Fact::Threat, 10, HALF, 0);
        score.add(Fact::FailedAuthentication, 2, HALF, 0);
        assert!(close(score.total(HALF, 0), 12.0));
        assert!(close(score.total(HALF, 600_000), 6.0));
        score.add(Fact::Threat, 10, HALF, 600_000);
        assert!(close(score.total(HALF, 600_000), 16.0));
        assert_eq!(score.words(HALF, 600_000), "attacks 15, failed authentications 1");
        assert!(close(score.total(HALF, score.fades_to(4.0, HALF)), 4.0));
    }

    #[test]
    fn a_clock_that_jumps_either_way_gives_no_points_and_no_amnesty() {
        let mut score = Score::default();
        score.add(Fact::Threat, 10, HALF, 1_000_000);
        assert!(close(score.total(HALF, 0), 10.0), "back");
        score.add(Fact::Threat, 10, HALF, 0);
        assert!(close(score.total(HALF, 1_000_000), 20.0));
        assert!(score.total(HALF, u64::MAX) < 0.001, "forward");
        score.add(Fact::Threat, 1, HALF, u64::MAX);
        assert!(score.total(HALF, u64::MAX).is_finite());
    }

    #[test]
    fn what_was_kept_badly_is_no_score() {
        let kept = Score::from_parts([f32::NAN, f32::INFINITY, -5.0, 3.0, 1e30, 0.0, 0.0, 0.0], 7);
        assert!(close(kept.total(HALF, 7), 3.0 + POINTS_MAX));
        assert!(std::mem::size_of::<Score>() <= 40);
    }

    proptest! {
        #[test]
        fn it_agrees_with_every_fact_remembered(
            facts in prop::collection::vec((0_usize..FACTS, 1_u32..100, 0_u64..900_000), 1..40), later in 0_u64..2_000_000,
        ) {
            let (mut score, mut now, mut all) = (Score::default(), 0, Vec::new());
            for (fact, points, step) in facts {
                now += step;
                score.add(Fact::ALL[fact], points, HALF, now);
                all.push((now, points));
            }
            let end = now + later;
            let faded = |at: u64| (-((end - at) as f64) / HALF.as_millis() as f64).exp2();
            let plain: f64 = all.iter().map(|(at, points)| f64::from(*points) * faded(*at)).sum();
            let total = f64::from(score.total(HALF, end));
            prop_assert!((total - plain).abs() <= 0.01 * plain.max(1.0), "{total} {plain}");
        }
    }
}
