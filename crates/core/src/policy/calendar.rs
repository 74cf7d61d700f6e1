//! Business calendars (SPEC 6.2): when a limit has another factor. Decides whether an instant lies in one.
//!
//! Pure: the zone's rules come from the bundled database, the instant is an argument. Hours are those of a clock on
//! the wall: one that does not exist when clocks go forward is passed over, one that comes twice counts twice.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;

use super::checked::{Checked, Factor};
use crate::limits::Conditions;

/// A minute of the day: 0 to 1440.
pub(crate) type Minute = u16;

/// When. Hours that end before they begin go past midnight and belong to the day on which they begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Its name.
    pub name: String,
    pub(crate) zone: TimeZone,
    /// Monday first.
    pub(crate) days: [bool; 7],
    pub(crate) from: Minute,
    pub(crate) to: Minute,
    /// Sorted; days on which it is never in force.
    pub(crate) holidays: Vec<Date>,
}

impl Calendar {
    /// Whether it is in force at a Unix time.
    #[must_use]
    pub fn in_force(&self, wall: Duration) -> bool {
        let seconds = i64::try_from(wall.as_secs()).unwrap_or(i64::MAX);
        // A clock past the year 9999 is in no calendar.
        let Ok(instant) = Timestamp::from_second(seconds) else { return false };
        let local = self.zone.to_datetime(instant);
        let minute = minute_of(local);
        if self.from < self.to {
            return self.is_open(local.date()) && (self.from..self.to).contains(&minute);
        }
        let began_today = minute >= self.from && self.is_open(local.date());
        let began_yesterday = minute < self.to && local.date().yesterday().is_ok_and(|day| self.is_open(day));
        began_today || began_yesterday
    }

    fn is_open(&self, day: Date) -> bool {
        let weekday = usize::try_from(day.weekday().to_monday_zero_offset()).ok();
        let listed = weekday.and_then(|at| self.days.get(at)).copied().unwrap_or(false);
        listed && self.holidays.binary_search(&day).is_err()
    }
}

fn minute_of(local: DateTime) -> Minute {
    let (hour, minute) = (local.hour().unsigned_abs(), local.minute().unsigned_abs());
    u16::from(hour) * 60 + u16::from(minute)
}

impl Checked {
    /// What multiplies limits at a Unix time, under a pressure.
    #[must_use]
    pub fn conditions(&self, wall: Duration, pressure: Factor) -> Conditions {
        Conditions::new(self.defences.calendars.iter().map(|calendar| calendar.in_force(wall)), pressure)
    }
}

/// The zone of an IANA name.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    jiff::tz::TimeZoneDatabase::bundled().get(name).ok()
}

/// The names of all zones.
pub(crate) fn zones() -> Vec<String> {
    jiff::tz::TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect()
}

/// `mon`, `mon-fri`, `sat-mon`: which days, Monday first.
pub(crate) fn days(text: &str) -> Option<[bool; 7]> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (weekday(first)?, weekday(last)?);
    let mut days = [false; 7];
    let mut day = first;
    loop {
        let at = usize::try_from(day.to_monday_zero_offset()).ok()?;
        *days.get_mut(at)? = true;
        if day == last {
            return Some(days);
        }
        day = day.next();
    }
}

fn weekday(text: &str) -> Option<Weekday> {
    Some(match text.trim().to_ascii_lowercase().as_str() {
        "mon" | "monday" => Weekday::Monday,
        "tue" | "tuesday" => Weekday::Tuesday,
        "wed" | "wednesday" => Weekday::Wednesday,
        "thu" | "thursday" => Weekday::Thursday,
        "fri" | "friday" => Weekday::Friday,
        "sat" | "saturday" => Weekday::Saturday,
        "sun" | "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

/// `09:30-16:00`, `22:00-06:00`, `00:00-24:00`.
pub(crate) fn hours(text: &str) -> Option<(Minute, Minute)> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    (from != to && from < 24 * 60).then_some((from, to))
}

fn minute(text: &str) -> Option<Minute> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (Minute, Minute) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= 24 * 60).then_some(minute)
}

