//! `limits`, `domains`, `weights` and `offenders` of a direction.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Checking;
use super::listen::rate;
use crate::limits::ladder;
use crate::policy::checked::{
    Envelope, Factor, JsonMode, LimitKey, Measure, MessageLimit, Offenders, OnRefuse, Rate, RateAlgorithm, TypePattern,
};
use crate::policy::human::{OrOff, Span};
use crate::policy::nearest::nearest;
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::{KeyPath, Step};

/// Most limits of a direction: each is counted for every message.
const LIMITS_MAX: usize = 16;
/// Most types or patterns of a limit, and most domains: a connection remembers 16 bytes for each.
const GROUPS_MAX: usize = 64;
/// Most patterns of a domain, and most weights.
const PATTERNS_MAX: usize = 256;

/// The ladder of waits, unless said otherwise.
const WAITS: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(300),
    Duration::from_secs(1800),
    Duration::from_secs(3600),
];
const FORGIVE_AFTER: Duration = Duration::from_secs(600);
const AFTER: Rate = Rate { count: 10, per: Duration::from_secs(60), burst: 10, algorithm: RateAlgorithm::TokenBucket };

/// What the limits of a direction are read with.
struct Setting<'a> {
    envelope: Option<&'a Envelope>,
    on_refuse: Option<OnRefuse>,
    domains: Vec<Vec<TypePattern>>,
    weights: Vec<(TypePattern, u32)>,
}

