//! What one message costs: benign and hostile ones through the production inbound plan, and its parts.
//!
//! `cargo bench -p portcullis-core --bench inspection [-- NAME…]`. Each line is the best of several rounds, in nanoseconds a
//! message; `x benign` compares a hostile message with the benign one of its size.
#![allow(clippy::print_stdout, reason = "a program for a person to run")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_core::identity::Principal;
use portcullis_core::inspection::{Context, Direction, Kind, Memory, Message, Plan, Workspace, inspect};
use portcullis_core::limits::{IpKey, Ledger};
use portcullis_core::message::json::{Bounds, Pointers, Scan};
use portcullis_core::message::leak::LeakClass;
use portcullis_core::message::schema::{Dialect, Schema};
use portcullis_core::message::threat::{Buffers, ClassSet, Detector};
use portcullis_core::policy::checked::{
    Envelope, ErrorReplies, Json, JsonMode, Leaks, LimitKey, MessageLimit, Messages, OnRefuse, Rate, RateAlgorithm,
    ReplayPer, Schemas, ThreatClass, Threats, TimestampUnit, WithoutSchema,
};
use portcullis_core::time::Now;

const CLASSES: [ThreatClass; 9] = [
    ThreatClass::Sqli,
    ThreatClass::Nosql,
    ThreatClass::Xss,
    ThreatClass::Command,
    ThreatClass::Traversal,
    ThreatClass::Template,
    ThreatClass::Ldap,
    ThreatClass::Xxe,
    ThreatClass::Lookup,
];

const JSON: Json =
    Json { mode: JsonMode::Required, depth_max: 32, keys_max: 100_000, values_max: 100_000, string_bytes_max: 1 << 20 };

/// Everything a production policy checks; limits far away, outcomes observed so that the list runs to its end.
fn production() -> Messages {
    let rate = Rate {
        count: 1_000_000_000,
        per: Duration::from_secs(1),
        burst: 1_000_000_000,
        algorithm: RateAlgorithm::TokenBucket,
    };
    let limit = |name: &str, per| MessageLimit::new(name.into(), per, rate, OnRefuse::Observe);
    Messages {
        fragments_max: 64,
        limits: vec![limit("connection", LimitKey::Connection), limit("user", LimitKey::User)],
        json: JSON,
        envelope: Some(Envelope {
            type_at: "/type".into(),
            id_at: "/id".into(),
            timestamp_at: "/timestamp".into(),
            required: vec!["/type".into(), "/id".into(), "/timestamp".into()],
            types: Some(["chat", "typing", "ack", "heartbeat"].map(String::from).into()),
            timestamp_tolerance: Some(Duration::from_secs(300)),
            timestamp_unit: TimestampUnit::Seconds,
            replay_ids_max: 1024,
            replay_per: ReplayPer::Connection,
        }),
        threats: Some(Threats {
            classes: CLASSES.into_iter().map(|class| (class, OnRefuse::Observe)).collect(),
            skip_fields: Vec::new(),
            decode_layers_max: 3,
            ..Threats::default()
        }),
        on_refuse: OnRefuse::Observe,
        ..Messages::default()
    }
}

/// A chat message's schema as people write them.
fn schemas() -> Schemas {
    let chat = serde_json::json!({
        "type": "object",
        "required": ["type", "id", "timestamp", "room", "text"],
        "properties": {
            "type": {"const": "chat"},
            "id": {"type": "string", "minLength": 1, "maxLength": 64},
            "timestamp": {"type": "integer", "minimum": 0},
            "room": {"$ref": "#/$defs/name"},
            "text": {"type": "string", "minLength": 1, "maxLength": 4000},
            "mentions": {"type": "array", "maxItems": 20, "uniqueItems": true, "items": {"$ref": "#/$defs/name"}},
            "reply_to": {"type": "string", "format": "uuid"},
        },
        "additionalProperties": false,
        "$defs": {"name": {"type": "string", "pattern": "^[a-z0-9_-]{1,32}$"}},
    });
    let schema = Schema::compile(&chat, Dialect::Written).unwrap_or_else(|error| fail(&error.message));
    let by_type = [("chat".to_owned(), Arc::new(schema))].into();
    Schemas { type_at: "/type".into(), by_type, without: WithoutSchema::Pass }
}

const CHAT: &str = "I don't think so - let's meet at 5 (or 6?) instead; Anna said \\\"fine\\\", and the select \
    committee's paper is due on Monday: it's on https://example.com/a/b?x=1. We can order pizza, then go home. ";

const WORDS: &str = "the quick brown fox jumps over the lazy dog, and again ";

/// A message of `bytes` whose text repeats `unit`. Its id is fresh each time: `n` replaces the zeros.
fn chat(unit: &str, bytes: usize) -> Vec<u8> {
    let head = r#"{"id":"00000000","type":"chat","timestamp":1700000000,"room":"general","text":""#;
    let mut text = head.to_owned();
    while text.len() + unit.len() + 2 <= bytes {
        text.push_str(unit);
    }
    text.push_str("\"}");
    text.into_bytes()
}

