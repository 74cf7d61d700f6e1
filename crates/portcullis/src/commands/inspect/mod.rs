//! `portcullis inspect`: messages from files or a pipe through a policy, a verdict a line (SPEC 16).
//!
//! Decides what of a line is the message and how a verdict is written; the judging is the core's own inspection, as
//! the gateway runs it. Opens no socket and needs no key, certificate or backend.

mod lines;
mod summary;

use std::io::{IsTerminal as _, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use portcullis_core::identity::{Method, Principal};
use portcullis_core::inspection::{
    Action, Context, Direction, Finding, Kind, Memory, Message, Plan, Verdict, Workspace, inspect,
};
use portcullis_core::limits::{IpKey, Ledger};
use portcullis_core::policy::checked::{Environment, Messages, OnRefuse, Route};
use portcullis_core::policy::{Checked, Overrides};
use portcullis_core::time::Now;
use serde_json::Value;

use crate::cli::Inspect;
use crate::configuration::Origin;
use crate::exit::{Failure, Outcome};
use crate::output;
use lines::{Lines, Read};
use summary::Summary;

/// What a policy that nobody wrote needs to be one. Nothing of it is used.
const STAND_INS: [&str; 3] = [
    "listen.tls_terminated_by_proxy=true",
    "identity.keys=[{algorithm: HS256, secret: 'no token is verified while messages are inspected'}]",
    "admin.token='no admin listener is opened while messages are inspected'",
];

/// Judges every line.
pub(crate) fn run(told: &Inspect) -> Outcome {
    let route = route(told)?;
    let mut judge = Judge::new(&route, told)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut lines = Lines::new(told);
    for file in lines::files(&told.files)? {
        lines.judge(&file, &mut judge, &mut out)?;
    }
    out.flush().map_err(|error| Failure::output(&error))?;
    if told.summary || std::io::stderr().is_terminal() {
        // Where standard error is closed there is nobody to read it.
        let _ = write!(std::io::stderr(), "{}", judge.summary);
    }
    match lines.unread() {
        0 => Ok(()),
        1 => Err(Failure::Negative(String::from("1 line could not be read"))),
        count => Err(Failure::Negative(format!("{count} lines could not be read"))),
    }
}

fn route(told: &Inspect) -> Result<Route, Failure> {
    let checked = checked(told)?;
    let named = |route: &Route| told.route.as_ref().is_none_or(|name| route.name == *name);
    let names: Vec<String> = checked.routes.iter().map(|route| format!("`{}`", route.name)).collect();
    checked.routes.into_iter().find(named).ok_or_else(|| {
        let asked = output::printable(told.route.as_deref().unwrap_or_default());
        Failure::Usage(format!("no route is named `{asked}`; there are {}", names.join(", ")))
    })
}

fn checked(told: &Inspect) -> Result<Checked, Failure> {
    let mut overrides = Overrides { preset: told.preset, set: told.set.clone(), ..Overrides::default() };
    if told.config.is_none() {
        overrides.preset = told.preset.or(Some(Environment::Production));
        overrides.upstream = Some(String::from("ws://127.0.0.1:1"));
        overrides.set.splice(0..0, STAND_INS.map(str::to_owned));
    }
    Ok(Origin { file: told.config.clone(), overrides }.load()?.checked)
}

/// The rules of one direction.
struct Way {
    plan: Plan,
    bytes_max: u64,
}

impl Way {
    fn new(route: &Route, direction: Direction, payload: bool) -> Result<Self, Failure> {
        let own = match direction {
            Direction::Inbound => &route.inbound,
            Direction::Outbound => &route.outbound,
        };
        let messages = of_one_message(own, payload);
        let plan = Plan::compile(&messages, &route.errors, direction, true)
            .map_err(|error| Failure::Configuration(format!("the policy cannot be compiled: {error}")))?;
        Ok(Self { plan, bytes_max: messages.bytes_max })
    }
}

/// The rules, and what judging needs besides.
struct Judge<'t> {
    told: &'t Inspect,
    inbound: Way,
    outbound: Way,
    work: Workspace,
    ledger: Ledger,
    principal: Principal,
    ip: IpKey,
    summary: Summary,
}

impl<'t> Judge<'t> {
    fn new(route: &Route, told: &'t Inspect) -> Result<Self, Failure> {
        Ok(Self {
            told,
            inbound: Way::new(route, Direction::Inbound, told.field.is_some())?,
            outbound: Way::new(route, Direction::Outbound, told.field.is_some())?,
            work: Workspace::new(0).drawing(|bytes| getrandom::fill(bytes).is_ok()),
            ledger: Ledger::new(1, [0, 0]),
            principal: principal(told),
            ip: IpKey::of(IpAddr::V4(Ipv4Addr::LOCALHOST), 64),
            summary: Summary::default(),
        })
    }

