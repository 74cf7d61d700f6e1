//! `messages`, and a route's `inbound` and `outbound`: sizes, limits, envelope, threats, leaks.

use std::collections::BTreeMap;

use super::Checking;
use super::listen::rate;
use super::schema::ByType;
use crate::message::leak::LeakClass;
use crate::policy::checked::{Envelope, Json, JsonMode, Leaks, Messages, OnRefuse, TimestampUnit};
use crate::policy::human::OrOff;
use crate::policy::raw::{self, LeakMode};
use crate::policy::tree::KeyPath;

/// Largest message that may be allowed.
pub(super) const MESSAGE_BYTES_MAX: u64 = 256 << 20;
/// Most frames of a message that may be allowed.
const FRAGMENTS_MAX: u32 = 1_000_000;
/// Deepest nesting that may be allowed: the parser keeps a bit of state a level.
const DEPTH_MAX: u32 = 1000;
/// Most keys or values of a message that may be allowed.
const COUNT_MAX: u32 = 10_000_000;
/// Most message ids remembered for a connection.
const REPLAY_IDS_MAX: u32 = 65_536;
/// Most addresses told apart in one message.
const RECORDS_MAX: u32 = 60;
/// Messages that may wait.
const QUEUE_MAX: u32 = 1_000_000;
/// Most types of an allow-list.
const TYPES_MAX: usize = 4096;

