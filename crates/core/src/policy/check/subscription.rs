//! `subscriptions` of what clients say and `subscribed` of what they hear.

use std::collections::BTreeMap;

use super::Checking;
use crate::policy::checked::{Messages, Subscriptions, TopicAt};
use crate::policy::raw;
use crate::policy::tree::KeyPath;

const MAX: std::ops::RangeInclusive<u32> = 1..=1000;
const MAX_DEFAULT: u32 = 100;
const TYPES_MAX: usize = 512;

impl Checking<'_> {
    #[expect(clippy::option_option, reason = "the outer says whether it is right, the inner whether it is on")]
    pub(super) fn subscriptions(
        &mut self,
        at: &KeyPath,
        raw: &raw::Messages,
        json_off: bool,
    ) -> Option<Option<Subscriptions>> {
        let Some(written) = &raw.subscriptions else { return Some(None) };
        let at = at.key("subscriptions");
        let help = "name the types, as `begin: { subscribe: /topic }`";
        let begin = self.need(&at.key("begin"), written.begin.as_ref(), help);
        let begin = begin.and_then(|begin| self.topics(&at.key("begin"), begin, json_off));
        let end = written.end.as_ref().map(|end| self.topics(&at.key("end"), end, json_off));
        let max = self.bounded(&at, "max", Some(written.max.unwrap_or(MAX_DEFAULT)), MAX);
        Some(Some(Subscriptions { begin: begin?, end: end.unwrap_or(Some(Vec::new()))?, max: max? }))
    }

    pub(super) fn subscribed(&mut self, at: &KeyPath, raw: &raw::Messages, json_off: bool) -> Option<Vec<TopicAt>> {
        match &raw.subscribed {
            Some(written) => self.topics(&at.key("subscribed"), written, json_off),
            None => Some(Vec::new()),
        }
    }

    fn topics(&mut self, at: &KeyPath, written: &BTreeMap<String, String>, json_off: bool) -> Option<Vec<TopicAt>> {
        if written.len() > TYPES_MAX {
            self.fault(at, format!("there are {} types", written.len()), format!("keep at most {TYPES_MAX}"));
            return None;
        }
        if json_off {
            let help = "set `json.mode` of the direction to `required` or `detect`";
            self.fault(at, "nobody can read a topic while JSON is off", help);
            return None;
        }
        let mut topics = Vec::new();
        let mut right = true;
        for (pattern, pointer) in written {
            let at = at.key(pattern);
            let pattern = self.type_pattern(&at, pattern);
            match pattern.zip(self.pointer(&at, pointer)) {
                Some((pattern, pointer)) => topics.push(TopicAt { pattern, pointer }),
                None => right = false,
            }
        }
        right.then_some(topics)
    }

    /// Each key belongs to one direction, and nobody hears what nobody can subscribe to.
    pub(super) fn both_ways(&mut self, at: &KeyPath, inbound: &Messages, outbound: &Messages) {
        if outbound.subscriptions.is_some() {
            let help = "write them under `inbound`; `outbound` has `subscribed`";
            self.fault(&at.key("outbound").key("subscriptions"), "clients subscribe, not backends", help);
        }
        if !inbound.subscribed.is_empty() {
            let help = "write it under `outbound`; `inbound` has `subscriptions`";
            self.fault(&at.key("inbound").key("subscribed"), "it is about what clients hear", help);
        }
        if inbound.subscriptions.is_none() && !outbound.subscribed.is_empty() {
            let help = "add `inbound: { subscriptions: { begin: { subscribe: /topic } } }`";
            self.fault(&at.key("outbound").key("subscribed"), "nobody can subscribe, so nobody would hear it", help);
        }
    }
}