    fn line(&mut self, read: &Read<'_>, out: &mut impl Write) -> Outcome {
        let of_class = |class: &String| self.told.outbound_class.contains(class);
        let outbound = self.told.outbound || read.class.as_ref().is_some_and(of_class);
        let verdict = self.verdict(&read.bytes, outbound);
        let blocked = !matches!(verdict.action, Action::Pass | Action::Rewrite);
        self.summary.count(read.class.as_deref(), blocked, &verdict.findings);
        let line = Line {
            id: &read.id,
            blocked,
            findings: verdict.findings.iter().map(Shown::from).collect(),
            rewritten: verdict.rewritten.as_deref().map(String::from_utf8_lossy),
            asks: verdict.ask.iter().flat_map(|ask| &ask.callbacks).map(|callback| callback.name.as_str()).collect(),
        };
        serde_json::to_writer(&mut *out, &line).map_err(|error| Failure::output(&error.into()))?;
        out.write_all(b"\n").map_err(|error| Failure::output(&error))
    }

    /// As the gateway would: the codec refuses what is too large or not UTF-8 before a check sees it.
    fn verdict(&mut self, bytes: &[u8], outbound: bool) -> Verdict {
        use portcullis_core::verdict::Reason;
        let way = if outbound { &self.outbound } else { &self.inbound };
        let too_large = u64::try_from(bytes.len()).unwrap_or(u64::MAX) > way.bytes_max;
        if too_large {
            let detail = format!("{} bytes; allowed are {}", bytes.len(), way.bytes_max);
            return by_codec(Reason::MessageTooLarge, detail);
        }
        if std::str::from_utf8(bytes).is_err() {
            return by_codec(Reason::InvalidUtf8, String::from(Reason::InvalidUtf8.row().internal));
        }
        let now = Now { mono: Duration::ZERO, wall: Duration::ZERO };
        let cx = Context { now, principal: &self.principal, ip: &self.ip, ledger: &self.ledger };
        inspect(&way.plan, &mut Memory::new(), &cx, &mut self.work, &Message { kind: Kind::Text, bytes })
    }
}

/// The caller that the flags describe.
fn principal(told: &Inspect) -> Principal {
    if told.role.is_empty() && told.permission.is_empty() && told.tenant.is_none() && !told.mfa {
        return Principal::anonymous();
    }
    let names = |names: &[String]| names.iter().map(|name| Box::from(name.as_str())).collect();
    Principal {
        method: Method::Jwt,
        roles: names(&told.role),
        permissions: names(&told.permission),
        mfa: told.mfa,
        tenant: told.tenant.as_deref().map(Box::from),
        ..Principal::anonymous()
    }
}

fn by_codec(reason: portcullis_core::verdict::Reason, detail: String) -> Verdict {
    let finding = Finding::new(reason, "codec", OnRefuse::Close, detail);
    Verdict { action: Action::Close, findings: vec![finding], rewritten: None, ask: None }
}

/// The rules that one message alone can be held to.
fn of_one_message(own: &Messages, payload: bool) -> Messages {
    let mut messages = Messages { limits: Vec::new(), offenders: None, text: true, ..own.clone() };
    if payload {
        messages.envelope = None;
        messages.schemas = None;
        messages.access = portcullis_core::access::MessageAccess::default();
    } else if let Some(envelope) = &mut messages.envelope {
        envelope.timestamp_tolerance = None;
        envelope.replay_ids_max = 0;
    }
    messages
}

/// A verdict as it is written.
#[derive(serde::Serialize)]
struct Line<'a> {
    id: &'a Value,
    blocked: bool,
    findings: Vec<Shown<'a>>,
    /// What goes on in the message's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    rewritten: Option<std::borrow::Cow<'a, str>>,
    /// Callbacks that the gateway would ask; nobody is asked here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    asks: Vec<&'a str>,
}

/// A finding as it is written.
#[derive(serde::Serialize)]
struct Shown<'a> {
    reason: &'static str,
    check: &'static str,
    outcome: &'static str,
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    detail: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    evidence: Option<ShownEvidence>,
}

/// Where a threat stands, as it is written.
#[derive(serde::Serialize)]
struct ShownEvidence {
    bytes: (usize, usize),
    #[serde(skip_serializing_if = "String::is_empty")]
    decoded: String,
    confidence: &'static str,
    page: &'static str,
}

impl<'a> From<&'a Finding> for Shown<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self {
            reason: finding.reason.label(),
            check: finding.check,
            outcome: outcome(finding.outcome),
            field: finding.field.as_deref(),
            rule: finding.rule.as_deref(),
            detail: &finding.detail,
            evidence: finding.evidence.as_ref().map(|evidence| ShownEvidence {
                bytes: evidence.bytes,
                decoded: evidence.decoded.to_string(),
                confidence: evidence.confidence.label(),
                page: evidence.page,
            }),
        }
    }
}

const fn outcome(outcome: OnRefuse) -> &'static str {
    match outcome {
        OnRefuse::Observe => "observe",
        OnRefuse::Mask => "mask",
        OnRefuse::Sanitize => "sanitize",
        OnRefuse::Replace => "replace",
        OnRefuse::Drop => "drop",
        OnRefuse::Reply => "reply",
        OnRefuse::Close => "close",
    }
}