impl Checking<'_> {
    /// `said` are the types and schemas that an AsyncAPI document gives this direction.
    pub(super) fn messages(
        &mut self,
        at: &KeyPath,
        raw: Option<&raw::Messages>,
        said: Option<&ByType>,
    ) -> Option<Messages> {
        let raw = self.need(at, raw, "write the section")?;
        let bytes_max = self.bounded(at, "bytes_max", raw.bytes_max.map(|b| b.0), 1..=MESSAGE_BYTES_MAX);
        let fragments_max = self.bounded(at, "fragments_max", raw.fragments_max, 1..=FRAGMENTS_MAX);
        let queue_max = match raw.queue_max.and_then(OrOff::value) {
            Some(number) => self.within(&at.key("queue_max"), number, 1..=QUEUE_MAX).map(Some),
            None => Some(None),
        };
        let text = self.set(at, "text", raw.text);
        let binary = self.set(at, "binary", raw.binary);
        let on_refuse = self.set(at, "on_refuse", raw.on_refuse);
        let json = self.json(&at.key("json"), raw.json.as_ref());
        let envelope = match raw.envelope.as_ref() {
            Some(OrOff::On(envelope)) => self.envelope(&at.key("envelope"), envelope).map(Some),
            _ => Some(None),
        };
        let offenders = self.offenders(at, raw.offenders.as_ref());
        let schemas = self.schemas(at, raw, said);
        let mask = self.mask(at, raw);
        let html = self.html(at, raw);
        let binaries = self.binaries(at, raw);
        let needed = matches!(schemas, Some(Some(_)))
            || raw.seal.is_some()
            || raw.unseal.is_some()
            || raw.subscriptions.is_some()
            || raw.subscribed.as_ref().is_some_and(|types| !types.is_empty())
            || matches!(html, Some(Some(_)))
            || matches!(&binaries, Some(Some(binaries)) if binaries.read_as.is_some())
            || raw.callbacks.iter().flatten().any(|callback| callback.types.is_some())
            || mask.as_ref().is_some_and(|mask| !mask.is_empty());
        let json = json.map(|json| self.json_for(at, json, needed));
        let json_off = json.is_some_and(|json| json.mode == JsonMode::Off);
        let access = self.message_access(at, raw, json_off);
        let csrf = self.csrf(at, raw, json_off);
        let subscriptions = self.subscriptions(at, raw, json_off);
        let subscribed = self.subscribed(at, raw, json_off);
        let seal = self.seal(at, raw, json_off);
        let unseal = self.unseal(at, raw, json_off);
        let limits = self.limits(at, raw, envelope.as_ref().and_then(Option::as_ref), on_refuse);
        let threats = self.threats(&at.key("threats"), raw.threats.as_ref(), html.as_ref().and_then(Option::as_ref));
        let leaks = self.leaks(&at.key("leaks"), raw.leaks.as_ref());
        let callbacks = self.callbacks(at, raw, on_refuse, json_off);
        Some(Messages {
            bytes_max: bytes_max?,
            fragments_max: fragments_max?,
            queue_max: queue_max?,
            text: text?.0,
            binary: binary?.0,
            binaries: binaries?,
            control_rate: raw.control_rate.and_then(OrOff::value).map(rate),
            limits: limits?,
            offenders: offenders?,
            json: json?,
            envelope: envelope?,
            schemas: schemas?,
            access: access?,
            csrf: csrf?,
            subscriptions: subscriptions?,
            subscribed: subscribed?,
            threats: threats?,
            leaks: leaks?,
            html: html?,
            mask: mask?,
            seal: seal?,
            unseal: unseal?,
            callbacks: callbacks?,
            on_refuse: on_refuse?,
        })
    }

    fn json(&mut self, at: &KeyPath, raw: Option<&raw::Json>) -> Option<Json> {
        let raw = self.need(at, raw, "write the section")?;
        let mode = self.set(at, "mode", raw.mode);
        let depth_max = self.bounded(at, "depth_max", raw.depth_max, 1..=DEPTH_MAX);
        let keys_max = self.bounded(at, "keys_max", raw.keys_max, 1..=COUNT_MAX);
        let values_max = self.bounded(at, "values_max", raw.values_max, 1..=COUNT_MAX);
        let string_bytes =
            self.bounded(at, "string_bytes_max", raw.string_bytes_max.map(|b| b.0), 1..=MESSAGE_BYTES_MAX);
        Some(Json {
            mode: mode?,
            depth_max: depth_max?,
            keys_max: keys_max?,
            values_max: values_max?,
            string_bytes_max: u32::try_from(string_bytes?).ok()?,
        })
    }

    fn mask(&mut self, at: &KeyPath, raw: &raw::Messages) -> Option<Vec<String>> {
        let fields = raw.mask.as_deref().unwrap_or_default();
        let mode = at.key("json").key("mode");
        let off = raw.json.as_ref().and_then(|json| json.mode) == Some(JsonMode::Off);
        if !fields.is_empty() && off && self.is_operators(&mode) {
            self.fault(&mode, "masked fields need JSON, which is off", "write `required` or `detect`, or leave it out");
        }
        self.each(&at.key("mask"), fields, |checking, at, text| checking.pointer(at, text))
    }

    /// Schemas and masked fields need JSON: where the operator has not turned it off, it is looked at.
    fn json_for(&self, at: &KeyPath, json: Json, needed: bool) -> Json {
        let own = self.is_operators(&at.key("json").key("mode"));
        let mode = if needed && !own && json.mode == JsonMode::Off { JsonMode::Detect } else { json.mode };
        Json { mode, ..json }
    }

    fn envelope(&mut self, at: &KeyPath, raw: &raw::Envelope) -> Option<Envelope> {
        let mut pointer = |key: &str, written: &Option<String>, default: &str| match written {
            Some(written) => self.pointer(&at.key(key), written),
            None => Some(default.to_owned()),
        };
        let type_at = pointer("type", &raw.type_at, "/type");
        let id_at = pointer("id", &raw.id_at, "/id");
        let timestamp_at = pointer("timestamp", &raw.timestamp_at, "/timestamp");
        let required = raw.required.as_deref().unwrap_or_default();
        let required = self.each(&at.key("required"), required, |checking, at, text| checking.pointer(at, text));
        if raw.types.as_ref().is_some_and(|types| types.is_empty() || types.len() > TYPES_MAX) {
            let help = format!("list 1 to {TYPES_MAX} types, or leave it out to allow any");
            self.fault(&at.key("types"), "the list of types is empty or too long", help);
        }
        let replay = self.within(&at.key("replay_ids_max"), raw.replay_ids_max.unwrap_or(0), 0..=REPLAY_IDS_MAX);
        Some(Envelope {
            type_at: type_at?,
            id_at: id_at?,
            timestamp_at: timestamp_at?,
            required: required?,
            types: raw.types.clone(),
            timestamp_tolerance: raw.timestamp_tolerance.and_then(OrOff::value).map(|span| span.0),
            timestamp_unit: raw.timestamp_unit.unwrap_or(TimestampUnit::Seconds),
            replay_ids_max: replay?,
            replay_per: raw.replay_per.unwrap_or_default(),
        })
    }

    #[expect(clippy::option_option, reason = "the outer says whether it is right, the inner whether it is on")]
    fn leaks(&mut self, at: &KeyPath, raw: Option<&raw::Leaks>) -> Option<Option<Leaks>> {
        let raw = self.need(at, raw, "write the section")?;
        let mode = self.set(at, "mode", raw.mode)?;
        let records_max = self.bounded(at, "records_max", raw.records_max, 1..=RECORDS_MAX)?;
        let named = raw.classes.clone().unwrap_or_default();
        let classes: BTreeMap<LeakClass, OnRefuse> = LeakClass::ALL
            .iter()
            .filter_map(|class| Some((*class, leak_outcome(named.get(class).copied().unwrap_or(mode))?)))
            .collect();
        let leaks = Leaks { classes, records_max: usize::try_from(records_max).ok()? };
        Some((!leaks.classes.is_empty()).then_some(leaks))
    }
}

const fn leak_outcome(mode: LeakMode) -> Option<OnRefuse> {
    match mode {
        LeakMode::Off => None,
        LeakMode::Observe => Some(OnRefuse::Observe),
        LeakMode::Mask => Some(OnRefuse::Mask),
        // Whoever sent it would only be told what it said itself.
        LeakMode::Block | LeakMode::Drop => Some(OnRefuse::Drop),
        LeakMode::Reply => Some(OnRefuse::Reply),
        LeakMode::Close => Some(OnRefuse::Close),
    }
}
