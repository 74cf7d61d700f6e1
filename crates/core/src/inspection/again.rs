//! A message that somebody else wrote in a message's place: what it says is judged as if it had come so.
//!
//! Run again are the checks of what a message says: form, tenant, envelope, permission and topic by its fields, schema,
//! HTML, threats, leaks, checks of one's own; masks and seals are put on it too. Not run again are those of how the first one
//! came and who sent it: conduct, rates, replay, guests, second factor and CSRF, which go by the type, and that is the same.
//! Nothing of it counts against who sent the first one.

use super::subscription::{Change, Topics};
use super::{Action, Check, Context, Course, Finding, Kind, Memory, Message, Plan, Reading, Workspace, course};

/// A message that may go on.
pub(super) struct Judged {
    /// It, with what masks, sanitizing and seals made of it.
    pub text: Vec<u8>,
    /// What was found and lets it on.
    pub findings: Vec<Finding>,
    /// What it does to the topics.
    pub change: Option<Change>,
}

/// Judges a text that was just read as `is_json` says. `Err`: what is against it.
pub(super) fn judged(
    plan: &Plan,
    cx: &Context<'_>,
    topics: Option<Topics>,
    work: &mut Workspace,
    text: &[u8],
    is_json: bool,
) -> Result<Judged, Box<Finding>> {
    work.reading = if is_json { Reading::Json } else { Reading::Text };
    // Sealed fields are judged open, as those that came were, and sealed anew.
    let opened = plan.list.iter().find_map(|check| match check {
        Check::Seal(seal) => seal.opened(cx, work, text),
        _ => None,
    });
    let text = opened.as_deref().unwrap_or(text);
    work.reading = Reading::Text;
    let mut memory = Memory::knowing(topics);
    let message = Message { kind: Kind::Text, bytes: text };
    let mut checks = plan.list.iter().filter(|check| judges_what_is_said(check));
    let Course { mut findings, rewritten, change, .. } = course(plan, &mut checks, &mut memory, cx, work, &message);
    let against = findings.iter().position(|finding| Action::from(finding.outcome) > Action::Rewrite);
    match against {
        Some(at) => Err(Box::new(findings.swap_remove(at))),
        None => Ok(Judged { text: rewritten.unwrap_or_else(|| text.to_vec()), findings, change }),
    }
}

fn judges_what_is_said(check: &Check) -> bool {
    match check {
        Check::Json(_)
        | Check::Tenant(_)
        | Check::Envelope(_)
        | Check::Permission(_)
        | Check::Schema(_)
        | Check::Html(_)
        | Check::Threat(_)
        | Check::Custom(_)
        | Check::Mask(_)
        | Check::Leak(_)
        | Check::Seal(_)
        | Check::Subscription(_) => true,
        Check::Conduct(_)
        | Check::Kind(_)
        | Check::Rate(_)
        | Check::Binary(_)
        | Check::Guest(_)
        | Check::Mfa(_)
        | Check::Csrf(_)
        | Check::Replay(_)
        | Check::Callback(_) => false,
    }
}
