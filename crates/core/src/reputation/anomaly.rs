//! What is usual for one user, and how far the present is from it (SPEC 7.5).
//!
//! A pure step: profile + what was seen → profile, and signs with their weights. Judges nobody before it has seen
//! enough; explains each sign in words. Learns from what it judges, so that what is new today is usual later, but what
//! is far above the usual teaches no more than three times of it. 160 bytes a user at most, whatever happens.

use super::country::Country;

/// Countries and agents remembered of a user.
const KNOWN_MAX: usize = 4;
/// An hour of the day is unusual when less than one part in so many of what was seen is near it.
const RARE: f32 = 50.0;
/// What is far above the usual teaches as if it were so many times the usual.
const TAUGHT_MAX: f32 = 3.0;
/// The weight of the newest of many samples.
const PACE: f32 = 0.05;

/// Weights of signs.
const NEW_COUNTRY: u32 = 3;
const NEW_AGENT: u32 = 1;
const RARE_HOUR: u32 = 1;
const RATE: u32 = 3;
const SIZE: u32 = 2;
const NEW_TYPE: u32 = 2;
/// Who sends so many types of messages is not judged by a new one: its bits would meet.
const TYPES_MAX: u32 = 32;

/// A connection as a user makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrived {
    /// The hour of the day, UTC, 0..24.
    pub(super) hour: u8,
    /// Where from, where that is known.
    pub(super) country: Option<Country>,
    /// With what: a hash of the client's name of itself.
    pub(super) agent: Option<u64>,
}

/// When somebody is judged, and from when on a rate is unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// Connections, and samples of messages, that are only learned from.
    pub(super) learn: u32,
    /// So many times the usual is unusual.
    pub(super) over: u32,
}

/// What is unusual: each sign's weight and words.
pub(super) type Signs = Vec<(u32, String)>;

/// See the module. The default is a user that nothing is known of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Profile {
    connections: u32,
    samples: u32,
    hours: [u8; 24],
    countries: [Option<Country>; KNOWN_MAX],
    agents: [Option<u64>; KNOWN_MAX],
    rate: f32,
    size: f32,
    /// A bit for each type of message that it sent.
    types: u64,
    pub(super) seen_ms: u64,
}

/// A profile as it is kept over a restart.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct KeptProfile {
    /// Whose: a hash of the subject, in two halves.
    pub user: [u64; 2],
    /// So long it was not seen, milliseconds.
    pub idle_ms: u64,
    connections: u32,
    samples: u32,
    hours: Vec<u8>,
    countries: Vec<String>,
    agents: Vec<u64>,
    rate: f32,
    size: f32,
    types: u64,
}

impl Profile {
    pub(super) fn kept(&self) -> KeptProfile {
        KeptProfile {
            connections: self.connections,
            samples: self.samples,
            hours: self.hours.to_vec(),
            countries: self.countries.iter().flatten().map(Country::to_string).collect(),
            agents: self.agents.iter().flatten().copied().collect(),
            rate: self.rate,
            size: self.size,
            types: self.types,
            ..KeptProfile::default()
        }
    }

    /// What is no number is none.
    pub(super) fn from_kept(kept: &KeptProfile, seen_ms: u64) -> Self {
        let sane = |usual: f32| if usual.is_finite() && usual > 0.0 { usual } else { 0.0 };
        let mut profile = Self {
            connections: kept.connections,
            samples: kept.samples,
            rate: sane(kept.rate),
            size: sane(kept.size),
            types: kept.types,
            seen_ms,
            ..Self::default()
        };
        profile.hours.iter_mut().zip(&kept.hours).for_each(|(hour, kept)| *hour = *kept);
        let countries = kept.countries.iter().map(|code| Country::from_letters(code));
        profile.countries.iter_mut().zip(countries).for_each(|(country, kept)| *country = kept);
        profile.agents.iter_mut().zip(&kept.agents).for_each(|(agent, kept)| *agent = Some(*kept));
        profile
    }