fn body(member: impl Fn(usize) -> String, open: &str, close: &str, bytes: usize) -> Vec<u8> {
    let mut text = format!(r#"{{"id":"00000000","type":"chat","timestamp":1700000000,"body":{open}"#);
    let mut n = 0;
    while text.len() + 12 < bytes {
        if n > 0 {
            text.push(',');
        }
        text.push_str(&member(n));
        n += 1;
    }
    text.push_str(close);
    text.push('}');
    text.into_bytes()
}

struct Bench {
    plan: Plan,
    memory: Memory,
    work: Workspace,
    ledger: Ledger,
    count: u64,
}

impl Bench {
    /// What a backend sends: JSON and what must not leave.
    fn outbound() -> Self {
        let leaks = Leaks { classes: LeakClass::ALL.map(|class| (class, OnRefuse::Observe)).into(), records_max: 20 };
        let messages =
            Messages { limits: Vec::new(), envelope: None, threats: None, leaks: Some(leaks), ..production() };
        Self::of(&messages, Direction::Outbound)
    }

    fn inbound() -> Self {
        Self::of(&production(), Direction::Inbound)
    }

    fn of(messages: &Messages, direction: Direction) -> Self {
        let errors = ErrorReplies { detailed: false, template: "{}".into() };
        let plan = Plan::compile(messages, &errors, direction, true).unwrap_or_else(|e| fail(&e));
        Self { plan, memory: Memory::new(), work: Workspace::new(7), ledger: Ledger::new(1024, [1, 2]), count: 0 }
    }

    /// Measures one message and prints its line; nanoseconds a message.
    fn say(&mut self, name: &str, mut message: Vec<u8>, benign: f64) -> f64 {
        if !wanted(name) {
            return 0.0;
        }
        let (ns, found) = self.run(&mut message);
        say(name, ns, found, if benign > 0.0 { ns / benign } else { 0.0 });
        ns
    }

    /// Nanoseconds a message, best of the rounds; and the findings of the last one.
    fn run(&mut self, message: &mut [u8]) -> (f64, usize) {
        let (ip, principal) = (IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64), Principal::anonymous());
        let mut found = 0;
        let ns = best(message.len(), || {
            self.count += 1;
            fresh_id(message, self.count);
            let wall = Duration::from_secs(1_700_000_000);
            let now = Now { mono: Duration::from_nanos(self.count * 1000), wall };
            let cx = Context { now, principal: &principal, ip: &ip, ledger: &self.ledger };
            let message = Message { kind: Kind::Text, bytes: black_box(message) };
            found = black_box(inspect(&self.plan, &mut self.memory, &cx, &mut self.work, &message)).findings.len();
        });
        (ns, found)
    }
}

/// Names given on the command line choose; without any, all are measured.
fn wanted(name: &str) -> bool {
    let mut chosen = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).peekable();
    chosen.peek().is_none() || chosen.any(|part| name.contains(&part))
}

/// A line as most programs send: its id is a UUID.
fn line_with_uuid(unit: &str, bytes: usize) -> Vec<u8> {
    let head = r#"{"id":"00000000-0000-4000-8000-000000000000","type":"chat","timestamp":1700000000,"text":""#;
    let mut text = head.to_owned();
    while text.len() + unit.len() + 2 <= bytes {
        text.push_str(unit);
    }
    text.push_str("\"}");
    text.into_bytes()
}

fn fresh_id(message: &mut [u8], count: u64) {
    if message.get(15) == Some(&b'-') {
        return fresh_uuid(message.get_mut(7..43).unwrap_or_default(), count);
    }
    if let Some(digits) = message.get_mut(7..15) {
        let mut n = count;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (n % 10) as u8;
            n /= 10;
        }
    }
}

