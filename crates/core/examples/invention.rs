//! Ten million invented users and addresses against the tables that are kept of them: the memory they come to hold, and
//! that nobody is freed by them.
//!
//! `cargo run --release -p portcullis-core --example invention`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, for a person to run")]

#[path = "../tests/invention/attack.rs"]
mod attack;

fn main() {
    println!("before: {} KiB", attack::resident_kib());
    for keys in [100_000, 1_000_000, 10_000_000] {
        attack::invent(keys);
    }
}
