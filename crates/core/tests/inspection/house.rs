//! Policies and a peer that the tests judge with.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use portcullis_core::identity::Principal;
use portcullis_core::inspection::{
    Action, Context, Direction, Kind, Memory, Message, Plan, Verdict, Workspace, inspect,
};
use portcullis_core::limits::{IpKey, Ledger};
use portcullis_core::policy::checked::{
    Envelope, ErrorReplies, Json, JsonMode, LimitKey, MessageLimit, Messages, OnRefuse, Rate, RateAlgorithm, ReplayPer,
    ThreatClass, Threats, TimestampUnit,
};
use portcullis_core::time::Now;
use portcullis_core::verdict::Reason;

pub(crate) const NOW_S: u64 = 1_700_000_000;

pub(crate) fn rate(count: u32) -> Rate {
    Rate { count, per: Duration::from_secs(10), burst: count, algorithm: RateAlgorithm::TokenBucket }
}

pub(crate) fn limit(per: LimitKey, count: u32, on_excess: OnRefuse) -> MessageLimit {
    MessageLimit::new(format!("{per:?}"), per, rate(count), on_excess)
}

pub(crate) fn bare() -> Messages {
    Messages {
        bytes_max: 4096,
        binary: true,
        json: Json { mode: JsonMode::Required, depth_max: 4, keys_max: 16, values_max: 32, string_bytes_max: 2048 },
        ..Messages::default()
    }
}

pub(crate) fn full(outcome: OnRefuse) -> Messages {
    Messages {
        limits: vec![limit(LimitKey::Connection, 1000, outcome)],
        envelope: Some(Envelope {
            type_at: "/type".into(),
            id_at: "/id".into(),
            timestamp_at: "/timestamp".into(),
            required: vec!["/id".into(), "/type".into(), "/timestamp".into()],
            types: Some(vec!["chat".into(), "ack".into()]),
            timestamp_tolerance: Some(Duration::from_secs(300)),
            timestamp_unit: TimestampUnit::Seconds,
            replay_ids_max: 8,
            replay_per: ReplayPer::Connection,
        }),
        threats: Some(Threats {
            classes: [ThreatClass::Sqli, ThreatClass::Xss, ThreatClass::Nosql]
                .into_iter()
                .map(|c| (c, outcome))
                .collect(),
            skip_fields: vec!["/code".into()],
            decode_layers_max: 3,
            ..Threats::default()
        }),
        schemas: None,
        offenders: None,
        leaks: None,
        html: None,
        mask: Vec::new(),
        on_refuse: outcome,
        ..bare()
    }
}

pub(crate) struct Peer {
    pub(crate) plan: Plan,
    pub(crate) memory: Memory,
    pub(crate) work: Workspace,
    pub(crate) ledger: Ledger,
    pub(crate) principal: Principal,
    pub(crate) now: Now,
}

impl Peer {
    pub(crate) fn new(messages: &Messages) -> Self {
        let errors = ErrorReplies { detailed: true, template: r#"{"m":"{message}"}"#.into() };
        Self {
            plan: Plan::compile(messages, &errors, Direction::Inbound, true).unwrap(),
            memory: Memory::new(),
            work: Workspace::new(3),
            ledger: Ledger::new(64, [1, 2]),
            principal: Principal::anonymous(),
            now: Now { mono: Duration::from_secs(5), wall: Duration::from_secs(NOW_S) },
        }
    }

    pub(crate) fn send(&mut self, kind: Kind, bytes: &[u8]) -> Verdict {
        let ip = IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64);
        let cx = Context { now: self.now, principal: &self.principal, ip: &ip, ledger: &self.ledger };
        inspect(&self.plan, &mut self.memory, &cx, &mut self.work, &Message { kind, bytes })
    }

    pub(crate) fn text(&mut self, text: &str) -> Verdict {
        self.send(Kind::Text, text.as_bytes())
    }

    /// The reason a text is refused for, or none.
    pub(crate) fn reason(&mut self, text: &str) -> Option<Reason> {
        let verdict = self.text(text);
        assert_eq!(verdict.action == Action::Pass, verdict.findings.is_empty(), "{text}: {verdict:?}");
        verdict.findings.first().map(|finding| finding.reason)
    }
}

pub(crate) fn message(id: &str, kind: &str, timestamp: &str, more: &str) -> String {
    format!(r#"{{"id":{id},"type":{kind},"timestamp":{timestamp}{more}}}"#)
}

pub(crate) fn good(id: u32, more: &str) -> String {
    message(&format!("\"m{id}\""), "\"chat\"", &NOW_S.to_string(), more)
}

pub(crate) fn compiled(messages: &Messages, direction: Direction) -> Plan {
    Plan::compile(messages, &ErrorReplies { detailed: false, template: "{}".into() }, direction, true).unwrap()
}

pub(crate) fn decided(plan: &Plan, memory: &mut Memory, work: &mut Workspace, text: &str) -> Verdict {
    with(|cx| inspect(plan, memory, cx, work, &Message { kind: Kind::Text, bytes: text.as_bytes() }))
}

/// What a stranger's message is judged with.
pub(crate) fn with<T>(run: impl FnOnce(&Context<'_>) -> T) -> T {
    let (principal, ledger) = (Principal::anonymous(), Ledger::new(64, [1, 2]));
    let ip = IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64);
    let now = Now { mono: Duration::from_secs(1), wall: Duration::from_secs(NOW_S) };
    run(&Context { now, principal: &principal, ip: &ip, ledger: &ledger })
}
