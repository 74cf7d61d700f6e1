//! Refused credentials beside each other: how long the whole admission takes, and whether clients are told the same.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use portcullis_core::admission::{Admission, Arrival, Decision, Gate, Head, Refusal, Step};
use portcullis_core::identity::api_key::{ApiKey, Grants, KeyBook, Minted};
use portcullis_core::identity::{KeyRing, TokenCache};
use portcullis_core::policy::Policy;
use portcullis_core::time::Now;

use super::signer::Signer;
use super::{fail, now, tokens};

const ROUNDS: u32 = 2000;
/// Rounds at the start that do not count: memory and tables are cold.
const COLD: u32 = 100;
/// Fewer failures a minute and address than bring a ban.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(61);

/// One kind of refused credential.
struct Case {
    /// Those of one family differ in what was wrong with them, not in what they are.
    family: &'static str,
    name: String,
    headers: HeaderMap,
    took_ns: Vec<u64>,
}

impl Case {
    fn new(family: &'static str, name: &str, credential: &str) -> Self {
        let mut headers = HeaderMap::new();
        let bearer = format!("Bearer {credential}");
        for (name, value) in [
            ("host", "gate.example.com"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("authorization", &bearer),
        ] {
            let value = HeaderValue::from_str(value).unwrap_or_else(|error| fail(&error.to_string()));
            headers.insert(HeaderName::from_static(name), value);
        }
        Self { family, name: name.to_owned(), headers, took_ns: Vec::new() }
    }

    fn quantile(&self, permille: usize) -> u64 {
        self.took_ns.get(self.took_ns.len() * permille / 1000).copied().unwrap_or_default()
    }
}

pub(crate) fn report(signers: &[Signer], policy: Policy, ring: KeyRing) {
    let gate = Gate::new(&policy, [1, 2]);
    let mut cases = cases(signers, &gate);
    let means = Means {
        policy: Arc::new(policy),
        gate,
        ring: Arc::new(ring),
        cache: TokenCache::new(1000, Duration::from_secs(300)).into(),
    };
    let mut random = Random(7);
    let mut told = BTreeSet::new();
    for round in 0..COLD + ROUNDS {
        let mut order: Vec<usize> = (0..cases.len()).collect();
        random.shuffle(&mut order);
        let now = now().plus(BETWEEN_ROUNDS * round);
        for (address, place) in (0_u32..).zip(order) {
            let Some(case) = cases.get_mut(place) else { continue };
            let (took, refusal) = means.refuse(&case.headers, address, now).unwrap_or_else(|| fail(&case.name));
            if round >= COLD {
                case.took_ns.push(took);
            }
            told.insert(answer(&refusal));
        }
    }
    print(cases, told.len());
}

/// What a client can read of a refusal.
fn answer(refusal: &Refusal) -> String {
    let row = refusal.reason.row();
    let Refusal { refuse_with, retry_after, headers, .. } = refusal;
    format!("{} {} {} {refuse_with:?} {retry_after:?} {headers:?}", row.public, row.close_code, row.http_status)
}

/// Every way of being refused that somebody who guesses may meet. One API key is known, and one is revoked.
fn cases(signers: &[Signer], gate: &Arc<Gate>) -> Vec<Case> {
    let mut cases = Vec::new();
    for signer in signers {
        for (what, token, reason) in tokens(signer) {
            if reason.is_some() {
                cases.push(Case::new(signer.algorithm(), &format!("{} {what}", signer.algorithm()), &token));
            }
        }
    }
    let [known, revoked, unknown] = [1_u8, 2, 3].map(|seed| Minted::new(&std::array::from_fn(|n| seed ^ n as u8)));
    let key = |minted: &Minted, revoked_unix_s| ApiKey { revoked_unix_s, ..granted(minted) };
    gate.set_api_keys(KeyBook::new([key(&known, None), key(&revoked, Some(1_700_000_000))]));
    let wrong = Minted::again(&known.id, &std::array::from_fn(|n| n as u8));
    cases.extend([
        Case::new("API key", "API key unknown", &unknown.text),
        Case::new("API key", "API key, its secret wrong", &wrong.text),
        Case::new("API key", "API key revoked", &revoked.text),
        Case::new("other", "session unknown", &format!("pcs_{}", "A".repeat(43))),
        Case::new("other", "ticket unknown", &format!("pct_{}", "A".repeat(43))),
        Case::new("other", "malformed, three parts", "a.b.c"),
        Case::new("other", "malformed", "x"),
    ]);
    cases
}

fn granted(minted: &Minted) -> ApiKey {
    let (name, subject) = ("import".to_owned(), "svc-import".to_owned());
    let grants =
        Grants { name, subject, tenant: None, roles: Vec::new(), permissions: Vec::new(), expires_unix_s: None };
    ApiKey::new(minted, grants, 1_600_000_000).unwrap_or_else(|error| fail(&error.to_string()))
}

struct Means {
    policy: Arc<Policy>,
    gate: Arc<Gate>,
    ring: Arc<KeyRing>,
    cache: Arc<TokenCache>,
}

impl Means {
    /// Nanoseconds from a head to its refusal; `None` where it was not refused.
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    fn refuse(&self, headers: &HeaderMap, address: u32, now: Now) -> Option<(u64, Refusal)> {
        let client = IpAddr::V4(Ipv4Addr::from(0x0A00_0001 + address));
        let arrival = Arrival { client, tls: false, connection_id: "c-1".into(), certificate: None };
        let Self { policy, gate, ring, cache } = self;
        let uri = Uri::from_static("/chat");
        let head = Head { method: &Method::GET, uri: &uri, version: Version::HTTP_11, headers };
        let start = Instant::now();
        let step =
            Admission::new(policy.clone(), gate.clone(), ring.clone(), cache.clone(), arrival).arrive(&head, now);
        let took = start.elapsed().as_nanos();
        match step {
            Step::Done(decision) => match *decision {
                Decision::Refuse(refusal) => Some((u64::try_from(took).ok()?, refusal)),
                Decision::Admit(_) | Decision::PassHttp(_) => None,
            },
            Step::Ask(_) => None,
        }
    }
}

fn print(mut cases: Vec<Case>, answers: usize) {
    println!("timing: refused by the whole admission, {ROUNDS} rounds in random order");
    for case in &mut cases {
        case.took_ns.sort_unstable();
        println!("{:<28} median {:>8} ns  p95 {:>8} ns", case.name, case.quantile(500), case.quantile(950));
    }
    let families: BTreeSet<&str> = cases.iter().map(|case| case.family).collect();
    for family in families {
        difference(family, cases.iter().filter(|case| case.family == family));
    }
    difference("all", cases.iter());
    let equal = if answers == 1 { "equal" } else { "NOT equal" };
    println!("answers are {equal} in content: {answers} in {} kinds of refused credentials", cases.len());
}

/// The largest difference of medians, in per cent of the shorter.
fn difference<'a>(of: &str, cases: impl Iterator<Item = &'a Case> + Clone) {
    let median = |case: &&Case| case.quantile(500);
    let (Some(least), Some(most)) = (cases.clone().min_by_key(median), cases.max_by_key(median)) else { return };
    let (short, long) = (median(&least), median(&most));
    let percent = (long - short) as f64 * 100.0 / short.max(1) as f64;
    println!(
        "{of:<8} medians differ by up to {:>8} ns, {percent:.0} %: {} and {}",
        long - short,
        least.name,
        most.name
    );
}

/// SplitMix64: the same order in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn shuffle(&mut self, list: &mut [usize]) {
        for last in (1..list.len()).rev() {
            list.swap(last, (self.next() % (last as u64 + 1)) as usize);
        }
    }
}