/// `2026-12-25`; a day that no calendar has is none.
pub(crate) fn date(text: &str) -> Option<Date> {
    (text.len() == 10).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn market() -> Calendar {
        Calendar {
            name: "market".into(),
            zone: zone("America/New_York").unwrap(),
            days: days("mon-fri").unwrap(),
            from: 9 * 60 + 30,
            to: 16 * 60,
            holidays: vec![date("2026-12-25").unwrap()],
        }
    }

    fn at(text: &str) -> Duration {
        Duration::from_secs(u64::try_from(text.parse::<Timestamp>().unwrap().as_second()).unwrap())
    }

    #[test]
    fn a_market_opens_by_its_own_clock_in_winter_and_summer() {
        for (instant, open) in [
            // Winter: five hours behind.
            ("2026-03-06T14:29:59Z", false),
            ("2026-03-06T14:30:00Z", true),
            ("2026-03-06T20:59:59Z", true),
            ("2026-03-06T21:00:00Z", false),
            // On Sunday 8 March clocks go forward; from Monday it is four hours.
            ("2026-03-09T13:29:59Z", false),
            ("2026-03-09T13:30:00Z", true),
            ("2026-03-09T20:00:00Z", false),
            // On Sunday 1 November they go back.
            ("2026-10-30T13:30:00Z", true),
            ("2026-11-02T13:30:00Z", false),
            ("2026-11-02T14:30:00Z", true),
            // Saturday; a holiday; the day after.
            ("2026-03-07T15:00:00Z", false),
            ("2026-12-25T15:00:00Z", false),
            ("2026-12-28T15:00:00Z", true),
        ] {
            assert_eq!(market().in_force(at(instant)), open, "{instant}");
        }
    }

    #[test]
    fn hours_within_a_change_of_the_clock_are_those_on_the_wall() {
        let night = Calendar { days: [true; 7], from: 90, to: 150, holidays: Vec::new(), ..market() };
        for (instant, open) in [
            // 8 March: after 01:59 comes 03:00, so half of 01:30 to 02:30 does not exist.
            ("2026-03-08T06:29:00Z", false),
            ("2026-03-08T06:30:00Z", true),
            ("2026-03-08T06:59:00Z", true),
            ("2026-03-08T07:00:00Z", false),
            // 1 November: 01:00 to 02:00 comes twice.
            ("2026-11-01T05:30:00Z", true),
            ("2026-11-01T06:00:00Z", false),
            ("2026-11-01T06:30:00Z", true),
            ("2026-11-01T07:29:00Z", true),
            ("2026-11-01T07:30:00Z", false),
        ] {
            assert_eq!(night.in_force(at(instant)), open, "{instant}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let (from, to) = hours("22:00-06:00").unwrap();
        let holidays = vec![date("2026-06-10").unwrap()];
        let night = Calendar { zone: zone("UTC").unwrap(), from, to, holidays, ..market() };
        for (instant, open) in [
            ("2026-06-08T05:00:00Z", false), // Monday morning; Sunday night is not listed
            ("2026-06-08T22:00:00Z", true),
            ("2026-06-09T05:59:00Z", true),
            ("2026-06-10T05:00:00Z", true),  // began on Tuesday
            ("2026-06-10T23:00:00Z", false), // the holiday
            ("2026-06-11T05:00:00Z", false),
            ("2026-06-13T05:59:00Z", true), // began on Friday
            ("2026-06-13T22:00:00Z", false),
        ] {
            assert_eq!(night.in_force(at(instant)), open, "{instant}");
        }
    }

    #[test]
    fn what_cannot_be_is_nothing() {
        for text in ["2026-02-29", "2026-13-01", "2026-4-1", "26-04-01", "2026-04-31", "christmas"] {
            assert!(date(text).is_none(), "{text}");
        }
        assert!(date("2028-02-29").is_some());
        for text in ["9:30-16:00", "09:30", "24:00-06:00", "10:00-10:00", "09:60-10:00", "00:00-24:01", "-1:00-02:00"] {
            assert!(hours(text).is_none(), "{text}");
        }
        assert_eq!(hours("00:00-24:00"), Some((0, 1440)));
        assert_eq!(days("sat-mon"), Some([true, false, false, false, false, true, true]));
        assert!(days("mon-").is_none() && days("").is_none());
        assert!(zone("Mars/Olympus").is_none());
    }

    proptest! {
        #[test]
        fn any_instant_has_an_answer(seconds in any::<u64>()) {
            let _ = market().in_force(Duration::from_secs(seconds));
        }

        #[test]
        fn a_day_has_as_many_open_minutes_as_the_hours_say(day in 0u64..20_000, from in 0u16..1440, to in 0u16..=1440) {
            prop_assume!(from != to);
            let calendar = Calendar {
                zone: zone("UTC").unwrap(), days: [true; 7], from, to, holidays: Vec::new(), name: String::new(),
            };
            let open = (0..1440).filter(|m| calendar.in_force(Duration::from_secs(day * 86_400 + m * 60))).count();
            let want = if from < to { to - from } else { 1440 - from + to };
            // The night before 1970 is not asked for.
            prop_assert_eq!(open, usize::from(want));
        }
    }
}
