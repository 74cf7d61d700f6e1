//! What is usual for one user, and how far the present is from it (SPEC 7.5).
//!
//! A pure step: profile + what was seen → profile, and signs with their weights. Judges nobody before it has seen
//! enough; explains each sign in words. Learns from what it judges, so that what is new today is usual later, but what
//! is far above the usual teaches no more than three times of it. 152 bytes a user at most, whatever happens.

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
    pub(super) seen_ms: u64,
}

impl Profile {
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
    pub(super) fn sent(&mut self, messages: u32, bytes: u64, rules: Rules) -> Signs {
        let mut signs = Signs::new();
        if messages == 0 {
            return signs;
        }
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
            assert!(profile.sent(4 + n % 5, 600, RULES).is_empty(), "{n}");
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
        assert_eq!(words(&profile.sent(66, 6_600, RULES)), ["11 times this user's usual rate"]);
        assert_eq!(words(&profile.sent(6, 600_000, RULES)).len(), 1, "and the size of messages");
        let again = profile.arrived(Arrived { hour: 9, country: country("KP"), agent: Some(9) }, RULES);
        assert!(again.is_empty(), "what is known is not new");
    }

    #[test]
    fn nobody_is_judged_before_enough_was_seen() {
        let mut profile = Profile::default();
        for n in 0..RULES.learn {
            let arrived = Arrived { hour: (n * 7 % 24) as u8, country: country("DE"), agent: Some(u64::from(n)) };
            assert!(profile.arrived(arrived, RULES).is_empty());
            assert!(profile.sent(if n == 5 { 10_000 } else { 1 }, 10, RULES).is_empty());
        }
    }

    #[test]
    fn one_flood_teaches_little() {
        let mut profile = known();
        for _ in 0..3 {
            assert!(!profile.sent(600, 600, RULES).is_empty(), "it is seen again");
        }
    }

    #[test]
    fn the_ends_of_every_number_are_survived() {
        let mut profile = known();
        for (messages, bytes) in [(u32::MAX, u64::MAX), (1, 0), (u32::MAX, 0), (0, u64::MAX), (1, u64::MAX)] {
            let _ = profile.sent(messages, bytes, RULES);
        }
        for _ in 0..100_000 {
            let _ = profile.arrived(Arrived { hour: 255, country: None, agent: None }, RULES);
        }
        assert!(profile.rate.is_finite() && profile.size.is_finite());
        assert!(std::mem::size_of::<Profile>() <= 152, "{}", std::mem::size_of::<Profile>());
    }
}
