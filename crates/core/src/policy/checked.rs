//! The policy after validation: plain values, every bound set, nothing optional that a default decides.
//!
//! `raw` produces this; the rooms compile their checks from it. No strings here stand for numbers,
//! times, networks or enums.

pub use crate::notice::Notices;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

mod admin;
mod binary;
mod callback;
mod certificate;
mod csrf;
mod geo;
mod html;
mod identity;
mod listen;
mod message;
mod nodes;
mod origin;
mod provider;
mod renewal;
mod reputation;
mod route;
mod schema;
mod seal;
mod secret;
mod session;
mod source;
mod statistics;
mod subscription;
mod threat;
mod upstream;
mod user_group;

pub use super::limit::{Calendar, Defences, Factor, Floods, LimitKey, Measure, MessageLimit, Offenders, TypePattern};
pub use admin::{ADMIN_PERMISSIONS, AdminToken};
pub use binary::Binaries;
pub use callback::Callback;
pub use certificate::{CertificateName, ClientCertificates};
pub use csrf::{Csrf, CsrfTokens};
pub use geo::{Geo, ListLocation, ThreatListSpec};
pub use html::Html;
pub use identity::{Algorithm, ClaimPointers, CredentialPlace, Identity, JwksLocation, JwksSource, StaticKey, Tickets};
pub use listen::{ClientAddressFrom, Listen, TlsFiles};
pub use message::{Envelope, Json, JsonMode, Leaks, Messages, OnRefuse, ReplayPer, TimestampUnit};
pub use nodes::{Sentinel, SharedState};
pub use origin::{OriginRule, Origins};
pub use provider::{Authorizer, BackchannelLogout, Introspection, LogoutEnds, OnFailure, Provider};
pub use renewal::TokenRenewal;
pub use reputation::{Anomalies, AnomalyAction, AttemptDelay, Reputation};
pub use route::{Authenticate, BoundClaim, Compression, ErrorReplies, PlainHttp, RefuseWith, Route, Times};
pub use schema::{Schemas, WithoutSchema};
pub use seal::{Seal, Unseal};
pub use secret::Secret;
pub use session::{SameSite, SessionBinding, SessionCookie, Sessions, WhenFull};
pub use source::{Rate, RateAlgorithm, Sources};
pub use statistics::{Figure, Group, Of, SHAPE_VALUES_MAX, Shape};
pub use subscription::{Subscriptions, TopicAt};
pub use threat::{ThreatClass, ThreatOutcomes, Threats};
pub use upstream::{
    Balance, ForwardedHeaders, HashOn, HealthCheck, HealthQuestion, Upstream, UpstreamTrust, written_pin,
};

/// The preset a policy starts from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// Loopback, helpful errors, anonymous callers welcome.
    Development,
    /// Between the two.
    Staging,
    /// Credentials, generic errors, threats blocked.
    Production,
    /// Production, with the figures of a deployment that holds money.
    HighSecurity,
}

/// A validated policy.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The preset it started from.
    pub environment: Environment,
    /// The client-facing listener.
    pub listen: Listen,
    /// The operator-facing listener.
    pub admin: Admin,
    /// Where what lasts is kept.
    pub state_dir: PathBuf,
    /// Where this gateway meets others; `None` where it is alone.
    pub shared_state: Option<SharedState>,
    /// How many, from where.
    pub sources: Sources,
    /// Which countries and networks may come.
    pub geo: Geo,
    /// What speaks against a source.
    pub reputation: Reputation,
    /// What is unusual for a user.
    pub anomalies: Anomalies,
    /// Lists of addresses that somebody warns of.
    pub threat_lists: Vec<ThreatListSpec>,
    /// Which web origins may open a WebSocket.
    pub origins: Origins,
    /// Keys and claims.
    pub identity: Identity,
    /// Roles and what they may.
    pub access: std::sync::Arc<crate::access::Roles>,
    /// What is recorded and for how long.
    pub audit: Audit,
    /// What changes limits for a time.
    pub defences: Defences,
    /// Path templates, most specific first is decided at compilation.
    pub routes: Vec<Route>,
}

/// The operator-facing listener.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Bound address; port 0 picks one.
    pub address: SocketAddr,
    /// Bearer token; `None` is allowed on loopback in development only.
    pub token: Option<Secret>,
    /// Further ones, each for a part of what the listener does.
    pub tokens: Vec<AdminToken>,
}

/// What is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Whether events are stored at all.
    pub enabled: bool,
    /// Events older than this are swept.
    pub retention: Duration,
    /// Events waiting for the writer; past it low-severity ones are counted and lost.
    pub queue_max: usize,
    /// Accepted connections and allowed actions are recorded too, not refusals alone.
    pub record_allowed: bool,
}
