//! The configuration as it is written: one struct a section, every key optional, unknown keys refused.
//!
//! The doc comments are the manual: they become the JSON Schema's descriptions and `docs/configuration.md`.
//! Nothing is decided here; defaults stand in `presets/`, meaning in [`super::check`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::checked::Environment;

mod access;
mod defence;
mod geo;
mod identity;
mod listen;
mod message;
mod nodes;
mod renewal;
mod reputation;
mod route;
mod session;
mod subscription;
mod upstream;

pub(crate) use access::*;
pub(crate) use defence::*;
pub(crate) use geo::*;
pub(crate) use identity::*;
pub(crate) use listen::*;
pub(crate) use message::*;
pub(crate) use nodes::*;
pub(crate) use renewal::*;
pub(crate) use reputation::*;
pub(crate) use route::*;
pub(crate) use session::*;
pub(crate) use subscription::*;
pub(crate) use upstream::*;

/// The configuration of Portcullis.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[schemars(title = "Portcullis configuration")]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "sections that every route takes over are read from the routes; the rest only for its form"
)]
pub(crate) struct Document {
    /// The preset to start from: `development`, `staging`, `production` or `high-security`. `--preset` and
    /// `PORTCULLIS_ENV` win over it; without any of them `ENVIRONMENT`, `APP_ENV`, `NODE_ENV`, `RAILS_ENV`,
    /// `RACK_ENV`, `DJANGO_ENV`, `FLASK_ENV`, `ASPNETCORE_ENVIRONMENT` and `GO_ENV` are asked, in this order; else it is
    /// `development`.
    pub(crate) environment: Option<Environment>,
    /// The short form: one backend for every path, as one route named `default`. Excludes `routes`.
    /// `ws://`, `wss://`, `http://` or `https://`, with a path prefix if you like.
    pub(crate) upstream: Option<String>,
    /// The listener that clients reach.
    pub(crate) listen: Option<Listen>,
    /// The listener that operators reach: metrics, health, API and dashboard.
    pub(crate) admin: Option<Admin>,
    /// Where what lasts is kept.
    pub(crate) state: Option<State>,
    /// What several gateways hold in common, in Redis or Valkey. See [several nodes](nodes.md).
    pub(crate) shared_state: Option<SharedState>,
    /// How many connections, from where.
    pub(crate) sources: Option<Sources>,
    /// Which countries and networks (autonomous systems) may come. See [reputation](reputation.md).
    pub(crate) geo: Option<Geo>,
    /// What speaks against an address, its subnet or a user, and what that leads to. See [reputation](reputation.md).
    pub(crate) reputation: Option<Reputation>,
    /// What is unusual for a user, and what happens then. See [reputation](reputation.md).
    pub(crate) anomalies: Option<Anomalies>,
    /// Lists of addresses that somebody warns of, from files or URLs: one address or network a line, FireHOL's netsets,
    /// Spamhaus' DROP as text or JSON. At most 16.
    pub(crate) threat_lists: Option<Vec<ThreatList>>,
    /// Which web pages may open a connection; guards against cross-site WebSocket hijacking.
    pub(crate) origins: Option<Origins>,
    /// Who is calling: keys, claims, and where credentials stand.
    pub(crate) identity: Option<Identity>,
    /// The keys of fields that are sealed; see `seal` and `unseal` of a direction.
    pub(crate) sealing: Option<Sealing>,
    /// What callers may do: roles and permissions.
    pub(crate) access: Option<Access>,
    /// Timeouts and heartbeats of a connection; a route may override each.
    pub(crate) times: Option<Times>,
    /// What the gateway itself says to a client, and hears from it.
    pub(crate) notices: Option<Notices>,
    /// permessage-deflate (RFC 7692); a route may override each key.
    pub(crate) compression: Option<Compression>,
    /// What may be said, on every route that does not say otherwise.
    pub(crate) messages: Option<Directions>,
    /// Business calendars by name, for `multipliers` of limits: `{market: {zone: America/New_York, days: [mon-fri], hours:
    /// 09:30-16:00}}`. At most 16.
    pub(crate) calendars: Option<BTreeMap<String, Calendar>>,
    /// What holds while an operator's `portcullis lockdown`, or a critical flood, shuts anonymous callers out.
    pub(crate) lockdown: Option<Lockdown>,
    /// Flood detection; each level tightens limits by itself. See [limits](limits.md).
    pub(crate) floods: Option<Floods>,
    /// How clients are told of a refusal; a route may override each key.
    pub(crate) errors: Option<ErrorReplies>,
    /// What is recorded, and for how long.
    pub(crate) audit: Option<Audit>,
    /// Which paths lead where, under which rules. A path that no route matches is refused.
    pub(crate) routes: Option<Vec<Route>>,
    /// Partial configurations, laid over this one when their environment is in force: maps are merged key by
    /// key, lists are replaced, `null` takes a key back.
    pub(crate) environment_overrides: Option<BTreeMap<Environment, Overlay>>,
}

/// A partial configuration for one environment.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its form; its content is merged as a tree")]
pub(crate) struct Overlay {
    /// See `upstream`.
    pub(crate) upstream: Option<String>,
    /// See `listen`.
    pub(crate) listen: Option<Listen>,
    /// See `admin`.
    pub(crate) admin: Option<Admin>,
    /// See `state`.
    pub(crate) state: Option<State>,
    /// See `shared_state`.
    pub(crate) shared_state: Option<SharedState>,
    /// See `sources`.
    pub(crate) sources: Option<Sources>,
    /// See `geo`.
    pub(crate) geo: Option<Geo>,
    /// See `reputation`.
    pub(crate) reputation: Option<Reputation>,
    /// See `anomalies`.
    pub(crate) anomalies: Option<Anomalies>,
    /// See `threat_lists`; the list is replaced as a whole.
    pub(crate) threat_lists: Option<Vec<ThreatList>>,
    /// See `origins`.
    pub(crate) origins: Option<Origins>,
    /// See `identity`.
    pub(crate) identity: Option<Identity>,
    /// See `sealing`.
    pub(crate) sealing: Option<Sealing>,
    /// See `access`.
    pub(crate) access: Option<Access>,
    /// See `times`.
    pub(crate) times: Option<Times>,
    /// See `notices`.
    pub(crate) notices: Option<Notices>,
    /// See `compression`.
    pub(crate) compression: Option<Compression>,
    /// See `messages`.
    pub(crate) messages: Option<Directions>,
    /// See `calendars`.
    pub(crate) calendars: Option<BTreeMap<String, Calendar>>,
    /// See `lockdown`.
    pub(crate) lockdown: Option<Lockdown>,
    /// See `floods`.
    pub(crate) floods: Option<Floods>,
    /// See `errors`.
    pub(crate) errors: Option<ErrorReplies>,
    /// See `audit`.
    pub(crate) audit: Option<Audit>,
    /// See `routes`; the list is replaced as a whole.
    pub(crate) routes: Option<Vec<Route>>,
}