    /// A connection: what of it is unusual.
    pub(super) fn arrived(&mut self, arrived: Arrived, rules: Rules) -> Signs {
        let mut signs = Signs::new();
        let judged = self.connections >= rules.learn;
        self.connections = self.connections.saturating_add(1);
        if let Some(country) = arrived.country
            && learn(&mut self.countries, country)
            && judged
        {
            signs.push((NEW_COUNTRY, format!("new country {country}")));
        }
        if let Some(agent) = arrived.agent
            && learn(&mut self.agents, agent)
            && judged
        {
            signs.push((NEW_AGENT, "new agent".to_owned()));
        }
        if self.hour(arrived.hour) && judged {
            signs.push((RARE_HOUR, format!("unusual hour {:02}:00 UTC", arrived.hour % 24)));
        }
        signs
    }

    /// Messages of one connection in one span: what of them is unusual.
    #[expect(clippy::cast_precision_loss, reason = "rates are estimates")]
    pub(super) fn sent(&mut self, messages: u32, bytes: u64, types: u64, rules: Rules) -> Signs {
        let mut signs = Signs::new();
        if messages == 0 {
            return signs;
        }
        let new_types = types & !self.types;
        if new_types != 0 && self.samples >= rules.learn && self.types.count_ones() < TYPES_MAX {
            let count = new_types.count_ones();
            let words =
                if count == 1 { "a new type of message".to_owned() } else { format!("{count} new types of messages") };
            signs.push((NEW_TYPE, words));
        }
        self.types |= types;
        let seen = [messages as f32, (bytes / u64::from(messages)) as f32];
        let judged = self.samples >= rules.learn;
        self.samples = self.samples.saturating_add(1);
        let names = [(RATE, "rate"), (SIZE, "size of messages")];
        for ((usual, seen), (weight, name)) in [&mut self.rate, &mut self.size].into_iter().zip(seen).zip(names) {
            let times = seen / usual.max(1.0);
            if judged && times >= rules.over as f32 {
                signs.push((weight, format!("{times:.0} times this user's usual {name}")));
            }
            // The mean of what was seen so far, until there is enough of it.
            let pace = (1.0 / self.samples as f32).max(PACE);
            let taught = if self.samples == 1 { seen } else { seen.min(usual.max(1.0) * TAUGHT_MAX) };
            *usual += (taught - *usual) * pace;
        }
        signs
    }

    /// Learns an hour; true where it is far from all that are usual.
    fn hour(&mut self, hour: u8) -> bool {
        let hour = usize::from(hour % 24);
        let seen: u32 = self.hours.iter().map(|count| u32::from(*count)).sum();
        let near = [hour, (hour + 1) % 24, (hour + 23) % 24];
        let near: u32 = near.iter().filter_map(|hour| self.hours.get(*hour)).map(|count| u32::from(*count)).sum();
        if self.hours.get(hour) == Some(&u8::MAX) {
            for count in &mut self.hours {
                *count /= 2;
            }
        }
        if let Some(count) = self.hours.get_mut(hour) {
            *count += 1;
        }
        #[expect(clippy::cast_precision_loss, reason = "below 2^13")]
        let rare = (near as f32) * RARE < seen as f32;
        rare
    }
}

