//! The counts of many nodes against a real server: the same steps as core's limits, to the nanosecond.
//!
//! Starts `redis-server` or `valkey-server` on a port of its own, in a folder of its own, and ends it. Where neither is
//! installed the tests say so and pass.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use portcullis_core::limits::exchange::charge;
use portcullis_core::limits::{Allowance, IpKey, Ledger, Limit, LimitState, Party, Wait};
use portcullis_core::policy::checked::{Rate, RateAlgorithm, Secret, SharedState};
use portcullis_core::reputation::Rates;
use portcullis_core::reputation::exchange::{Act, Told};
use portcullis_store::redis::{Limits, Link, Lists, MarkNews, Marks, Places, Said, Turn, Verdict};
use portcullis_store::{Entries, Entry};

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(60);

struct Server {
    child: Child,
    link: Link,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Our own child, by its handle.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None` where no server is installed.
async fn server() -> Option<Server> {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = |program: &str| {
        let arguments = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"];
        let mut command = Command::new(program);
        command.args(arguments).arg(port.to_string()).arg("--dir").arg(folder.path()).stdout(Stdio::piped()).spawn()
    };
    let Ok(mut child) = start("redis-server").or_else(|_| start("valkey-server")) else {
        eprintln!("skipped: neither redis-server nor valkey-server is installed (tests/setup)");
        return None;
    };
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("Ready to accept connections")), "it did not start");
    let link = Link::new(&SharedState {
        urls: vec![Secret::new(format!("redis://127.0.0.1:{port}").into_bytes())],
        shown: String::new(),
        sentinel: None,
        ca_pem: None,
        prefix: String::from("test"),
        timeout: SECOND,
        lease: LEASE,
        exchange_interval: SECOND,
    });
    link.connect().await.unwrap();
    Some(Server { child, link, _folder: folder })
}

/// Where a limit's state is kept.
enum Backend<'a> {
    Memory(LimitState),
    Server(&'a Server, Box<Limits>, String),
}

impl Backend<'_> {
    async fn check(&mut self, limit: &Limit, at: Duration, cost: u32) -> Allowance {
        match self {
            Self::Memory(state) => limit.check(state, u64::try_from(at.as_nanos()).unwrap(), cost),
            Self::Server(server, limits, key) => {
                limits.check(&server.link, key, limit, Some(at), cost, SECOND).await.unwrap()
            }
        }
    }
}

/// A generator of steps that is the same every time.
struct Steps(u64);

impl Steps {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn limits() -> Vec<Limit> {
    let mut found = Vec::new();
    for (count, per, burst) in [(1, 1, 1), (5, 60, 5), (7, 1, 20), (100, 3600, 10), (1000, 60, 1)] {
        for algorithm in [RateAlgorithm::TokenBucket, RateAlgorithm::SlidingWindow] {
            found.push(Limit::compile(Rate { count, per: Duration::from_secs(per), burst, algorithm }));
        }
    }
    found
}

/// The one suite: what a sequence of events comes to.
async fn conform(backend: &mut Backend<'_>, limit: &Limit, seed: u64) -> Vec<Allowance> {
    let mut steps = Steps(seed);
    // A day in 2026, for the server's numbers must hold such instants.
    let mut at = Duration::from_secs(1_780_000_000);
    let mut outcomes = Vec::new();
    for _ in 0..120 {
        let span = u64::try_from(limit.period().as_micros()).unwrap();
        at += match steps.next(8) {
            0 => Duration::from_micros(span * 3),
            1..=2 => Duration::from_micros(steps.next(span)),
            3..=5 => Duration::from_micros(steps.next(span / u64::from(limit.capacity()) + 1)),
            _ => Duration::ZERO,
        };
        // Clocks go back.
        let seen = if steps.next(20) == 0 { at - Duration::from_secs(3) } else { at };
        let cost = u32::try_from([0, 1, 1, 1, 2, 3, u64::from(limit.capacity()) + 1][steps.next(7) as usize]).unwrap();
        outcomes.push(backend.check(limit, seen, cost).await);
    }
    outcomes
}

#[tokio::test]
async fn a_server_counts_as_memory_does() {
    let Some(server) = server().await else { return };
    for (number, limit) in limits().iter().enumerate() {
        for seed in 1..4 {
            let mut memory = Backend::Memory(LimitState::default());
            let mut there = Backend::Server(&server, Box::new(Limits::new("test")), format!("{number}/{seed}"));
            let (here, there) = (conform(&mut memory, limit, seed).await, conform(&mut there, limit, seed).await);
            for (step, (here, there)) in here.iter().zip(&there).enumerate() {
                assert_eq!((here.allowed, here.remaining), (there.allowed, there.remaining), "{limit:?} {seed} {step}");
                let apart = here.retry_after.abs_diff(there.retry_after);
                assert!(apart <= Duration::from_nanos(1), "{limit:?} {seed} {step}: {here:?} {there:?}");
            }
            assert!(here.iter().any(|one| one.allowed) && here.iter().any(|one| !one.allowed), "{limit:?}");
        }
    }
}

#[tokio::test]
async fn a_server_charges_as_the_core_says() {
    let Some(server) = server().await else { return };
    let there = Limits::new("test");
    for (number, limit) in limits().iter().enumerate() {
        // A node's ledger makes what is charged, so that the name is one that nodes make.
        let ledger = Ledger::new(16, [number as u64, 1]).named();
        let (_, held) = ledger.open(limit, u32::try_from(number).unwrap(), Party::User("ada"), 0);
        let (mut state, mut steps) = (LimitState::default(), Steps(number as u64));
        let mut at = Duration::from_secs(1_780_000_000);
        for step in 0..60 {
            at += limit.period() * u32::try_from(steps.next(5)).unwrap() / 3;
            at = Duration::from_micros(u64::try_from(at.as_micros()).unwrap());
            let now = u64::try_from(at.as_nanos()).unwrap();
            while held.counter.check(limit, now, 1).allowed && steps.next(4) > 0 {}
            for spent in ledger.spent(9) {
                let here = charge(limit, &mut state, now, spent.amount);
                assert_eq!(there.charge(&server.link, &spent, Some(at)).await, Ok(here), "{limit:?} {step}");
                ledger.settle(&spent, 0, now);
            }
        }
    }
}

fn rate(count: u32) -> Limit {
    let per = Duration::from_secs(3600);
    Limit::compile(Rate { count, per, burst: count, algorithm: RateAlgorithm::TokenBucket })
}

#[tokio::test]
async fn attempts_of_many_nodes_at_once_pass_as_often_as_the_rate_says() {
    let Some(server) = server().await else { return };
    let address = IpKey::of("192.0.2.1".parse().unwrap(), 64);
    let (nodes, limit) = ([Limits::new("test"), Limits::new("test"), Limits::new("test")], rate(10));
    let attempts = (0..90).map(async |number: usize| {
        let node = &nodes[number % 3];
        node.attempt(&server.link, address, Some(&limit), None, None, "", LEASE, SECOND).await.unwrap()
    });
    let verdicts = futures_util::future::join_all(attempts).await;
    let granted = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Granted(_))).count();
    assert_eq!(granted, 10);
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Granted(_) | Verdict::Rate(_))));
    let other = IpKey::of("192.0.2.2".parse().unwrap(), 64);
    let another = nodes[0].attempt(&server.link, other, Some(&limit), None, None, "", LEASE, SECOND).await.unwrap();
    assert_eq!(another, Verdict::Granted(Some(9)), "another address is counted apart");
}

#[tokio::test]
async fn failures_of_many_nodes_bring_one_ban_that_can_be_lifted() {
    let Some(server) = server().await else { return };
    let (limits, limit) = (Limits::new("test"), rate(3));
    let address = IpKey::of("2001:db8::1".parse().unwrap(), 64);
    let attempt =
        async || limits.attempt(&server.link, address, None, Some(&limit), None, "", LEASE, SECOND).await.unwrap();
    for banned in [false, false, true] {
        assert_eq!(attempt().await, Verdict::Granted(None));
        assert_eq!(limits.failed(&server.link, address, &limit, LEASE, SECOND).await, Ok(banned));
    }
    assert!(matches!(attempt().await, Verdict::Banned(left) if left > Duration::ZERO && left <= LEASE));
    limits.lift(&server.link, address).await.unwrap();
    assert_eq!(attempt().await, Verdict::Granted(None));
    // Without a ban the failures themselves refuse.
    for _ in 0..3 {
        assert_eq!(limits.failed(&server.link, address, &limit, Duration::ZERO, SECOND).await, Ok(false));
    }
    assert!(matches!(attempt().await, Verdict::Failures(_)));
}

#[tokio::test]
async fn places_are_counted_over_nodes_given_back_and_brought_back_by_renewal() {
    let Some(server) = server().await else { return };
    let limits = Limits::new("test");
    let ((one, mut told), (other, _other)) = (Places::new("one".into()), Places::new("other".into()));
    let key = limits.places_of_user("chat", "ada");
    let take = async |places: &std::sync::Arc<Places>| {
        let place = places.hold(key.clone()).unwrap();
        let taken = limits.user(&server.link, &key, 2, &place.member(), LEASE, SECOND).await.unwrap();
        (taken, place)
    };
    let ((first, held), (second, _held)) = (take(&one).await, take(&other).await);
    assert!(first && second);
    assert!(!take(&one).await.0 && !take(&other).await.0, "two is all there may be");
    drop(held);
    while let Ok((key, member)) = told.try_recv() {
        Places::release(&server.link, &key, &member).await.unwrap();
    }
    let (third, held) = take(&one).await;
    assert!(third, "a place was given back");
    // A server that lost its memory hears of those that are there.
    Places::release(&server.link, &key, &held.member()).await.unwrap();
    one.renew(&server.link, LEASE, false).await.unwrap();
    let (fourth, extra) = take(&one).await;
    assert!(fourth, "an ordinary renewal brings nothing back");
    drop(extra);
    while let Ok((key, member)) = told.try_recv() {
        Places::release(&server.link, &key, &member).await.unwrap();
    }
    one.renew(&server.link, LEASE, true).await.unwrap();
    assert!(!take(&other).await.0, "and a whole one brings all");
}

#[tokio::test]
async fn a_ticket_is_taken_once_whoever_asks() {
    let Some(server) = server().await else { return };
    let limits = Limits::new("test");
    limits.keep_ticket(&server.link, "name", b"kept", LEASE, SECOND).await.unwrap();
    let takers = (0..20).map(|_| limits.take_ticket(&server.link, "name", SECOND));
    let taken = futures_util::future::join_all(takers).await;
    let taken: Vec<_> = taken.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(taken, [b"kept".to_vec()]);
}

#[tokio::test]
async fn the_places_of_a_node_that_died_are_free_after_its_lease() {
    let Some(server) = server().await else { return };
    let limits = Limits::new("test");
    let key = limits.places_of_user("chat", "bob");
    let lease = Duration::from_millis(1);
    assert_eq!(limits.user(&server.link, &key, 1, "dead.1", lease, SECOND).await, Ok(true));
    // The server's clock moves on by itself; nothing else frees the place.
    let mut tries = 0;
    while !limits.user(&server.link, &key, 1, "alive.1", LEASE, SECOND).await.unwrap() {
        tries += 1;
        assert!(tries < 100_000, "it is never free");
    }
    assert_eq!(limits.user(&server.link, &key, 1, "alive.2", LEASE, SECOND).await, Ok(false));
    assert_eq!(limits.user(&server.link, &key, 1, "alive.1", LEASE, SECOND).await, Ok(true), "its own");
}

#[tokio::test]
async fn of_two_words_the_later_stands_and_news_are_told_once() {
    let Some(server) = server().await else { return };
    let lists = Lists::new("test");
    let word = |at, gone, body: &str| Entry { at, gone, until_unix_ms: 0, body: body.into() };
    let told = async |since| lists.since(&server.link, since, "epoch").await.unwrap();
    assert_eq!((told(0).await.version, told(0).await.epoch.as_str()), (0, "epoch"));
    for (given, stands) in [
        (word(5, false, "a"), word(5, false, "a")),
        (word(4, true, "old"), word(5, false, "a")),
        (word(5, false, "b"), word(5, false, "a")),
        (word(5, true, "{}"), word(5, true, "{}")),
        (word(5, false, "c"), word(5, true, "{}")),
        (word(4_503_599_627_370_497, false, "large"), word(4_503_599_627_370_497, false, "large")),
    ] {
        lists.put(&server.link, &[("block:user:x".to_owned(), given)]).await.unwrap();
        assert_eq!(told(0).await.entries, Entries::from([("block:user:x".to_owned(), stands)]));
    }
    let all = told(0).await;
    assert_eq!((all.version, all.read_to), (3, 3), "three of them stood");
    assert_eq!(told(3).await.entries, Entries::new());
    let ended = Entry { until_unix_ms: 1, ..word(9, false, "over") };
    lists.put(&server.link, &[("block:user:y".to_owned(), ended)]).await.unwrap();
    lists.put(&server.link, &[("block:user:z".to_owned(), word(1, false, "z"))]).await.unwrap();
    assert_eq!(told(3).await.entries.into_keys().collect::<Vec<_>>(), ["block:user:z"], "what has ended leaves");
}

const HALF_LIFE: Duration = Duration::from_secs(600);

fn added(points: f32) -> Act {
    let mut all = [0.0; 8];
    all[4] = points;
    Act::Add(all)
}

/// Says something, and hears everything.
async fn exchange(server: &Server, marks: &Marks, said: Said<'_>) -> MarkNews {
    marks.exchange(&server.link, turn(said)).await.unwrap()
}

fn turn(said: Said<'_>) -> Turn<'_> {
    Turn { said, since: 0, epoch: "e", half_life: HALF_LIFE, hold: SECOND }
}

fn points(news: &MarkNews, name: u128) -> f32 {
    news.scores.iter().find(|heard| heard.name == name).map_or(0.0, |heard| heard.points.iter().sum())
}

const SILENT: Said<'_> = Said { scores: &[], waits: &[], rates: None };

#[tokio::test]
async fn points_of_two_nodes_are_summed_raised_forgotten_and_never_lowered() {
    let Some(server) = server().await else { return };
    let (one, two) = (Marks::new("m", "one".into()), Marks::new("m", "two".into()));
    let say = async |marks: &Marks, name, act| {
        exchange(&server, marks, Said { scores: &[Told::new(name, act)], ..SILENT }).await
    };
    say(&one, 7, added(10.0)).await;
    let news = say(&two, 7, added(20.5)).await;
    assert!((points(&news, 7) - 30.5).abs() < 0.1, "{news:?}");
    let Act::Add(raised) = added(25.0) else { unreachable!() };
    let news = say(&two, 7, Act::Raise(raised)).await;
    assert!((points(&news, 7) - 30.5).abs() < 0.1, "less is no news: {news:?}");
    let Act::Add(raised) = added(40.0) else { unreachable!() };
    let news = say(&two, 7, Act::Raise(raised)).await;
    assert!((points(&news, 7) - 40.0).abs() < 0.1, "{news:?}");
    let epoch = news.epoch.clone();
    let news = say(&one, 7, Act::Forget).await;
    assert_eq!((points(&news, 7), &news.epoch), (0.0, &epoch));
    // Whoever has heard of a version hears what came after it.
    let before = say(&one, 8, added(1.0)).await.read_to;
    say(&one, 9, added(2.0)).await;
    let news = two.exchange(&server.link, Turn { since: before, ..turn(SILENT) }).await.unwrap();
    assert_eq!(news.scores.iter().map(|heard| heard.name).collect::<Vec<_>>(), [9]);
}

#[tokio::test]
async fn of_two_waits_the_later_end_stands_on_every_node() {
    let Some(server) = server().await else { return };
    let marks = Marks::new("w", "one".into());
    let say = async |left, step| {
        let waits = [Wait::heard(3, left, step, 600_000)];
        exchange(&server, &marks, Said { waits: &waits, ..SILENT }).await
    };
    assert_eq!(say(30_000, 2).await.waits[0].step, 2);
    let news = say(5_000, 1).await;
    assert!(news.waits[0].step == 2 && news.waits[0].left_ms > 29_000, "{news:?}");
    let news = say(-1000, 3).await;
    assert_eq!(news.waits[0].step, 2, "{news:?}");
}

#[tokio::test]
async fn whoever_invents_sources_frees_nobody_and_memory_there_is_bounded() {
    let Some(server) = server().await else { return };
    let marks = Marks::new("b", "one".into()).bounded(50);
    let attacker = [Told::new(1, added(40.0))];
    exchange(&server, &marks, Said { scores: &attacker, ..SILENT }).await;
    for round in 0..20_u128 {
        let invented: Vec<Told> = (0..100).map(|n| Told::new(1000 + round * 100 + n, added(2.0))).collect();
        exchange(&server, &marks, Said { scores: &invented, ..SILENT }).await;
    }
    let news = exchange(&server, &marks, SILENT).await;
    assert_eq!(news.scores.len(), 50);
    assert!((points(&news, 1) - 40.0).abs() < 0.2, "the one that matters is still there");
    let heavier = [Told::new(2, added(30.0))];
    let news = exchange(&server, &marks, Said { scores: &heavier, ..SILENT }).await;
    assert!(news.scores.len() == 50 && points(&news, 2) > 29.0, "what lasts longer finds room");
}

#[tokio::test]
async fn rates_of_the_other_nodes_are_summed_while_they_are_fresh() {
    let Some(server) = server().await else { return };
    let rates = |failures| Some(Rates { attempts: 10, failures, sources: 1, messages: 1000 });
    let hour = Duration::from_secs(3600);
    let say = async |node: &str, failures, hold| {
        let marks = Marks::new("f", node.into());
        let said = Said { rates: rates(failures), ..SILENT };
        marks.exchange(&server.link, Turn { hold, ..turn(said) }).await.unwrap()
    };
    assert_eq!(say("one", 5, hour).await.others, None, "nobody else");
    say("two", 6, hour).await;
    let others = say("three", 7, hour).await.others.unwrap();
    assert_eq!((others.nodes, others.rates.failures, others.rates.messages), (2, 11, 2000));
    assert_eq!(say("one", 9, hour).await.others.unwrap().rates.failures, 13, "its own are not among them");
}
