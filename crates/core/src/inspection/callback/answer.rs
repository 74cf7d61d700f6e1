//! What a callback's answer means.
//!
//! `"allow": true` in a 200 lets the message on; 401, 403 and `"allow": false` refuse it, and so does whatever cannot be
//! understood, for it may be a refusal. Only where there is no answer at all does `on_failure` speak.
//!
//! A message that an answer carries is text for text and JSON for JSON, no larger than the direction allows, read by the
//! same strict reader, and of the type that came: who may send it was judged by that. What it says is judged by the checks
//! that judge content ([`again`]): the service hands on what a client wrote, and may be mistaken. One that is not as it
//! should be refuses: a service that took something out must not see it go on. The fault is the callback's, not the sender's.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Ask, Form, NAME, Named, as_message, as_text};
use crate::identity::strict_json;
use crate::inspection::field::{Field, type_of};
use crate::inspection::{Action, Context, Finding, Memory, Plan, Reading, Verdict, Workspace, again, conduct};
use crate::policy::checked::{Callback, OnFailure, OnRefuse};
use crate::verdict::Reason;

/// Largest answer read, bytes.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The same of a callback that may rewrite.
pub const REWRITING_ANSWER_BYTES_MAX: usize = 1 << 20;
/// Longest explanation kept, characters.
const WHY_CHARS_MAX: usize = 200;

/// What the shell heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A 200 and its body.
    Body(Vec<u8>),
    /// A 401 or 403.
    Forbidden(u16),
    /// Nothing, or another status; in words.
    Failed(String),
}

impl Ask {
    /// What an answer has against the message, if anything, or did to it. A finding whose outcome passes lets it on; after
    /// one that replaces, the next callback is asked about what it wrote.
    #[must_use]
    pub fn conclude(
        &mut self,
        plan: &Plan,
        cx: &Context<'_>,
        work: &mut Workspace,
        callback: &Callback,
        heard: Heard,
    ) -> Option<Finding> {
        let (reason, outcome, detail) = match heard {
            Heard::Forbidden(status) => refused(callback, format!("it answered {status}")),
            Heard::Failed(why) if callback.on_failure == OnFailure::Allow => {
                (Reason::CallbackUnavailable, OnRefuse::Observe, format!("{why}; `on_failure` lets it pass"))
            }
            Heard::Failed(why) => unavailable(callback, why),
            Heard::Body(body) => match Answer::read(&body) {
                Some(Answer::Allow { written: None, .. }) => return None,
                Some(Answer::Allow { written: Some(written), why }) => {
                    match self.replace(plan, cx, work, callback, &written) {
                        Ok((bytes, noted)) => {
                            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                            let detail = format!("it wrote another message, {bytes} bytes{why}{noted}");
                            (Reason::CallbackReplaced, OnRefuse::Replace, detail)
                        }
                        Err(fault) => unavailable(callback, format!("the message it wrote {fault}")),
                    }
                }
                Some(Answer::Refuse(why)) => {
                    refused(callback, format!("it says no: {}", why.as_deref().unwrap_or("it gave no reason")))
                }
                None => unavailable(callback, "the answer cannot be understood".to_owned()),
            },
        };
        let mut finding = Finding::new(reason, NAME, outcome, detail);
        finding.rule = Some(callback.name.clone());
        finding.message_type.clone_from(&self.message_type);
        Some(finding)
    }

