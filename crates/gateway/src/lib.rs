//! The shell of Portcullis: it knows sockets and no rules. A byte comes in here, the core decides, and what the
//! core decides is done here.
//!
//! | room | what |
//! |---|---|
//! | `listen` | bind, accept, PROXY header, TLS, HTTP |
//! | `handshake` | a request: admission asked and answered |
//! | `upstream` | backends: which, the dial, the handshake as a client |
//! | `relay` | an admitted connection's life |
//! | `http_pass` | plain HTTP on routes that pass it |
//! | `fetch` | key sets and identity providers |
//! | `feeds` | databases of addresses, threat lists |
//! | `standing` | facts against clients, told to the scores |
//! | `introspect` | opaque tokens asked about |
//! | `authorize` | external authorizers asked |
//! | `callback` | callbacks asked about messages |
//! | `ticket`, `session`, `logout` | our own endpoints for clients and providers |
//! | `endpoint` | one HTTP request of our own |
//! | `nodes` | what is held in common with other gateways |
//! | [`admin`] | metrics, health, API, live page |
//! | `worker`, `registry`, `shared` | threads and what they share |

pub mod admin;
mod api_keys;
mod authorize;
mod blocklist;
mod callback;
mod client_leg;
mod conditions;
mod cross_origin;
mod csrf;
mod doctor;
mod endpoint;
mod feeds;
mod fetch;
mod gateway;
mod handshake;
mod http_pass;
mod introspect;
mod listen;
mod live;
mod logout;
mod memory;
pub mod metrics;
#[cfg(feature = "redis")]
mod nodes;
#[cfg(not(feature = "redis"))]
#[path = "nodes_off.rs"]
mod nodes;
mod policy_view;
mod problem;
mod reads;
mod record;
mod registry;
mod relay;
mod session;
mod sessions;
mod shared;
mod standing;
mod statistics;
mod ticket;
mod tls;
mod upstream;
mod worker;

pub use doctor::{SourceReport, examine};
pub use feeds::{FeedError, FeedGauge};
pub use gateway::{AUDIT_FILE, Gateway, Reloader, Running, StartError};
