//! Limits that apply at once, as messages meet them: keys, measures, types, factors, conditions.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::identity::{Method, Principal};
use portcullis_core::inspection::{
    Action, Context, Direction, Kind, Memory, Message, Plan, Verdict, Workspace, error_reply, inspect,
};
use portcullis_core::limits::{Conditions, IpKey, Ledger};
use portcullis_core::policy::checked::{
    ErrorReplies, Factor, Json, JsonMode, LimitKey, Measure, MessageLimit, Messages, Offenders, OnRefuse, Rate,
    RateAlgorithm, TypePattern,
};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;

fn rate(count: u32) -> Rate {
    Rate { count, per: Duration::from_secs(10), burst: count, algorithm: RateAlgorithm::TokenBucket }
}

fn limit(per: LimitKey, count: u32) -> MessageLimit {
    MessageLimit::new(format!("{per:?}"), per, rate(count), OnRefuse::Reply)
}

fn messages(limits: Vec<MessageLimit>) -> Messages {
    Messages {
        bytes_max: 4096,
        binary: true,
        limits,
        json: Json { mode: JsonMode::Detect, depth_max: 4, keys_max: 16, values_max: 32, string_bytes_max: 2048 },
        ..Messages::default()
    }
}

fn errors() -> ErrorReplies {
    ErrorReplies { detailed: true, template: r#"{"retry_after_ms":{retry_after_ms}}"#.into() }
}

/// One gateway: a plan and a ledger.
struct World {
    plan: Plan,
    ledger: Ledger,
    work: Workspace,
    now: Now,
}

/// One connection.
struct Peer {
    memory: Memory,
    principal: Principal,
    ip: IpKey,
}

impl World {
    fn new(limits: Vec<MessageLimit>) -> Self {
        Self {
            plan: Plan::compile(&messages(limits), &errors(), Direction::Inbound, true).unwrap(),
            ledger: Ledger::new(1024, [1, 2]),
            work: Workspace::new(3),
            now: Now { mono: Duration::from_secs(50), wall: Duration::from_secs(1_700_000_000) },
        }
    }

    fn send(&mut self, peer: &mut Peer, text: &str) -> Verdict {
        let cx = Context { now: self.now, principal: &peer.principal, ip: &peer.ip, ledger: &self.ledger };
        let message = Message { kind: Kind::Text, bytes: text.as_bytes() };
        inspect(&self.plan, &mut peer.memory, &cx, &mut self.work, &message)
    }

    /// How many of the same text pass at once.
    fn passing(&mut self, peer: &mut Peer, text: &str) -> usize {
        (0..100).take_while(|_| self.send(peer, text).action == Action::Pass).count()
    }
}

fn peer(ip: &str, user: Option<&str>, tenant: Option<&str>, roles: &[&str]) -> Peer {
    let principal = Principal {
        subject: user.map(Into::into),
        tenant: tenant.map(Into::into),
        roles: roles.iter().map(|role| (*role).into()).collect(),
        ..Principal::anonymous()
    };
    Peer { memory: Memory::new(), principal, ip: IpKey::of(ip.parse::<IpAddr>().unwrap(), 64) }
}

fn patterns(texts: &[&str]) -> Vec<TypePattern> {
    texts.iter().map(|text| TypePattern::parse(text)).collect()
}

#[test]
fn each_key_counts_together_whom_it_names() {
    for (per, same, other) in [
        (LimitKey::User, ("10.0.0.2", Some("u"), None), ("10.0.0.1", Some("v"), None)),
        (LimitKey::User, ("10.0.0.1", None, None), ("10.0.0.2", None, None)),
        (LimitKey::Ip, ("10.0.0.1", Some("v"), None), ("10.0.0.2", Some("u"), None)),
        (LimitKey::Tenant, ("10.0.0.2", Some("v"), Some("t")), ("10.0.0.1", Some("u"), Some("s"))),
    ] {
        let mut world = World::new(vec![limit(per, 3)]);
        let (user, tenant) = if same.1.is_none() { (None, None) } else { (Some("u"), Some("t")) };
        assert_eq!(world.passing(&mut peer("10.0.0.1", user, tenant, &[]), "1"), 3);
        assert_eq!(world.passing(&mut peer(same.0, same.1, same.2, &[]), "1"), 0, "{per:?}: the same key");
        assert_eq!(world.passing(&mut peer(other.0, other.1, other.2, &[]), "1"), 3, "{per:?}: another key");
    }
    let by_key = |id: &str| {
        let mut peer = peer("10.0.0.1", Some("service"), None, &[]);
        peer.principal.method = Method::ApiKey;
        peer.principal.token_id = Some(id.into());
        peer
    };
    let mut world = World::new(vec![limit(LimitKey::ApiKey, 3)]);
    assert_eq!(world.passing(&mut by_key("k1"), "1"), 3);
    assert_eq!(world.passing(&mut by_key("k1"), "1"), 0, "the same key");
    assert_eq!(world.passing(&mut by_key("k2"), "1"), 3, "another key of the same subject");
    let mut token = peer("10.0.0.1", Some("service"), None, &[]);
    token.principal.token_id = Some("k1".into());
    assert_eq!(world.passing(&mut token, "1"), 3, "a token is no key, whatever its id");
    let mut world = World::new(vec![limit(LimitKey::Global, 3)]);
    assert_eq!(world.passing(&mut peer("10.0.0.1", Some("u"), None, &[]), "1"), 3);
    assert_eq!(world.passing(&mut peer("10.9.9.9", Some("v"), Some("w"), &[]), "1"), 0);
}

#[test]
fn the_strictest_of_many_keys_wins_and_says_when_to_come_back() {
    let mut world =
        World::new(vec![limit(LimitKey::Connection, 5), limit(LimitKey::Ip, 9), limit(LimitKey::Global, 12)]);
    let mut first = peer("10.0.0.1", Some("a"), None, &[]);
    let mut second = peer("10.0.0.1", Some("b"), None, &[]);
    let mut third = peer("10.0.0.2", Some("c"), None, &[]);
    assert_eq!(world.passing(&mut first, "1"), 5);
    // The message that was refused counted for the address and for all, too.
    assert_eq!(world.passing(&mut second, "1"), 3);
    let refused = world.send(&mut third, "1");
    assert_eq!(refused.action, Action::Pass);
    assert_eq!(world.passing(&mut third, "1"), 1);
    let verdict = world.send(&mut third, "1");
    let finding = &verdict.findings[0];
    assert_eq!((finding.reason, finding.detail.as_str()), (Reason::MessageRate, "limit `Global`"));
    let reply: serde_json::Value = serde_json::from_str(&error_reply(&errors(), finding, "r")).unwrap();
    assert_eq!(reply["retry_after_ms"], 834, "ten seconds by twelve, rounded up");
}

#[test]
fn types_and_domains_are_counted_by_themselves_within_a_connection() {
    let mut by_type = limit(LimitKey::Type, 2);
    by_type.groups = vec![patterns(&["say"]), patterns(&["pay.*"])];
    let mut by_domain = limit(LimitKey::Domain, 5);
    by_domain.groups = vec![patterns(&["pay.*", "refund"]), patterns(&["say", "shout"])];
    let mut world = World::new(vec![by_type, by_domain]);
    let mut one = peer("10.0.0.1", None, None, &[]);
    assert_eq!(world.passing(&mut one, r#"{"type":"say"}"#), 2);
    assert_eq!(world.passing(&mut one, r#"{"type":"\u0070ay.a"}"#), 2, "an escape hides nothing");
    assert_eq!(world.passing(&mut one, r#"{"type":"pay.b"}"#), 0, "one pattern, one count");
    // Types that nobody listed share one count: inventing them buys nothing.
    assert_eq!(world.passing(&mut one, r#"{"type":"x1"}"#), 2);
    assert_eq!(world.passing(&mut one, r#"{"type":"x2"}"#), 0);
    assert_eq!(world.passing(&mut one, "no json"), 0);
    assert_eq!(world.passing(&mut peer("10.0.0.1", None, None, &[]), r#"{"type":"say"}"#), 2);
}

#[test]
fn a_limit_of_some_types_leaves_the_others_alone() {
    let mut only = limit(LimitKey::User, 2);
    only.types = patterns(&["pay.*"]);
    let mut world = World::new(vec![only]);
    let mut one = peer("10.0.0.1", Some("u"), None, &[]);
    assert_eq!(world.passing(&mut one, r#"{"type":"say"}"#), 100);
    assert_eq!(world.passing(&mut one, r#"{"type":"pay.x"}"#), 2);
    assert_eq!(world.passing(&mut one, r#"{"type":["pay.x"]}"#), 100);
}

#[test]
fn bytes_and_cost_are_counted_as_messages_are() {
    let mut bytes = limit(LimitKey::Connection, 100);
    bytes.of = Measure::Bytes;
    let mut world = World::new(vec![bytes]);
    assert_eq!(world.passing(&mut peer("10.0.0.1", None, None, &[]), &"x".repeat(30)), 3);
    let mut cost = limit(LimitKey::User, 100);
    cost.of = Measure::Cost;
    cost.weights = vec![(TypePattern::parse("search"), 40), (TypePattern::parse("free"), 0)];
    let mut world = World::new(vec![cost]);
    let mut one = peer("10.0.0.1", Some("u"), None, &[]);
    assert_eq!(world.passing(&mut one, r#"{"type":"free"}"#), 100);
    assert_eq!(world.passing(&mut one, r#"{"type":"search"}"#), 2);
    assert_eq!(world.passing(&mut one, r#"{"type":"say"}"#), 20, "1 unless said");
}

#[test]
fn roles_calendars_and_pressure_multiply() {
    let mut of_user = limit(LimitKey::User, 10);
    of_user.role_factors =
        vec![("premium".into(), Factor::from_permille(3000)), ("trial".into(), Factor::from_permille(500))];
    of_user.calendar_factors = vec![(1, Factor::from_permille(2000))];
    let passing = |roles: &[&str], conditions| {
        let mut world = World::new(vec![of_user.clone()]);
        world.ledger.set_conditions(conditions);
        world.passing(&mut peer("10.0.0.1", Some("u"), None, roles), "1")
    };
    let calm = Conditions::default();
    let market = Conditions::new([false, true], Factor::ONE);
    let lockdown = Conditions::new([true, true], Factor::from_permille(200));
    assert_eq!(passing(&["user"], calm), 10);
    assert_eq!(passing(&["trial"], calm), 5);
    assert_eq!(passing(&["trial", "premium"], calm), 30, "the largest");
    assert_eq!(passing(&["user"], market), 20);
    assert_eq!(passing(&["premium"], lockdown), 12);
}

#[test]
fn open_connections_feel_a_change_at_their_next_message() {
    let mut world = World::new(vec![limit(LimitKey::User, 10), limit(LimitKey::Connection, 10)]);
    let mut one = peer("10.0.0.1", Some("u"), None, &[]);
    assert_eq!(world.passing(&mut one, "1"), 10);
    world.now = world.now.plus(Duration::from_secs(10));
    world.ledger.set_conditions(Conditions::new([], Factor::from_permille(300)));
    assert_eq!(world.passing(&mut one, "1"), 3);
    world.now = world.now.plus(Duration::from_secs(11));
    world.ledger.set_conditions(Conditions::default());
    assert_eq!(world.passing(&mut one, "1"), 10);
}

#[test]
fn a_penalty_survives_an_inventor_of_keys_and_reconnecting() {
    let mut world = World::new(vec![limit(LimitKey::User, 10)]);
    world.ledger = Ledger::new(64, [9, 9]);
    assert_eq!(world.passing(&mut peer("10.0.0.1", Some("victim"), None, &[]), "1"), 10);
    for i in 0..5_000 {
        world.send(&mut peer("10.0.0.1", Some(&format!("invented {i}")), None, &[]), "1");
    }
    assert_eq!(world.passing(&mut peer("10.0.0.1", Some("victim"), None, &[]), "1"), 0);
}

#[test]
fn whoever_came_while_the_table_was_full_gets_a_count_of_its_own_later() {
    let mut world = World::new(vec![limit(LimitKey::User, 10)]);
    world.ledger = Ledger::new(1, [9, 9]);
    let mut first = peer("10.0.0.1", Some("first"), None, &[]);
    assert_eq!(world.passing(&mut first, "1"), 10);
    let (mut second, mut third) =
        (peer("10.0.0.1", Some("second"), None, &[]), peer("10.0.0.1", Some("third"), None, &[]));
    assert_eq!(world.passing(&mut second, "1"), 10, "the shared count");
    assert_eq!(world.passing(&mut third, "1"), 0, "and no other");
    drop(first);
    world.now = world.now.plus(Duration::from_secs(30));
    assert_eq!(world.passing(&mut third, "1"), 10);
    assert_eq!(world.passing(&mut second, "1"), 10, "no longer shared with `third`");
}

/// Ten a minute with a ladder that is climbed at the third refusal.
fn guarded() -> World {
    let mut messages = messages(vec![limit(LimitKey::Connection, 5)]);
    let after = Rate { count: 2, per: Duration::from_secs(60), burst: 2, algorithm: RateAlgorithm::TokenBucket };
    messages.offenders = Some(Offenders {
        after,
        waits: [5, 30, 300].map(Duration::from_secs).to_vec(),
        forgive_after: Duration::from_secs(600),
    });
    let plan = Plan::compile(&messages, &errors(), Direction::Inbound, true).unwrap();
    World { plan, ..World::new(Vec::new()) }
}

/// Sends until a wait is earned; the verdict that brought it.
fn until_slowed(world: &mut World, peer: &mut Peer) -> Verdict {
    let slowed = |verdict: &Verdict| verdict.findings.iter().any(|finding| finding.reason == Reason::OffenderSlowed);
    (0..100).map(|_| world.send(peer, "1")).find(slowed).unwrap()
}

#[test]
fn a_repeat_offender_waits_longer_each_time_and_is_told_how_long() {
    let mut world = guarded();
    let mut one = peer("10.0.0.1", Some("u"), None, &[]);
    for wait in [5, 30, 300] {
        let verdict = until_slowed(&mut world, &mut one);
        let reasons: Vec<Reason> = verdict.findings.iter().map(|finding| finding.reason).collect();
        assert_eq!(reasons, [Reason::OffenderSlowed, Reason::MessageRate]);
        assert_eq!(verdict.action, Action::Reply);
        assert_eq!(verdict.findings[1].retry_after, Some(Duration::from_secs(wait)));
        world.now = world.now.plus(Duration::from_secs(wait - 1));
        let verdict = world.send(&mut one, "1");
        assert_eq!(verdict.findings[0].reason, Reason::OffenderWaits);
        assert_eq!(verdict.findings[0].retry_after, Some(Duration::from_secs(1)));
        world.now = world.now.plus(Duration::from_secs(1));
        assert_eq!(world.send(&mut one, "1").action, Action::Pass, "the wait is over");
    }
}

#[test]
fn a_wait_follows_its_user_to_other_connections_and_spares_the_neighbours() {
    let mut world = guarded();
    until_slowed(&mut world, &mut peer("10.0.0.1", Some("u"), None, &[]));
    assert_eq!(world.passing(&mut peer("10.9.9.9", Some("u"), None, &[]), "1"), 0, "the same user elsewhere");
    assert_eq!(world.passing(&mut peer("10.0.0.1", Some("v"), None, &[]), "1"), 5, "another user of the office");
    assert_eq!(world.passing(&mut peer("10.0.0.1", None, None, &[]), "1"), 5, "the address itself");
    until_slowed(&mut world, &mut peer("10.0.0.2", None, None, &[]));
    assert_eq!(world.passing(&mut peer("10.0.0.2", None, None, &[]), "1"), 0, "an anonymous caller is its address");
}

#[test]
fn a_wait_is_not_escaped_by_inventing_users() {
    let mut world = guarded();
    world.ledger = Ledger::new(64, [4, 2]);
    until_slowed(&mut world, &mut peer("10.0.0.1", Some("u"), None, &[]));
    for i in 0..5_000 {
        until_slowed_or_full(&mut world, &mut peer("10.0.0.1", Some(&format!("invented {i}")), None, &[]));
    }
    assert_eq!(world.passing(&mut peer("10.0.0.1", Some("u"), None, &[]), "1"), 0);
    assert!(world.ledger.len() <= 64);
}

fn until_slowed_or_full(world: &mut World, peer: &mut Peer) {
    for _ in 0..9 {
        world.send(peer, "1");
    }
}

#[test]
fn a_limit_that_delays_refuses_nothing_and_holds_its_rate_over_time() {
    for (per, algorithm) in [
        (LimitKey::Connection, RateAlgorithm::TokenBucket),
        (LimitKey::User, RateAlgorithm::TokenBucket),
        (LimitKey::User, RateAlgorithm::SlidingWindow),
    ] {
        let mut spec = limit(per, 20);
        (spec.delays, spec.on_excess, spec.rate.algorithm) = (true, OnRefuse::Observe, algorithm);
        let mut world = World::new(vec![spec]);
        let mut peer = peer("10.0.0.1", Some("u"), None, &[]);
        let (start, mut sent, mut told) = (world.now.mono, 0_u32, 0);
        // A sender as fast as it is read: each read brings eight messages.
        while world.now.mono < start + Duration::from_secs(100) {
            for _ in 0..8 {
                let verdict = world.send(&mut peer, "{}");
                assert_eq!(verdict.action, Action::Pass);
                told += verdict.findings.iter().filter(|found| found.reason == Reason::MessageDelayed).count();
                sent += 1;
            }
            let wait = peer.memory.paused_until().saturating_sub(world.now.mono).max(Duration::from_millis(1));
            assert!(wait <= portcullis_core::inspection::PAUSE_MAX);
            world.now = world.now.plus(wait);
        }
        // Two a second, and a burst of twenty; what came in one read is ahead of its time. A window counts more warily.
        assert!((160..=232).contains(&sent), "{per:?} {algorithm:?}: {sent}");
        assert!(told > 10, "it is told: {told}");
    }
}

#[test]
fn a_message_that_costs_more_than_fits_at_once_is_paid_in_parts() {
    let mut spec = limit(LimitKey::Connection, 10);
    (spec.of, spec.bytes_per_cost, spec.delays, spec.on_excess) = (Measure::Cost, Some(100), true, OnRefuse::Observe);
    let mut world = World::new(vec![spec]);
    let mut peer = peer("10.0.0.1", None, None, &[]);
    let text = format!("{{\"a\":\"{}\"}}", "x".repeat(2000));
    let verdict = world.send(&mut peer, &text);
    assert_eq!(verdict.action, Action::Pass);
    let wait = verdict.findings[0].retry_after.unwrap();
    // 22 or so at one a second, ten of them at once.
    assert!((11..=13).contains(&wait.as_secs()), "{wait:?}");
}

#[test]
fn cost_counts_size_and_those_who_get_the_message() {
    for (text, cost) in [
        (r#"{"type":"say","to":["a","b","c"]}"#, 3 * 2 + 1),
        (r#"{"type":"say","to":[]}"#, 2 + 1),
        (r#"{"type":"say"}"#, 2 + 1),
        (r#"{"type":"other","to":["a","b"]}"#, 2 + 1),
        (r#"{"type":"say","to":"everyone"}"#, 2 + 1),
        (&format!("{{\"type\":\"other\",\"x\":\"{}\"}}", "x".repeat(230)), 1 + 3),
    ] {
        let mut spec = limit(LimitKey::Connection, 840);
        spec.of = Measure::Cost;
        spec.weights = vec![(TypePattern::parse("say"), 2)];
        (spec.bytes_per_cost, spec.fan_out) = (Some(100), Some("/to".into()));
        let mut world = World::new(vec![spec]);
        let mut peer = peer("10.0.0.1", None, None, &[]);
        let sent = (0..1000).take_while(|_| world.send(&mut peer, text).action == Action::Pass).count();
        assert_eq!(sent, 840 / cost, "{text}");
    }
}
