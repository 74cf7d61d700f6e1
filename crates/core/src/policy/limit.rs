//! Message limits after validation: what is counted, of what, by whom, and what multiplies it (SPEC 6.1, 6.2).

pub use super::calendar::Calendar;
use super::checked::{OnRefuse, Rate};
use std::time::Duration;

/// What changes limits for a time.
#[derive(Debug, Clone)]
pub struct Defences {
    /// Business calendars, by name.
    pub calendars: Vec<Calendar>,
    /// Times as much as limits allow otherwise, while a lockdown is in force.
    pub lockdown_factor: Factor,
    /// Flood detection.
    pub floods: Floods,
}

/// A message limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageLimit {
    /// Its name in events and metrics.
    pub name: String,
    /// What is counted together.
    pub per: LimitKey,
    /// What is counted.
    pub of: Measure,
    /// How many.
    pub rate: Rate,
    /// Types that it counts; empty counts every message.
    pub types: Vec<TypePattern>,
    /// For [`LimitKey::Type`] and [`LimitKey::Domain`]: each group is counted by itself, and what is in none of them
    /// together. Empty for every other key.
    pub groups: Vec<Vec<TypePattern>>,
    /// For [`Measure::Cost`]: what a message of a type costs; 1 unless said.
    pub weights: Vec<(TypePattern, u32)>,
    /// Times as much for callers of a role; of several roles the largest factor holds.
    pub role_factors: Vec<(String, Factor)>,
    /// Times as much while a calendar, by its place in the policy, is in force.
    pub calendar_factors: Vec<(usize, Factor)>,
    /// What happens on excess.
    pub on_excess: OnRefuse,
    /// On excess the message passes, and its sender is not read until the limit allows what it owes.
    pub delays: bool,
    /// For [`Measure::Cost`]: each started piece of so many bytes costs 1 more.
    pub bytes_per_cost: Option<u32>,
    /// For [`Measure::Cost`]: a JSON Pointer to the list of those for each of whom the weight counts.
    pub fan_out: Option<String>,
}

impl MessageLimit {
    /// A limit of messages of any type.
    #[must_use]
    pub fn new(name: String, per: LimitKey, rate: Rate, on_excess: OnRefuse) -> Self {
        Self {
            name,
            per,
            of: Measure::Messages,
            rate,
            types: Vec::new(),
            groups: Vec::new(),
            weights: Vec::new(),
            role_factors: Vec::new(),
            calendar_factors: Vec::new(),
            on_excess,
            delays: false,
            bytes_per_cost: None,
            fan_out: None,
        }
    }

    /// Whether it must know a message's type.
    #[must_use]
    pub fn is_typed(&self) -> bool {
        !self.types.is_empty() || self.per.is_typed() || !self.weights.is_empty() || self.fan_out.is_some()
    }
}

/// Flood detection (SPEC 7.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Floods {
    /// Levels are raised.
    pub enabled: bool,
    /// The span over which the usual is learned.
    pub learn: Duration,
    /// Connection attempts a second that are never many.
    pub attempts_floor: u32,
    /// Failed handshakes, or failing sources, a second that are never many.
    pub failures_floor: u32,
    /// Messages a second that are never many.
    pub messages_floor: u32,
    /// Times the usual for elevated, high and critical; rising.
    pub over: [u32; 3],
    /// What each level multiplies limits by; falling.
    pub factors: [Factor; 3],
    /// A level rises when the excess lasts this long.
    pub rise_after: Duration,
    /// A level falls when it is calm for this long.
    pub fall_after: Duration,
    /// Critical orders a lockdown for so long.
    pub lockdown: Option<Duration>,
}

/// The figures of production.
impl Default for Floods {
    fn default() -> Self {
        Self {
            enabled: true,
            learn: Duration::from_secs(600),
            attempts_floor: 50,
            failures_floor: 3,
            messages_floor: 2000,
            over: [3, 6, 12],
            factors: [750, 500, 250].map(Factor::from_permille),
            rise_after: Duration::from_secs(3),
            fall_after: Duration::from_secs(60),
            lockdown: None,
        }
    }
}