impl Checking<'_> {
    pub(super) fn limits(
        &mut self,
        at: &KeyPath,
        raw: &raw::Messages,
        envelope: Option<&Envelope>,
        on_refuse: Option<OnRefuse>,
    ) -> Option<Vec<MessageLimit>> {
        let domains = self.domains(&at.key("domains"), raw.domains.as_ref());
        let weights = self.weights(&at.key("weights"), raw.weights.as_ref());
        let setting = Setting { envelope, on_refuse, domains: domains?, weights: weights? };
        let list = raw.limits.as_deref().unwrap_or_default();
        let list_at = at.key("limits");
        if list.len() > LIMITS_MAX {
            let message = format!("there are {} limits", list.len());
            self.fault(&list_at, message, format!("keep at most {LIMITS_MAX} a direction"));
            return None;
        }
        let limits = self.each(&list_at, list, |checking, at, limit| checking.limit(at, limit, &setting))?;
        for (position, limit) in limits.iter().enumerate() {
            if limits.iter().take(position).any(|earlier| earlier.name == limit.name) {
                let message = format!("two limits are named `{}`", clip(&limit.name));
                self.fault(&list_at.index(position), message, "give each its own `name`");
                return None;
            }
        }
        let looks = raw.json.as_ref().and_then(|json| json.mode) != Some(JsonMode::Off);
        if let Some(position) = limits.iter().position(|limit| limit.is_typed() && !looks) {
            let message = "the limit asks for the type of a message, but `json.mode` is `off`";
            let help = "set `json.mode` of the direction to `required` or `detect`";
            self.fault(&list_at.index(position), message, help);
            return None;
        }
        Some(limits)
    }

    #[expect(clippy::option_option, reason = "the outer says whether it is right, the inner whether it is on")]
    pub(super) fn offenders(&mut self, at: &KeyPath, raw: Option<&OrOff<raw::Offenders>>) -> Option<Option<Offenders>> {
        let Some(OrOff::On(raw)) = raw else { return Some(None) };
        let at = at.key("offenders");
        if at.0.iter().any(|step| *step == Step::Key("outbound".to_owned())) {
            self.fault(&at, "the backend is no offender", "write `offenders` for `inbound`");
            return None;
        }
        let forgive = raw.forgive_after.unwrap_or(Span(FORGIVE_AFTER));
        let forgive_after = self.more_than_zero(&at.key("forgive_after"), forgive);
        let waits_at = at.key("waits");
        let waits: Vec<Duration> = match &raw.waits {
            None => WAITS.to_vec(),
            Some(waits) => waits.iter().map(|wait| wait.0).collect(),
        };
        let fault = if waits.is_empty() || waits.len() > ladder::STEPS_MAX {
            Some((waits_at, format!("there are {} waits", waits.len()), format!("list 1 to {}", ladder::STEPS_MAX)))
        } else {
            let not_longer = waits.iter().zip(std::iter::once(&Duration::ZERO).chain(&waits)).position(|(a, b)| a <= b);
            not_longer.map(|position| {
                let words = "the wait is not longer than the one before".to_owned();
                (waits_at.index(position), words, "each step waits longer: `[5s, 30s, 5m]`".to_owned())
            })
        };
        if let Some((at, message, help)) = fault {
            self.fault(&at, message, help);
            return None;
        }
        let after = raw.after.map_or(AFTER, rate);
        Some(Some(Offenders { after, waits, forgive_after: forgive_after? }))
    }

    fn limit(&mut self, at: &KeyPath, raw: &raw::Limit, setting: &Setting<'_>) -> Option<MessageLimit> {
        let per = raw.per.unwrap_or(LimitKey::Connection);
        let of = raw.of.unwrap_or(Measure::Messages);
        let rate = self.rate_of(at, raw, of);
        let types = self.limited_types(&at.key("types"), raw.types.as_deref(), GROUPS_MAX);
        let role_factors = self.role_factors(at, raw, per);
        let calendar_factors = self.calendar_factors(at, raw);
        let types = types?;
        let priced = !setting.weights.is_empty() || raw.bytes_per_cost.is_some() || raw.fan_out.is_some();
        if of == Measure::Cost && !priced {
            let help = "add `weights` to the direction, or `bytes_per_cost` or `fan_out` to the limit";
            self.fault(&at.key("of"), "nothing says what a message costs", help);
            return None;
        }
        for (key, written) in [("bytes_per_cost", raw.bytes_per_cost.is_some()), ("fan_out", raw.fan_out.is_some())] {
            if written && of != Measure::Cost {
                self.fault(&at.key(key), "the limit does not count cost", "add `of: cost`");
                return None;
            }
        }
        let bytes_per_cost = match raw.bytes_per_cost {
            Some(bytes) => Some(self.within(&at.key("bytes_per_cost"), bytes.0, 1..=1 << 30)?),
            None => None,
        };
        let fan_out = match &raw.fan_out {
            Some(pointer) => Some(self.pointer(&at.key("fan_out"), pointer)?),
            None => None,
        };
        let delays = raw.on_excess == Some(raw::OnExcess::Delay);
        if delays && matches!(per, LimitKey::Type | LimitKey::Domain) {
            let help = "refuse there, or delay by a limit per `connection`, `user` or `ip`";
            self.fault(&at.key("on_excess"), "a sender cannot be delayed for one type alone", help);
            return None;
        }
        let on_excess = match raw.on_excess {
            None => setting.on_refuse?,
            Some(raw::OnExcess::Observe | raw::OnExcess::Delay) => OnRefuse::Observe,
            Some(raw::OnExcess::Drop) => OnRefuse::Drop,
            Some(raw::OnExcess::Reply) => OnRefuse::Reply,
            Some(raw::OnExcess::Close) => OnRefuse::Close,
        };
        let name = raw.name.clone().unwrap_or_else(|| per.label().to_owned());
        let mut limit = MessageLimit::new(name, per, rate?, on_excess);
        limit.delays = delays;
        limit.bytes_per_cost = bytes_per_cost.and_then(|bytes| u32::try_from(bytes).ok());
        limit.fan_out = fan_out;
        limit.of = of;
        limit.groups = match per {
            LimitKey::Type => self.groups_by_type(at, &types, setting)?,
            LimitKey::Domain if setting.domains.is_empty() => {
                let help = "add `domains` to the direction: `domains: {pay: [pay.*]}`";
                self.fault(&at.key("per"), "there are no domains to count by", help);
                return None;
            }
            LimitKey::Domain => setting.domains.clone(),
            _ => Vec::new(),
        };
        limit.weights = if of == Measure::Cost { setting.weights.clone() } else { Vec::new() };
        limit.types = types;
        limit.role_factors = role_factors?;
        limit.calendar_factors = calendar_factors?;
        Some(limit)
    }

    fn rate_of(&mut self, at: &KeyPath, raw: &raw::Limit, of: Measure) -> Option<Rate> {
        let text = self.need(&at.key("rate"), raw.rate, "say how many, as `rate: 100/s`")?;
        if text.sizes && of != Measure::Bytes {
            let help = "write a number, or add `of: bytes`";
            self.fault(&at.key("rate"), "the rate is of bytes, but the limit counts something else", help);
            return None;
        }
        let mut rate = rate(text.rate);
        let windows = rate.algorithm == RateAlgorithm::SlidingWindow;
        if raw.algorithm == Some(RateAlgorithm::TokenBucket) && windows {
            self.fault(&at.key("algorithm"), "the rate says `sliding`", "keep one of the two");
            return None;
        }
        rate.algorithm = raw.algorithm.unwrap_or(rate.algorithm);
        if let Some(burst) = raw.burst {
            let at = at.key("burst");
            if text.rate.burst.is_some() {
                self.fault(&at, "the burst is given twice", "keep `burst`, or the one in `rate`");
                return None;
            }
            rate.burst = u32::try_from(self.within(&at, burst.0, 1..=u64::from(u32::MAX))?).ok()?;
        }
        if rate.algorithm == RateAlgorithm::SlidingWindow && raw.burst.is_some() {
            self.fault(
                &at.key("burst"),
                "a sliding window has no burst",
                "leave `burst` out, or count by `token_bucket`",
            );
            return None;
        }
        Some(rate)
    }

    fn role_factors(&mut self, at: &KeyPath, raw: &raw::Limit, per: LimitKey) -> Option<Vec<(String, Factor)>> {
        let Some(roles) = raw.multipliers.as_ref().and_then(|multipliers| multipliers.roles.as_ref()) else {
            return Some(Vec::new());
        };
        if per.is_of_many() {
            let message = format!("a limit per `{}` counts callers of all roles together", per.label());
            let help = "multiply a limit per `user`, `connection`, `type` or `domain`";
            self.fault(&at.key("multipliers").key("roles"), message, help);
            return None;
        }
        Some(roles.iter().map(|(role, times)| (role.clone(), times.0)).collect())
    }

    fn calendar_factors(&mut self, at: &KeyPath, raw: &raw::Limit) -> Option<Vec<(usize, Factor)>> {
        let Some(named) = raw.multipliers.as_ref().and_then(|multipliers| multipliers.calendars.as_ref()) else {
            return Some(Vec::new());
        };
        let names = self.calendar_names();
        let mut factors = Vec::new();
        for (name, times) in named {
            let Some(position) = names.iter().position(|known| known == name) else {
                let help = match nearest(name, names.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "add it to `calendars`".to_owned(),
                };
                let at = at.key("multipliers").key("calendars").key(name);
                self.fault(&at, format!("there is no calendar `{}`", clip(name)), help);
                return None;
            };
            factors.push((position, times.0));
        }
        Some(factors)
    }

    /// Each type by itself: those the limit names, else those the envelope allows. A client that invents types must
    /// not be given a limit for each.
    fn groups_by_type(
        &mut self,
        at: &KeyPath,
        types: &[TypePattern],
        setting: &Setting<'_>,
    ) -> Option<Vec<Vec<TypePattern>>> {
        let allowed = || setting.envelope.and_then(|envelope| envelope.types.as_ref()).into_iter().flatten();
        let names: Vec<TypePattern> = if types.is_empty() {
            allowed().map(|name| TypePattern::Exact(name.clone())).collect()
        } else {
            types.to_vec()
        };
        if names.is_empty() {
            let help = "list them in `types` of the limit, or in `envelope.types`";
            self.fault(&at.key("per"), "it is not said which types there are", help);
            return None;
        }
        if names.len() > GROUPS_MAX {
            let help = format!("list at most {GROUPS_MAX} in `types` of the limit; `chat.*` is one");
            self.fault(&at.key("per"), format!("{} types are too many to count by themselves", names.len()), help);
            return None;
        }
        Some(names.into_iter().map(|name| vec![name]).collect())
    }

    fn domains(&mut self, at: &KeyPath, raw: Option<&BTreeMap<String, Vec<String>>>) -> Option<Vec<Vec<TypePattern>>> {
        let Some(raw) = raw else { return Some(Vec::new()) };
        if raw.len() > GROUPS_MAX {
            self.fault(at, format!("there are {} domains", raw.len()), format!("keep at most {GROUPS_MAX}"));
            return None;
        }
        let mut domains: Vec<Vec<TypePattern>> = Vec::new();
        for (name, types) in raw {
            let at = at.key(name);
            let patterns = self.limited_types(&at, Some(types), PATTERNS_MAX)?;
            let twice = patterns.iter().position(|pattern| domains.iter().any(|domain| domain.contains(pattern)));
            if let Some(position) = twice {
                let message = "the type is in another domain too";
                self.fault(&at.index(position), message, "a type belongs to one domain");
                return None;
            }
            domains.push(patterns);
        }
        Some(domains)
    }

    fn weights(&mut self, at: &KeyPath, raw: Option<&BTreeMap<String, u32>>) -> Option<Vec<(TypePattern, u32)>> {
        let Some(raw) = raw else { return Some(Vec::new()) };
        let names: Vec<String> = raw.keys().cloned().collect();
        if names.is_empty() || names.len() > PATTERNS_MAX {
            self.fault(at, "the map of weights is empty or too long", format!("write 1 to {PATTERNS_MAX} weights"));
            return None;
        }
        let mut weights = Vec::new();
        for (name, weight) in raw {
            let at = at.key(name);
            let pattern = self.limited_type(&at, name);
            let weight = self.within(&at, *weight, 0..=1_000_000);
            weights.push((pattern?, weight?));
        }
        Some(weights)
    }

    fn limited_types(&mut self, at: &KeyPath, raw: Option<&[String]>, most: usize) -> Option<Vec<TypePattern>> {
        let Some(raw) = raw else { return Some(Vec::new()) };
        if raw.is_empty() || raw.len() > most {
            self.fault(at, "the list of types is empty or too long", format!("list 1 to {most} types"));
            return None;
        }
        let patterns = self.each(at, raw, |checking, at, text| checking.limited_type(at, text))?;
        let twice = (1..patterns.len())
            .find(|&at| patterns.get(at).is_some_and(|it| patterns.iter().take(at).any(|had| had == it)));
        if let Some(position) = twice {
            self.fault(&at.index(position), "the type is listed twice", "remove one of the two");
            return None;
        }
        Some(patterns)
    }

    fn limited_type(&mut self, at: &KeyPath, text: &str) -> Option<TypePattern> {
        let inner = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() || inner.contains('*') {
            let message = format!("`{}` is no type and no pattern of types", clip(text));
            self.fault(at, message, "write a type, as `chat.say`, or the beginning of several, as `chat.*`");
            return None;
        }
        Some(TypePattern::parse(text))
    }
}