    /// Takes what an answer carries in the message's place; its bytes, and in words what was found in it and let on.
    fn replace(
        &mut self,
        plan: &Plan,
        cx: &Context<'_>,
        work: &mut Workspace,
        callback: &Callback,
        written: &Written<'_>,
    ) -> Result<(usize, String), Cow<'static, str>> {
        let text = self.fitting(plan, work, callback, written)?;
        let judged = again::judged(plan, cx, self.topics.clone(), work, text.as_bytes(), self.form == Form::Json);
        work.settle();
        let judged = judged.map_err(|finding| format!("is refused: {}", words(&finding)))?;
        let noted = judged.findings.iter().map(|finding| format!("; {}", words(finding))).collect();
        self.said = match (self.form, std::str::from_utf8(&judged.text)) {
            (Form::Text, Ok(text)) => as_text(text),
            (_, Ok(json)) => as_message(json.as_bytes()),
            (_, Err(_)) => return Err("is no text".into()),
        };
        let bytes = judged.text.len();
        self.change = judged.change;
        self.replacement = Some(judged.text);
        Ok((bytes, noted))
    }

    /// The text of an answer, where it may stand in the message's place by its form, size and type.
    fn fitting<'w>(
        &self,
        plan: &Plan,
        work: &mut Workspace,
        callback: &Callback,
        written: &'w Written<'_>,
    ) -> Result<&'w str, &'static str> {
        if !callback.may_rewrite {
            return Err("is not asked for: `may_rewrite` is off");
        }
        let text = match (self.form, written) {
            (Form::Json, Written::Message(json)) => *json,
            (Form::Text, Written::Text(text)) => text,
            (Form::Json, Written::Text(_)) => return Err("stands under `text`; JSON stands under `message`"),
            (Form::Text, Written::Message(_)) => return Err("stands under `message`; other text stands under `text`"),
            (Form::Binary, _) => return Err("is text, and it came as bytes"),
        };
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > self.bytes_max {
            return Err("is larger than `bytes_max`");
        }
        work.reading = if self.form == Form::Json { Reading::Json } else { Reading::Text };
        let same = plan.still_reads(work, text.as_bytes());
        let named = plan.type_pointer.map_or(Field::Missing, |number| type_of(work, number, text.as_bytes()));
        let named = Named::from(named);
        if !same {
            return Err("is not JSON as `json` demands, or text that reads as JSON");
        }
        if named != self.named {
            return Err("is of another type than the one that came");
        }
        Ok(text)
    }
}

/// What a check found in a message that a callback wrote.
fn words(finding: &Finding) -> String {
    let at = finding.field.as_ref().map(|field| format!(" at `{field}`")).unwrap_or_default();
    format!("{}{at}: {}", finding.reason.label(), finding.detail)
}

fn refused(callback: &Callback, why: String) -> (Reason, OnRefuse, String) {
    (Reason::CallbackRefused, callback.on_refuse, why)
}

fn unavailable(callback: &Callback, why: String) -> (Reason, OnRefuse, String) {
    (Reason::CallbackUnavailable, callback.on_refuse, why)
}

enum Answer<'b> {
    Allow { written: Option<Written<'b>>, why: Option<String> },
    Refuse(Option<String>),
}

/// A message in an answer.
enum Written<'b> {
    Message(&'b str),
    Text(Cow<'b, str>),
}

/// The same as it stands there: JSON byte for byte, so that no number loses a digit.
#[derive(Deserialize)]
struct Members<'b> {
    #[serde(borrow)]
    message: Option<&'b RawValue>,
    #[serde(borrow)]
    text: Option<Cow<'b, str>>,
}

impl<'b> Answer<'b> {
    fn read(body: &'b [u8]) -> Option<Self> {
        let answer = strict_json::object(body)?;
        let printable = |why: &str| why.chars().filter(|c| !c.is_control()).take(WHY_CHARS_MAX).collect();
        let why = answer.get("reason").and_then(Value::as_str).map(printable);
        match answer.get("allow")? {
            Value::Bool(true) => {
                let members: Members<'b> = serde_json::from_slice(body).ok()?;
                let written = match (members.message, members.text) {
                    (None, None) => None,
                    (Some(json), None) => Some(Written::Message(json.get())),
                    (None, Some(text)) => Some(Written::Text(text)),
                    (Some(_), Some(_)) => return None,
                };
                Some(Self::Allow { written, why })
            }
            Value::Bool(false) => Some(Self::Refuse(why)),
            _ => None,
        }
    }
}

/// What happens to a message after its callbacks were heard. A refusal counts against its sender as any other; one that goes
/// on is noted where it subscribes.
#[must_use]
pub fn answered(
    plan: &Plan,
    memory: &mut Memory,
    cx: &Context<'_>,
    ask: &mut Ask,
    mut findings: Vec<Finding>,
) -> Verdict {
    if let Some(ladder) = plan.ladder.as_ref()
        && findings.last().is_some_and(|finding| finding.reason == Reason::CallbackRefused)
    {
        conduct::offence(ladder, memory, cx, &mut findings);
    }
    let worst = findings.iter().map(|finding| Action::from(finding.outcome)).max().unwrap_or(Action::Pass);
    let rewritten = ask.replacement.take().filter(|_| worst == Action::Rewrite);
    // What should have been replaced and was not goes nowhere.
    let action = if worst == Action::Rewrite && rewritten.is_none() { Action::Drop } else { worst };
    if matches!(action, Action::Pass | Action::Rewrite)
        && let Some(change) = ask.change.take()
    {
        change.make();
    }
    Verdict { action, findings, rewritten, ask: None }
}
