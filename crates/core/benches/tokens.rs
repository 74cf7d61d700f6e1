//! What a token costs, and what the time of a refusal tells.
//!
//! `cargo bench -p portcullis-core --bench tokens [-- NAME…]`. First each algorithm: a token verified, the same one found
//! among the verified ones, and refused ones, in nanoseconds, best of several rounds. Then `timing`: what a refused
//! credential takes from its head to the decision, kinds in random order within each round, so that whatever slows the
//! machine slows them all. Nothing here judges a time; wrong outcomes end the program.

#![allow(clippy::print_stdout, reason = "a program for a person to run")]

#[path = "tokens/signer.rs"]
mod signer;
#[path = "tokens/timing.rs"]
mod timing;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_core::identity::cache::TokenDigest;
use portcullis_core::identity::{KeyRing, TokenCache, Verifier};
use portcullis_core::policy::{Nowhere, Overrides, Policy, Source, load};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;
use serde_json::json;
use signer::Signer;

const NOW_UNIX_S: u64 = 1_800_000_000;
/// How long one round lasts.
const ROUND: Duration = Duration::from_millis(20);

fn main() {
    let signers = signer::all();
    let (policy, verifier, ring) = compiled(&signers);
    for signer in &signers {
        algorithm(signer, &verifier, &ring);
    }
    if wanted("timing") {
        timing::report(&signers, policy, ring);
    }
}

/// One key of each algorithm, as production has them.
fn compiled(signers: &[Signer]) -> (Policy, Verifier, KeyRing) {
    let keys: Vec<String> = signers.iter().map(Signer::key).collect();
    let text = format!(
        "environment: production\nlisten: {{ tls_terminated_by_proxy: on }}\nsources: {{ connection_rate: off }}\n\
         origins: {{ missing: allow }}\nidentity:\n  keys: [{}]\n  tickets: {{ ttl: 10s }}\n  \
         sessions: {{ enabled: on }}\nupstream: ws://b\n",
        keys.join(", ")
    );
    let loaded = load(Some(Source { name: "bench.yaml", text: &text }), &Overrides::default(), &Nowhere);
    let checked = loaded.unwrap_or_else(|errors| fail(&errors.to_string())).checked;
    let ring = KeyRing::new(&checked.identity).unwrap_or_else(|(_, error)| fail(&error.to_string()));
    let verifier = Verifier::new(&checked.identity);
    (Policy::compile(checked).unwrap_or_else(|error| fail(&error.to_string())), verifier, ring)
}

fn now() -> Now {
    Now { mono: Duration::from_secs(1000), wall: Duration::from_secs(NOW_UNIX_S) }
}

/// A token of ten years, and one for each way to be refused.
fn tokens(signer: &Signer) -> [(&'static str, String, Option<Reason>); 4] {
    let claims = |exp: u64| json!({"sub": "user-1", "roles": ["user"], "tenant": "acme", "iat": exp - 60, "exp": exp});
    let good = signer.token("", &json!({"sub": "user-1", "roles": ["user"], "tenant": "acme", "exp": NOW_UNIX_S * 2}));
    [
        ("bad signature", altered(&good), Some(Reason::TokenSignature)),
        ("expired", signer.token("", &claims(NOW_UNIX_S - 3600)), Some(Reason::TokenExpired)),
        ("unknown kid", signer.token("-other", &claims(NOW_UNIX_S * 2)), Some(Reason::TokenKeyUnknown)),
        ("verified", good, None),
    ]
}

/// Another character in the midst of the signature: as long, and as well formed.
fn altered(token: &str) -> String {
    let Some((signed, signature)) = token.rsplit_once('.') else { fail("a token has three parts") };
    let (before, after) = signature.split_at(signature.len() / 4);
    let other = if after.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{before}{other}{}", after.get(1..).unwrap_or_default())
}

fn algorithm(signer: &Signer, verifier: &Verifier, ring: &KeyRing) {
    let name = signer.algorithm();
    for (what, token, want) in tokens(signer) {
        if !wanted(&format!("{name} {what}")) {
            continue;
        }
        let outcome = verifier.verify(&token, ring, now());
        if outcome.as_ref().err().map(|failure| failure.reason) != want {
            fail(&format!("{name} {what}: {outcome:?}"));
        }
        say(name, what, best(|| drop(black_box(verifier.verify(black_box(&token), ring, now())))));
        if let Ok(principal) = outcome {
            let cache = TokenCache::new(1000, Duration::from_secs(300));
            cache.remember(TokenDigest::of(&token), &Arc::new(principal), ring.generation(), now());
            let find = || cache.find(TokenDigest::of(black_box(&token)), ring.generation(), now());
            if find().is_none() {
                fail(&format!("{name} is not remembered"));
            }
            say(name, "from the cache", best(|| drop(black_box(find()))));
        }
    }
}

fn say(algorithm: &str, what: &str, ns: f64) {
    println!("{algorithm:<8}{what:<16}{ns:>10.0} ns");
}

/// Nanoseconds a step, best of seven rounds.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn best(mut step: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..7 {
        let (start, mut steps) = (Instant::now(), 0.0);
        while start.elapsed() < ROUND {
            (0..16).for_each(|_| step());
            steps += 16.0;
        }
        best = best.min(start.elapsed().as_nanos() as f64 / steps);
    }
    best
}

/// Names given on the command line choose; without any, all are measured.
fn wanted(name: &str) -> bool {
    let mut chosen = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).peekable();
    chosen.peek().is_none() || chosen.any(|part| name.contains(&part))
}

fn fail(error: &str) -> ! {
    eprintln!("{error}");
    std::process::exit(1)
}
