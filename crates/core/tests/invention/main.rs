//! Whoever invents keys buys neither memory nor anybody's freedom (SPEC 6.5). Ten million of them:
//! `cargo run --release -p portcullis-core --example invention`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and prints its figures")]

mod attack;

#[test]
fn twice_as_many_invented_keys_as_fit_free_nobody() {
    attack::invent(150_000);
}
