//! A day of 100,000 honest clients and seven attackers in virtual time: how soon each is seen, who is hurt, what gets
//! through. The same parts as the test of that name, which holds a smaller day.
//!
//! `cargo run --release -p portcullis-core --example simulation`

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement, for a person to run"
)]

#[path = "../tests/simulation/cast.rs"]
mod cast;
#[path = "../tests/simulation/house.rs"]
mod house;
#[path = "../tests/simulation/play.rs"]
mod play;

fn main() {
    let figures = play::Play::new(100_000, 24, 1_800).run();
    println!("{figures}");
    figures.hold();
}