/// Hexadecimal digits of which each is as likely as any other: what they are cannot be foretold, as in life.
fn fresh_uuid(id: &mut [u8], count: u64) {
    let mut bits = count;
    for (at, digit) in id.iter_mut().enumerate().filter(|(_, digit)| **digit != b'-') {
        if at % 12 == 0 {
            bits = (bits ^ bits >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        *digit = b"0123456789abcdef".get((bits >> (at % 12 * 4 + 8) & 15) as usize).copied().unwrap_or(b'0');
    }
}

fn best(bytes: usize, mut step: impl FnMut()) -> f64 {
    let steps = (1_500_000 / bytes.max(256)).max(10);
    let mut best = f64::MAX;
    for _ in 0..7 {
        let start = Instant::now();
        for _ in 0..steps {
            step();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / steps as f64);
    }
    best
}

fn fail(error: &dyn std::fmt::Display) -> ! {
    eprintln!("{error}");
    std::process::exit(1)
}

fn main() {
    let mut bench = Bench::inbound();
    bench.say("benign chat 128 B", chat(CHAT, 200), 0.0);
    let benign_1k = bench.say("benign chat 1 KiB", chat(CHAT, 1024), 0.0);
    let benign_16k = bench.say("benign chat 16 KiB", chat(CHAT, 16 << 10), 0.0);
    bench.say("plain words 1 KiB", chat(WORDS, 1024), 0.0);
    bench.say("words and a UUID 1 KiB", line_with_uuid(WORDS, 1024), 0.0);
    let mut outbound = Bench::outbound();
    outbound.say("outbound chat 1 KiB", chat(CHAT, 1024), 0.0);
    outbound.say("outbound words 1 KiB", chat(WORDS, 1024), 0.0);
    outbound.say("outbound words and a UUID 1 KiB", line_with_uuid(WORDS, 1024), 0.0);
    let mut held = Bench::of(&Messages { schemas: Some(schemas()), ..production() }, Direction::Inbound);
    held.say("chat 1 KiB held to a schema", chat(CHAT, 1024), benign_1k);
    hostile(&mut bench, benign_1k, 1024);
    hostile(&mut bench, benign_16k, 16 << 10);
    parts();
}

fn hostile(bench: &mut Bench, benign: f64, bytes: usize) {
    println!("hostile, {bytes} bytes:");
    let texts = [
        ("escapes only", r"\u0041"),
        ("escaped quotes", r#"\""#),
        ("suspicious bytes", "'<(;`${}%&|[#=*@)>"),
        ("quotes and or", "' or "),
        ("quotes or 1", "x' or y "),
        ("union", "union "),
        ("select (", "select ("),
        ("tags", "<a b="),
        ("open tags", "<a "),
        ("on", " on"),
        ("dollar braces", "${a"),
        ("dots", "../"),
        ("separators", ";ls x "),
        ("backticks", "`a "),
        ("alert(", "alert( "),
        ("quotes and minus", "'-'"),
        ("load_file(", "load_file("),
        ("functions", "function("),
        ("drop;", ";drop table x"),
        ("comments", "/*x*/"),
        ("digits or", "1 or "),
        ("parentheses", ")("),
        ("percent noise", "%41%zz%3c"),
        ("percent nested", "%252525253c"),
        ("one escape a layer", "a%2525253c long text that stays as it is and is judged again for each layer, "),
        ("entities", "&lt;&#60;"),
        ("base64", "QWxhZGRpbjpvcGVuIHNlc2FtZQ"),
        ("hex", "0x2e0x2e"),
        ("json inside", r#"{\"a\":\"x' or y\"},"#),
    ];
    for (name, unit) in texts {
        bench.say(name, chat(unit, bytes), benign);
    }
    let bodies: [(&str, Vec<u8>); 5] = [
        ("deep nesting", body(|_| format!("{}1{}", "[".repeat(28), "]".repeat(28)), "[", "]", bytes)),
        ("many keys", body(|n| format!("\"k{n}\":1"), "{", "}", bytes)),
        ("look-alike keys", body(|n| format!("\"aaaaaaaaaaaaaaaa{n:04}\":1"), "{", "}", bytes)),
        ("escaped keys", body(|n| format!("\"\\u006b{n}\":1"), "{", "}", bytes)),
        ("many strings", body(|n| format!("\"'{n}\""), "[", "]", bytes)),
    ];
    for (name, message) in bodies {
        bench.say(name, message, benign);
    }
}

fn parts() {
    if !wanted("parts") {
        return;
    }
    println!("parts, benign chat 1 KiB:");
    let message = chat(CHAT, 1024);
    let bounds = Bounds::from(&JSON);
    let mut scan = Scan::seeded(7);
    let mut pointers = Pointers::default();
    let ns = best(1024, || {
        let _ = black_box(scan.run(black_box(&message), &bounds, &pointers));
    });
    say("json", ns, 0, 0.0);
    for pointer in ["/id", "/type", "/timestamp"] {
        pointers.add(pointer).unwrap_or_else(|e| fail(&e));
    }
    let ns = best(1024, || {
        let _ = black_box(scan.run(black_box(&message), &bounds, &pointers));
    });
    say("json, three fields noted", ns, 0, 0.0);
    let classes: ClassSet = CLASSES.into_iter().collect();
    let detector = Detector::new(classes, 3);
    let mut buffers = Buffers::default();
    let ns = best(1024, || {
        for span in scan.strings() {
            black_box(detector.string(span.raw(&message), span.escapes, span.key, classes, &mut buffers));
        }
    });
    say("threats, all strings", ns, 0, 0.0);
}

fn say(name: &str, ns: f64, found: usize, ratio: f64) {
    let found = if found > 0 { format!("  {found} findings") } else { String::new() };
    let ratio = if ratio > 0.0 { format!("  {ratio:.1} x benign") } else { String::new() };
    println!("{name:<28}{ns:>10.0} ns{ratio}{found}");
}