/// Remembers a value, the earliest leaves; true where it was not known.
fn learn<T: Copy + PartialEq>(known: &mut [Option<T>; KNOWN_MAX], value: T) -> bool {
    if known.contains(&Some(value)) {
        return false;
    }
    known.rotate_right(1);
    if let Some(first) = known.first_mut() {
        *first = Some(value);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { learn: 20, over: 10 };

    fn country(code: &str) -> Option<Country> {
        Country::in_use(code)
    }

    fn known() -> Profile {
        let mut profile = Profile::default();
        for n in 0..200_u32 {
            let arrived = Arrived { hour: 8 + (n % 9) as u8, country: country("DE"), agent: Some(7) };
            assert!(profile.arrived(arrived, RULES).is_empty(), "{n}");
            assert!(profile.sent(4 + n % 5, 600, 0b11, RULES).is_empty(), "{n}");
        }
        profile
    }

    fn words(signs: &Signs) -> Vec<&str> {
        signs.iter().map(|(_, words)| words.as_str()).collect()
    }

    #[test]
    fn what_a_user_always_does_is_usual_and_what_differs_is_named() {
        let mut profile = known();
        let signs = profile.arrived(Arrived { hour: 3, country: country("KP"), agent: Some(9) }, RULES);
        assert_eq!(words(&signs), ["new country KP", "new agent", "unusual hour 03:00 UTC"]);
        assert_eq!(words(&profile.sent(66, 6_600, 0b1, RULES)), ["11 times this user's usual rate"]);
        assert_eq!(words(&profile.sent(6, 600_000, 0, RULES)).len(), 1, "and the size of messages");
        let again = profile.arrived(Arrived { hour: 9, country: country("KP"), agent: Some(9) }, RULES);
        assert!(again.is_empty(), "what is known is not new");
    }

    #[test]
    fn a_type_that_a_user_never_sent_is_a_sign_once_unless_it_sends_everything() {
        let mut profile = known();
        assert_eq!(words(&profile.sent(5, 600, 0b101, RULES)), ["a new type of message"]);
        assert!(profile.sent(5, 600, 0b101, RULES).is_empty(), "what is known is not new");
        assert_eq!(words(&profile.sent(5, 600, 0b11000, RULES)), ["2 new types of messages"]);
        profile.sent(5, 600, u64::MAX >> 20, RULES);
        assert!(profile.sent(5, 600, u64::MAX, RULES).is_empty());
    }

    #[test]
    fn what_was_kept_is_known_again_and_what_was_kept_badly_is_nothing() {
        let mut profile = Profile::from_kept(&known().kept(), 7);
        assert_eq!(profile.seen_ms, 7);
        let signs = profile.arrived(Arrived { hour: 3, country: country("KP"), agent: Some(9) }, RULES);
        assert_eq!(words(&signs), ["new country KP", "new agent", "unusual hour 03:00 UTC"]);
        assert_eq!(words(&profile.sent(66, 6_600, 0, RULES)), ["11 times this user's usual rate"]);
        let broken = KeptProfile { rate: f32::NAN, size: -1.0, countries: vec!["?".into(); 99], ..known().kept() };
        let profile = Profile::from_kept(&broken, 0);
        assert!(profile.rate == 0.0 && profile.size == 0.0 && profile.countries == [None; KNOWN_MAX]);
    }

    #[test]
    fn nobody_is_judged_before_enough_was_seen() {
        let mut profile = Profile::default();
        for n in 0..RULES.learn {
            let arrived = Arrived { hour: (n * 7 % 24) as u8, country: country("DE"), agent: Some(u64::from(n)) };
            assert!(profile.arrived(arrived, RULES).is_empty());
            assert!(profile.sent(if n == 5 { 10_000 } else { 1 }, 10, 1 << n, RULES).is_empty());
        }
    }

    #[test]
    fn one_flood_teaches_little() {
        let mut profile = known();
        for _ in 0..3 {
            assert!(!profile.sent(600, 600, 0, RULES).is_empty(), "it is seen again");
        }
    }

    #[test]
    fn the_ends_of_every_number_are_survived() {
        let mut profile = known();
        for (messages, bytes) in [(u32::MAX, u64::MAX), (1, 0), (u32::MAX, 0), (0, u64::MAX), (1, u64::MAX)] {
            let _ = profile.sent(messages, bytes, u64::MAX, RULES);
        }
        for _ in 0..100_000 {
            let _ = profile.arrived(Arrived { hour: 255, country: None, agent: None }, RULES);
        }
        assert!(profile.rate.is_finite() && profile.size.is_finite());
        assert!(std::mem::size_of::<Profile>() <= 160, "{}", std::mem::size_of::<Profile>());
    }
}
