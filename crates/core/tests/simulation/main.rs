//! A day of a gateway in virtual time: honest crowds and attackers through the real admission, the real inspection and
//! the real flood detector (SPEC 6, 7). It measures how soon an attack is seen, which honest users are hurt, and how much
//! of an attack gets through.
//!
//! Two hours of 2,000 honest clients here; a day of 100,000 by
//! `cargo run --release -p portcullis-core --example simulation`. Both are the same each time: chance comes from a fixed seed.

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
use play::Play;

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
    figures.hold();
}