/// The ladder of waits for repeat offenders (SPEC 6.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offenders {
    /// Refused messages that earn no wait yet.
    pub after: Rate,
    /// The waits, each longer than the one before.
    pub waits: Vec<Duration>,
    /// This long without a wait walks one step back.
    pub forgive_after: Duration,
}

/// What a limit counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitKey {
    /// One connection.
    Connection,
    /// One subject; an anonymous caller is counted by address.
    User,
    /// One client address.
    Ip,
    /// One API key; a caller without is counted as by `user`.
    ApiKey,
    /// One tenant; a caller of none is counted by address.
    Tenant,
    /// One message type of one connection.
    Type,
    /// One domain, a named group of types, of one connection.
    Domain,
    /// Everyone together.
    Global,
}

impl LimitKey {
    /// The name in the configuration.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::User => "user",
            Self::Ip => "ip",
            Self::ApiKey => "api_key",
            Self::Tenant => "tenant",
            Self::Type => "type",
            Self::Domain => "domain",
            Self::Global => "global",
        }
    }

    /// Whether it divides a connection's messages by type.
    #[must_use]
    pub const fn is_typed(self) -> bool {
        matches!(self, Self::Type | Self::Domain)
    }

    /// Whether other callers count into it.
    #[must_use]
    pub const fn is_of_many(self) -> bool {
        matches!(self, Self::Ip | Self::Tenant | Self::Global)
    }
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Messages.
    Messages,
    /// Their bytes, after inflating.
    Bytes,
    /// What their types cost.
    Cost,
}

/// Which types.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TypePattern {
    /// One.
    Exact(String),
    /// All that begin so.
    Prefix(String),
}

impl TypePattern {
    /// `chat.say` is that type, `chat.*` all that begin with `chat.`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.to_owned()),
            None => Self::Exact(text.to_owned()),
        }
    }
}

/// How many times as much, in thousandths: 1 to [`PERMILLE_MAX`](Self::PERMILLE_MAX).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Factor(u32);

impl Factor {
    /// A thousand times as much.
    pub const PERMILLE_MAX: u32 = 1_000_000;
    /// As much.
    pub const ONE: Self = Self(1000);

    /// So many thousandths, clamped to the bounds.
    #[must_use]
    pub fn from_permille(permille: u32) -> Self {
        Self(permille.clamp(1, Self::PERMILLE_MAX))
    }

    /// In thousandths.
    #[must_use]
    pub fn permille(self) -> u32 {
        self.0
    }

    /// Both together, clamped to the bounds.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let product = u64::from(self.0) * u64::from(other.0) / 1000;
        Self::from_permille(u32::try_from(product).unwrap_or(Self::PERMILLE_MAX))
    }

    /// So many times a number, rounded down.
    pub(crate) fn multiply(self, number: u32) -> u32 {
        u32::try_from(u64::from(number) * u64::from(self.0) / 1000).unwrap_or(u32::MAX)
    }

    /// A number divided by it, rounded up.
    pub(crate) fn divide(self, number: u64) -> u64 {
        u64::try_from((u128::from(number) * 1000).div_ceil(u128::from(self.0))).unwrap_or(u64::MAX)
    }
}

impl std::fmt::Display for Factor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", f64::from(self.0) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_multiply_within_their_bounds() {
        let of = Factor::from_permille;
        assert_eq!(of(2000).and(of(250)), of(500));
        assert_eq!(of(Factor::PERMILLE_MAX).and(of(Factor::PERMILLE_MAX)), of(Factor::PERMILLE_MAX));
        assert_eq!(of(0).and(of(1)).permille(), 1);
        assert_eq!((of(1500).multiply(3), of(3).divide(10)), (4, 3334));
        assert_eq!(of(250).to_string(), "0.25");
    }
}
