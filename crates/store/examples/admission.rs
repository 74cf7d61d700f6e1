//! Measures admission decisions through a real Redis or Valkey, many at once on one connection, as gateways ask: `cargo run
//! --release -p portcullis-store --features redis --example admission [URL] [DECISIONS] [AT_ONCE]`.

use std::io::Write as _;
use std::time::{Duration, Instant};

use portcullis_core::limits::{IpKey, Limit};
use portcullis_core::policy::checked::{Rate, RateAlgorithm, Secret, SharedState};
use portcullis_store::redis::{Limits, Link, LinkError, Places};

const LEASE: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| String::from("redis://127.0.0.1:6379"));
    let decisions: u32 = arguments.next().map_or(Ok(100_000), |number| number.parse())?;
    let at_once: u32 = arguments.next().map_or(Ok(64), |number| number.parse())?;
    let link = Link::new(&SharedState {
        urls: url.split(',').map(|one| Secret::new(one.trim().as_bytes().to_vec())).collect(),
        shown: String::new(),
        sentinel: None,
        ca_pem: None,
        prefix: format!("measured-{}", std::process::id()),
        timeout: PATIENCE,
        lease: LEASE,
        exchange_interval: PATIENCE,
    });
    link.connect().await?;
    let limits = Limits::new(&format!("measured-{}", std::process::id()));
    let (places, _told) = Places::new(String::from("example"));
    let per = Duration::from_secs(1);
    let rate = Limit::compile(Rate { count: 1000, per, burst: 1000, algorithm: RateAlgorithm::TokenBucket });
    let start = Instant::now();
    let ask = async |first: u32| -> Result<Vec<Duration>, LinkError> {
        let mut took = Vec::new();
        for number in (first..decisions).step_by(usize::try_from(at_once).unwrap_or(1)) {
            // A thousand addresses, each below its limits: rate, failed authentications, and a place taken.
            let address = IpKey::of(std::net::Ipv4Addr::from(0x0a00_0000 + number % 1000).into(), 64);
            let Some(place) = places.hold(limits.places_of_address(address)) else { continue };
            let began = Instant::now();
            let (rate, most, member) = (Some(&rate), Some(1_000_000), place.member());
            limits.attempt(&link, address, rate, rate, most, &member, LEASE, PATIENCE).await?;
            took.push(began.elapsed());
        }
        Ok(took)
    };
    let asked = futures_util::future::try_join_all((0..at_once).map(ask)).await?;
    let elapsed = start.elapsed().as_secs_f64();
    let mut took: Vec<Duration> = asked.into_iter().flatten().collect();
    took.sort_unstable();
    let at = |part: f64| took.get((took.len() as f64 * part) as usize).copied().unwrap_or_default();
    let mut out = std::io::stdout();
    writeln!(out, "decisions   {:>10.0} /s, {at_once} at once", took.len() as f64 / elapsed)?;
    writeln!(out, "p50         {:>10.0} µs", at(0.50).as_secs_f64() * 1e6)?;
    writeln!(out, "p99         {:>10.0} µs", at(0.99).as_secs_f64() * 1e6)?;
    Ok(())
}
