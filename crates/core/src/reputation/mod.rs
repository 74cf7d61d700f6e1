//! Whom an operator keeps out (SPEC 3.11, 7.1): networks, users, sessions, tokens and tenants, each until its time.
//!
//! Decides whether a source or a principal is on the list, where an address is and who warns of it ([`Provenance`]).
//! Never puts anybody there: operators do, by command or by the admin API; the bans that failed authentications bring are the gate's own
//! ([`Gate::ban`](crate::admission::Gate::ban)).

mod anomalies;
mod anomaly;
mod block;
mod blocklist;
mod country;
mod country_floods;
pub mod exchange;
mod fact;
mod flood;
mod geo;
mod levels;
mod lockdown;
mod provenance;
mod ranges;
mod score;
mod scores;
mod threat_list;
mod watch;

pub use anomalies::{Anomalies, KeptProfile, PROFILES_KEPT_MAX, Unusual};
pub use block::{Block, REASON_BYTES_MAX, Target, TargetError, VALUE_BYTES_MAX};
pub use blocklist::{BLOCKS_MAX, Blocklist};
pub use country::{Country, CountryCounts};
pub use country_floods::{CountryFloods, Raised};
pub use fact::{FACTS, Fact};
pub use flood::{Change, Flood, Level};
pub use geo::{Atlas, AtlasError, Chart, Location};
pub use levels::{Levels, Others, Rates};
pub use lockdown::{LOCKDOWN_MAX, Lockdown};
pub use provenance::Provenance;
pub use ranges::{NETWORKS_MAX, Ranges};
pub use score::Score;
pub use scores::{KEPT_MAX, Kept, NAMED_MAX, Risen, Scored, Scores, Standing};
pub use threat_list::{BROKEN_SHARE, LISTS_MAX, ListError, ThreatList, ThreatLists};
pub use watch::{Observed, Watch};
