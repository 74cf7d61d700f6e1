//! `calendars`, `lockdown` and `floods`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Checking;
use crate::limits::CALENDARS_MAX;
use crate::policy::calendar::{self, Calendar};
use crate::policy::checked::{Defences, Factor, Floods};
use crate::policy::human::{OrOff, Times};
use crate::policy::nearest::nearest;
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::{Content, KeyPath};

/// Spans over which the usual is learned.
const LEARN_MIN: Duration = Duration::from_secs(60);
const LEARN_MAX: Duration = Duration::from_secs(7 * 86_400);
/// Largest floor, a second.
const FLOOR_MAX: u32 = 100_000_000;
/// Most holidays of a calendar.
const HOLIDAYS_MAX: usize = 1000;

impl Checking<'_> {
    pub(super) fn defences(&mut self, document: &raw::Document) -> Option<Defences> {
        let calendars = self.calendars(&KeyPath::parse("calendars"), document.calendars.as_ref());
        let at = KeyPath::parse("lockdown");
        let times = document.lockdown.as_ref().and_then(|lockdown| lockdown.multiplier);
        let lockdown_factor = self.tightening(&at.key("multiplier"), times);
        let floods = self.floods(&KeyPath::parse("floods"), document.floods.as_ref());
        Some(Defences { calendars: calendars?, lockdown_factor: lockdown_factor?, floods: floods? })
    }

    fn floods(&mut self, at: &KeyPath, raw: Option<&raw::Floods>) -> Option<Floods> {
        let raw = self.need(at, raw, "write the section")?;
        let enabled = self.set(at, "enabled", raw.enabled);
        let learn = self.positive(at, "learn", raw.learn);
        let learn = learn.and_then(|learn| {
            let fits = (LEARN_MIN..=LEARN_MAX).contains(&learn);
            if !fits {
                self.fault(&at.key("learn"), "the span is too short or too long", "write `1m` to `7d`");
            }
            fits.then_some(learn)
        });
        let attempts_floor = self.bounded(at, "attempts_floor", raw.attempts_floor, 1..=FLOOR_MAX);
        let failures_floor = self.bounded(at, "failures_floor", raw.failures_floor, 1..=FLOOR_MAX);
        let messages_floor = self.bounded(at, "messages_floor", raw.messages_floor, 1..=FLOOR_MAX);
        let over = self.three(at, "over", raw.over.as_deref(), |a, b| *a >= 2 && a < b);
        let factors =
            self.three(at, "multipliers", raw.multipliers.as_deref(), |a, b| a.0 <= Factor::ONE && b.0 <= a.0);
        let rise_after = self.positive(at, "rise_after", raw.rise_after);
        let fall_after = self.positive(at, "fall_after", raw.fall_after);
        let lockdown = match raw.lockdown.and_then(OrOff::value) {
            Some(span) => self.more_than_zero(&at.key("lockdown"), span).map(Some),
            None => Some(None),
        };
        Some(Floods {
            enabled: enabled?.0,
            learn: learn?,
            attempts_floor: attempts_floor?,
            failures_floor: failures_floor?,
            messages_floor: messages_floor?,
            over: over?,
            factors: factors?.map(|times| times.0),
            rise_after: rise_after?,
            fall_after: fall_after?,
            lockdown: lockdown?,
        })
    }

    /// Three values, each fit to stand before the next.
    fn three<T: Copy>(
        &mut self,
        at: &KeyPath,
        key: &str,
        values: Option<&[T]>,
        fits: impl Fn(&T, &T) -> bool,
    ) -> Option<[T; 3]> {
        let values = self.set(at, key, values)?;
        match <[T; 3]>::try_from(values) {
            Ok(three @ [a, b, c]) if fits(&a, &b) && fits(&b, &c) => Some(three),
            _ => {
                let message = "there is one value each for elevated, high and critical, each stronger than the last";
                let help = "write three: `over: [3, 6, 12]`, `multipliers: [0.75, 0.5, 0.25]`";
                self.fault(&at.key(key), message, help);
                None
            }
        }
    }

    /// A factor that a preset gives, at most 1.
    fn tightening(&mut self, at: &KeyPath, times: Option<Times>) -> Option<Factor> {
        let factor = self.need(at, times, "write a factor, as `0.5`")?.0;
        if factor > Factor::ONE {
            self.fault(at, format!("`{factor}` would loosen the limits"), "write a factor of at most 1");
            return None;
        }
        Some(factor)
    }

    /// The names of the calendars, in their order.
    pub(super) fn calendar_names(&self) -> Vec<String> {
        let mut names: Vec<String> = match self.tree.child("calendars").map(|node| &node.content) {
            Some(Content::Map(entries)) => entries.iter().map(|entry| entry.key.clone()).collect(),
            _ => Vec::new(),
        };
        names.sort();
        names
    }

    fn calendars(&mut self, at: &KeyPath, raw: Option<&BTreeMap<String, raw::Calendar>>) -> Option<Vec<Calendar>> {
        let Some(raw) = raw else { return Some(Vec::new()) };
        if raw.len() > CALENDARS_MAX {
            self.fault(at, format!("there are {} calendars", raw.len()), format!("keep at most {CALENDARS_MAX}"));
            return None;
        }
        let read: Vec<Option<Calendar>> =
            raw.iter().map(|(name, calendar)| self.calendar(&at.key(name), name, calendar)).collect();
        read.into_iter().collect()
    }

    fn calendar(&mut self, at: &KeyPath, name: &str, raw: &raw::Calendar) -> Option<Calendar> {
        let zone = self.need(&at.key("zone"), raw.zone.as_ref(), "name a time zone, as `Europe/Berlin` or `UTC`");
        let zone = zone.and_then(|zone| {
            let found = calendar::zone(zone);
            if found.is_none() {
                let zones = calendar::zones();
                let help = match nearest(zone, zones.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write an IANA name, as `Europe/Berlin` or `UTC`".to_owned(),
                };
                self.fault(&at.key("zone"), format!("`{}` is no time zone", clip(zone)), help);
            }
            found
        });
        let days = self.days(&at.key("days"), raw.days.as_deref());
        let hours = raw.hours.as_deref().unwrap_or("00:00-24:00");
        let span = calendar::hours(hours);
        if span.is_none() {
            let message = format!("`{}` is no span of hours", clip(hours));
            self.fault(&at.key("hours"), message, "write `09:30-16:00`, two digits each, up to 24:00");
        }
        let holidays = raw.holidays.as_deref().unwrap_or_default();
        if holidays.len() > HOLIDAYS_MAX {
            let help = format!("keep at most {HOLIDAYS_MAX}");
            self.fault(&at.key("holidays"), format!("there are {} holidays", holidays.len()), help);
            return None;
        }
        let holidays = self.each(&at.key("holidays"), holidays, |checking, at, text| {
            let date = calendar::date(text);
            if date.is_none() {
                let message = format!("`{}` is no day of any calendar", clip(text));
                checking.fault(at, message, "write year, month and day: `2026-12-25`");
            }
            date
        });
        let (from, to) = span?;
        let mut holidays = holidays?;
        holidays.sort();
        Some(Calendar { name: name.to_owned(), zone: zone?, days: days?, from, to, holidays })
    }

    fn days(&mut self, at: &KeyPath, raw: Option<&[String]>) -> Option<[bool; 7]> {
        let Some(raw) = raw else { return Some([true; 7]) };
        if raw.is_empty() {
            self.fault(at, "the list of days is empty", "list days, as `[mon-fri]`, or leave it out for all");
            return None;
        }
        let listed = self.each(at, raw, |checking, at, text| {
            let days = calendar::days(text);
            if days.is_none() {
                let message = format!("`{}` is no day of the week and no span of them", clip(text));
                checking.fault(at, message, "write `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun` or `mon-fri`");
            }
            days
        })?;
        let mut days = [false; 7];
        for listed in listed {
            for (day, on) in days.iter_mut().zip(listed) {
                *day |= on;
            }
        }
        Some(days)
    }
}
