//! A day of a gateway in virtual time: honest crowds and attackers through the real admission, the real inspection and
//! the real flood detector (SPEC 6, 7). It measures how soon an attack is seen, which honest users are hurt, and how much
//! of an attack gets through.
//!
//! `small` is a test and holds its figures. `large` has 100,000 honest clients over 24 hours and prints its figures:
//! `cargo test -p portcullis-core --test simulation -- --ignored --nocapture`. Both are the same each time: chance comes
//! from a fixed seed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod cast;
mod house;
mod play;

use cast::Attack;
use play::{Figures, Play};

#[test]
fn small() {
    let figures = Play::new(2_000, 2, 60).run();
    println!("{figures}");
    for (attack, within) in [
        (Attack::Loud, 5),
        (Attack::Swarm, 15),
        (Attack::Stuffing, 15),
        (Attack::Invention, 5),
        (Attack::Evasion, 10),
        (Attack::Grief, 60),
    ] {
        let seen = figures.seen_after_s.get(&attack).copied().flatten();
        assert!(seen.is_some_and(|seconds| seconds <= within), "{attack:?} was seen after {seen:?} s");
    }
    holds(&figures);
}

/// What holds for any size.
fn holds(figures: &Figures) {
    assert_eq!(figures.attackers_admitted, 0, "without a credential nobody comes in");
    assert!(figures.honest_hurt * 1000 <= figures.honest, "at most one honest user of a thousand is hurt");
    for (attack, sent, passed) in &figures.messages {
        assert!(*sent > 0, "{attack:?} did nothing");
        assert!(passed * 10 <= *sent, "{attack:?}: {passed} of {sent} messages passed");
    }
    assert_eq!(figures.honest_scored, 0, "no honest user is banned for a score");
    let loud = figures.tried[&Attack::Loud];
    assert!(loud.verified * 100 <= loud.made, "the loud one is turned away before its tokens are looked at");
}

#[test]
#[ignore = "minutes of work: prints the figures of docs/limits.md"]
fn large() {
    let figures = Play::new(100_000, 24, 1_800).run();
    println!("{figures}");
    holds(&figures);
}
