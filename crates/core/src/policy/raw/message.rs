//! `messages`, and `inbound` and `outbound` of a route.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::message::asyncapi::Describes;
use crate::message::binary::Format;
use crate::message::leak::LeakClass;
use crate::message::threat::Confidence;
use crate::policy::checked::{
    JsonMode, LimitKey, Measure, OnFailure, OnRefuse, RateAlgorithm, ReplayPer, ThreatClass, TimestampUnit,
    WithoutSchema,
};
use crate::policy::human::{Bytes, OrOff, QuotaText, RateText, Span, Switch, Times};

/// Both directions.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read for its form; every route takes it over as a tree")]
pub(crate) struct Directions {
    /// From client to server.
    pub(crate) inbound: Option<Messages>,
    /// From server to client.
    pub(crate) outbound: Option<Messages>,
    /// An AsyncAPI document (3.x or 2.x) that says which types go which way and what each looks like; every other type
    /// is refused. Or `off`.
    pub(crate) asyncapi: Option<OrOff<AsyncApi>>,
}

/// An AsyncAPI document.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AsyncApi {
    /// The document, JSON or YAML. `$ref` stays inside it.
    pub(crate) file: Option<String>,
    /// Whose sending and receiving it describes: `backend` or `client`. Default `backend`.
    pub(crate) describes: Option<Describes>,
    /// The channels that count, by their keys in the document. Default all.
    pub(crate) channels: Option<Vec<String>>,
}

/// What may be said in one direction.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Messages {
    /// Largest message after inflating, 1 byte to 256 MiB. Memory: this much for each connection in the worst case.
    pub(crate) bytes_max: Option<Bytes>,
    /// Most frames of one message.
    pub(crate) fragments_max: Option<u32>,
    /// Most messages of this direction that wait for a reader who takes them too slowly, 1 to 1000000; one more closes the
    /// connection (1008). Messages of which a part was taken are counted by their share of the bytes. Or `off`: then only
    /// `queue_bytes_max` and `times.write` of the route hold. Default `off`.
    pub(crate) queue_max: Option<OrOff<u32>>,
    /// Text messages may pass.
    pub(crate) text: Option<Switch>,
    /// Binary messages may pass.
    pub(crate) binary: Option<Switch>,
    /// What binary messages may be, where they may pass.
    pub(crate) binaries: Option<Binaries>,
    /// Pings and pongs of the peer, or `off`.
    pub(crate) control_rate: Option<OrOff<RateText>>,
    /// How many messages; all limits apply at once and the strictest wins. At most 16. See [limits](limits.md).
    pub(crate) limits: Option<Vec<Limit>>,
    /// Named groups of message types, for limits `per: domain`: `{pay: [pay.*], chat: [say, chat.*]}`. At most 64.
    pub(crate) domains: Option<BTreeMap<String, Vec<String>>>,
    /// What a message of a type costs, for limits `of: cost`: `{search: 10, chat.*: 2}`. 1 unless said.
    pub(crate) weights: Option<BTreeMap<String, u32>>,
    /// Repeat offenders wait, longer each time; or `off`. Inbound only.
    pub(crate) offenders: Option<OrOff<Offenders>>,
    /// Strict JSON (RFC 8259).
    pub(crate) json: Option<Json>,
    /// What a message says about itself; `off` does not look.
    pub(crate) envelope: Option<OrOff<Envelope>>,
    /// Type → the JSON Schema (2020-12) its messages must fit. Needs JSON. A route's schema of a type replaces that of
    /// `messages` as a whole.
    pub(crate) schemas: Option<BTreeMap<String, Schema>>,
    /// What happens to a message whose type has no schema, once any type has one: `refuse` or `pass`.
    pub(crate) without_schema: Option<WithoutSchema>,
    /// Type of message → the permission that it asks for: `chat.send: chat.write`. `{/pointer}` in it is the message's
    /// own value there: `"conversation.read:{/conversation_id}"`. A type may end in `*`, and the pattern that says most
    /// wins; `anyone` asks for nothing. Once there is one, a type that none names is refused. At most 512; each takes
    /// about 16 bytes of a connection.
    pub(crate) permissions: Option<BTreeMap<String, String>>,
    /// The permission that a message without a type asks for, binary ones included, where `permissions` are set; `anyone`
    /// lets them pass. Default: they are refused.
    pub(crate) untyped_permission: Option<String>,
    /// Types that an anonymous caller may send or, outbound, receive, beside what its role may; `chat.*` stands for
    /// several. Unset allows any. At most 512.
    pub(crate) guest_types: Option<Vec<String>>,
    /// Types that demand a second factor (`identity.mfa`). Without one a message that has no type does not pass either.
    /// At most 512. Default none.
    pub(crate) mfa_types: Option<Vec<String>>,
    /// Types that demand a token of `identity.csrf`. Inbound only.
    pub(crate) csrf: Option<Csrf>,
    /// Messages that subscribe a connection to a topic. Inbound only; `permissions` say who may.
    pub(crate) subscriptions: Option<super::Subscriptions>,
    /// Type → JSON Pointer of its topic: such messages reach only connections that subscribed to it, others are dropped. Outbound
    /// only. At most 512. Default none.
    pub(crate) subscribed: Option<BTreeMap<String, String>>,
    /// Detection of attacks in every string of a message.
    pub(crate) threats: Option<Threats>,
    /// Detection of what must not leave: credentials, card and national numbers, errors, records in bulk.
    pub(crate) leaks: Option<Leaks>,
    /// Fields that hold HTML: what is not allowed is taken out, and the message goes on. Needs JSON.
    pub(crate) html: Option<Html>,
    /// JSON Pointers of fields whose values are replaced by `***`. A step `*` stands for any member or element. Needs JSON. Default
    /// none.
    pub(crate) mask: Option<Vec<String>>,
    /// JSON Pointer → name: fields sealed with the first of `sealing.keys` before the backend sees them, whatever they hold;
    /// `{/card/number: card}`. A step `*` stands for any member or element. A sealed value is a text bound to that name,
    /// the type of its message and the sender's tenant. Needs JSON.
    pub(crate) seal: Option<BTreeMap<String, String>>,
    /// Fields opened again for receivers who may read them; for others they stay sealed. Needs JSON.
    pub(crate) unseal: Option<Unseal>,
    /// Endpoints that are asked about messages before these go on, in this order; the first that refuses ends it. At most 8.
    /// See [callbacks](callbacks.md).
    pub(crate) callbacks: Option<Vec<Callback>>,
    /// What happens to a refused message unless the check says otherwise: `observe` (passed on, an event
    /// says what would have been done), `drop` (in silence), `reply` (dropped, the sender is told), `close`.
    pub(crate) on_refuse: Option<OnRefuse>,
}

/// An endpoint that is asked about messages by `POST` with JSON, after every other check.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Callback {
    /// Its name in events. Default `callback`.
    pub(crate) name: Option<String>,
    /// Where it is: `https://` or `http://`.
    pub(crate) url: Option<String>,
    /// Sent to it as `Authorization: Bearer`, inline. Prefer `token_file`.
    pub(crate) token: Option<String>,
    /// File that holds the token; the line end is cut off.
    pub(crate) token_file: Option<String>,
    /// Environment variable that holds the token.
    pub(crate) token_env: Option<String>,
    /// The types that it is asked about, and messages whose type cannot be told; `pay.*` stands for several. Unset asks about
    /// every message. At most 512.
    pub(crate) types: Option<Vec<String>>,
    /// How long it may take, 50 milliseconds to 30 seconds, waiting for a place included. Default `2s`.
    pub(crate) timeout: Option<Span>,
    /// Questions to its URL at once, 1 to 1024; further ones wait. Default 64.
    pub(crate) concurrency_max: Option<u32>,
    /// What happens to a message when it gives no answer: `deny` (refused) or `allow` (passed on, with an event). A refusal,
    /// or an answer that cannot be understood, always refuses. Default `deny`.
    pub(crate) on_failure: Option<OnFailure>,
    /// What happens to a message that it refuses. Default `on_refuse` of the direction.
    pub(crate) on_refuse: Option<OnRefuse>,
    /// Its answer may carry another message, to go on in the place of this one; answers of up to 1 MiB are read then, not of 64 KiB,
    /// `concurrency_max` at once. Default `off`: an answer with a message refuses.
    pub(crate) may_rewrite: Option<Switch>,
}

/// What binary messages may be.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Binaries {
    /// Kinds that may pass, by their first bytes: `[png, jpeg, pdf]`, `text`, `json`, `octet-stream` for what is not told,
    /// and what `read_as` names. Unset allows any. See [messages](messages.md).
    pub(crate) kinds: Option<Vec<String>>,
    /// The largest. Default `bytes_max` of the direction.
    pub(crate) bytes_max: Option<Bytes>,
    /// How many a connection may send: `10/s`. Default any.
    pub(crate) rate: Option<RateText>,
    /// They are `msgpack` or `cbor`, and every check reads them as JSON; what is not, is refused, but for files whose kind
    /// `kinds` names. What JSON cannot say is refused too. Default: not read.
    pub(crate) read_as: Option<Format>,
}

/// A message limit.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    /// Its name in events and metrics; `per` unless given.
    pub(crate) name: Option<String>,
    /// What is counted together: `connection`, `user`, `api_key`, `ip`, `tenant`, `type` (each message type of a connection),
    /// `domain` (each of `domains`, in a connection) or `global`. Default `connection`.
    pub(crate) per: Option<LimitKey>,
    /// What is counted: `messages`, `bytes` (after inflating) or `cost` (see `weights`). Default `messages`.
    pub(crate) of: Option<Measure>,
    /// How many: `100/s`, `60/min burst 20`, `5/h sliding`; of bytes `1MiB/s burst 4MiB`.
    pub(crate) rate: Option<QuotaText>,
    /// How many at once; the rate's count unless said. Not for a sliding window.
    pub(crate) burst: Option<Bytes>,
    /// How it is counted: `token_bucket` (refilled evenly) or `sliding_window`. Default `token_bucket`.
    pub(crate) algorithm: Option<RateAlgorithm>,
    /// Counts messages of these types only: `chat.say`, or `chat.*` for all that begin so. Unset counts all. At most
    /// 64.
    pub(crate) types: Option<Vec<String>>,
    /// When more or less is allowed.
    pub(crate) multipliers: Option<Multipliers>,
    /// What happens on excess: `observe`, `drop`, `reply`, `close`, or `delay`: the message passes, and the sender is not
    /// read until the limit allows what it owes. Default `on_refuse` of the direction.
    pub(crate) on_excess: Option<OnExcess>,
    /// With `of: cost`: each started piece of this size costs 1 more.
    pub(crate) bytes_per_cost: Option<Bytes>,
    /// With `of: cost`: a JSON Pointer to the list of those who get the message; the weight counts for each of them.
    pub(crate) fan_out: Option<String>,
}

/// What happens to a message past a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnExcess {
    /// Passed on; an event says what would have been done.
    Observe,
    /// Passed on; its sender is not read for a while.
    Delay,
    /// Dropped in silence.
    Drop,
    /// Dropped, and the sender is told.
    Reply,
    /// Dropped, and the connection is closed.
    Close,
}

/// Repeat offenders wait. A caller with a subject answers for itself, an anonymous one with its address.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Offenders {
    /// Refused messages that earn no wait yet. Default `10/1m`.
    pub(crate) after: Option<RateText>,
    /// The waits, each longer than the one before; 1 to 16. Default `[5s, 30s, 5m, 30m, 1h]`.
    pub(crate) waits: Option<Vec<Span>>,
    /// This long without a wait walks one step back. Default `10m`.
    pub(crate) forgive_after: Option<Span>,
}

/// When more or less is allowed: factors from 0.001 to 1000.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Multipliers {
    /// For callers of a role: `{premium: 5, trial: 0.5}`; of several the largest. Not for limits that count many
    /// callers together (`ip`, `tenant`, `global`).
    pub(crate) roles: Option<BTreeMap<String, Times>>,
    /// While a calendar of `calendars` is in force: `{market: 2}`. Several multiply.
    pub(crate) calendars: Option<BTreeMap<String, Times>>,
}

/// Strict JSON.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Json {
    /// Which text messages must be JSON: `required` (all), `detect` (those that begin with `{` or `[`), `off`. Where a
    /// type has a schema, a preset's `off` is `detect`.
    pub(crate) mode: Option<JsonMode>,
    /// Deepest nesting, 1 to 1000.
    pub(crate) depth_max: Option<u32>,
    /// Most object keys in one message.
    pub(crate) keys_max: Option<u32>,
    /// Most values in one message.
    pub(crate) values_max: Option<u32>,
    /// Longest string, bytes after decoding.
    pub(crate) string_bytes_max: Option<Bytes>,
}

/// What a message says about itself. Pointers are JSON Pointers (RFC 6901).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Envelope {
    /// Where the type stands. Default `/type`.
    #[serde(rename = "type")]
    pub(crate) type_at: Option<String>,
    /// Where the id stands. Default `/id`.
    #[serde(rename = "id")]
    pub(crate) id_at: Option<String>,
    /// Where the timestamp stands. Default `/timestamp`.
    #[serde(rename = "timestamp")]
    pub(crate) timestamp_at: Option<String>,
    /// Where a message may name a tenant, as `[/tenant]`. One that names another than the caller's closes the connection,
    /// outbound it is dropped; a message that is no JSON object is refused. At most 8. Default none.
    pub(crate) tenant: Option<Vec<String>>,
    /// Pointers that must be present. Default none.
    pub(crate) required: Option<Vec<String>>,
    /// Types that may pass; unset allows any.
    pub(crate) types: Option<Vec<String>>,
    /// Distance of the timestamp from the clock that is tolerated, or `off`. Default `off`.
    pub(crate) timestamp_tolerance: Option<OrOff<Span>>,
    /// What a timestamp counts: `seconds` or `milliseconds`. Default `seconds`.
    pub(crate) timestamp_unit: Option<TimestampUnit>,
    /// Message ids remembered, so that none is seen twice; 0 does not look. Default 0. At most 65536, about 16 bytes each.
    pub(crate) replay_ids_max: Option<u32>,
    /// Whose ids are remembered together: of each `connection`, or of each `user` on all its connections of a node, the
    /// closed ones included. Of at most 16384 users; those without a subject are remembered by connection. Default
    /// `connection`.
    pub(crate) replay_per: Option<ReplayPer>,
}

/// The schema of one type: a file, or written out.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schema {
    /// A JSON or YAML file that holds the schema. `$ref` stays inside it.
    pub(crate) file: Option<String>,
    /// The schema itself; excludes `file`.
    pub(crate) inline: Option<serde_json::Value>,
}

/// Where tokens against cross-site request forgery are demanded.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Csrf {
    /// The types that demand one: those that change something. `pay.*` stands for several. At most 512.
    pub(crate) types: Option<Vec<String>>,
    /// Where the token stands. Default `/csrf`.
    pub(crate) at: Option<String>,
}

/// Fields that are opened.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unseal {
    /// JSON Pointer → the name under which the field was sealed.
    pub(crate) fields: Option<BTreeMap<String, String>>,
    /// The permission that a receiver needs, or `anyone`.
    pub(crate) permission: Option<String>,
}

/// Keys of sealed fields.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sealing {
    /// The first seals, all of them open. At most 16; a key is good for 2^32 values.
    pub(crate) keys: Option<Vec<SealKey>>,
}

/// A key of AES-256-GCM.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealKey {
    /// Its name, which every value sealed with it carries: letters, digits, `-` and `_`.
    pub(crate) id: Option<String>,
    /// File with 32 random bytes, as they are or in base64.
    pub(crate) key_file: Option<String>,
    /// File with a passphrase of at least 16 bytes: PBKDF2-HMAC-SHA256, 600000 rounds, salted with the id.
    pub(crate) passphrase_file: Option<String>,
}

/// What the HTML of named fields may hold. Text without markup is left as it is; the rest is parsed as browsers do.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Html {
    /// JSON Pointers of the fields. A step `*` stands for any member or element.
    pub(crate) fields: Option<Vec<String>>,
    /// Elements that stay. Default `[b, i, u, strong, em, code, pre, a]`.
    pub(crate) tags: Option<Vec<String>>,
    /// Element → the attributes that stay. Default `{a: [href, title]}`.
    pub(crate) attributes: Option<BTreeMap<String, Vec<String>>>,
    /// Schemes of addresses that stay; relative ones never do. Default `[https, http, mailto]`.
    pub(crate) schemes: Option<Vec<String>>,
    /// Hosts that no address may lead to, nor to one below them. Default none.
    pub(crate) blocked_domains: Option<Vec<String>>,
}

/// Detection of attacks.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Threats {
    /// What happens to a message that carries an attack, in every class that `classes` does not name: `off`,
    /// `observe`, `block` (the same as `reply`), `drop`, `reply`, `close`.
    pub(crate) mode: Option<ThreatMode>,
    /// The same by class: `sqli`, `nosql`, `xss`, `command`, `traversal`, `template`, `ldap`, `xxe`, `lookup`. `xss` may
    /// also be `sanitize`: the string goes on with the HTML that the section `html` allows.
    pub(crate) classes: Option<BTreeMap<ThreatClass, ThreatMode>>,
    /// JSON Pointers of fields that are not scanned. A step `*` stands for any member or element.
    pub(crate) skip_fields: Option<Vec<String>>,
    /// JSON Pointer → what holds in that field and below it, in place of the above: `{/text: {classes: {sqli: observe}},
    /// "/items/*/note": {mode: drop}}`. A step `*` stands for any member or element; of fields that lie in each other the
    /// inner one counts.
    pub(crate) fields: Option<BTreeMap<String, FieldThreats>>,
    /// How sure a finding must be for more than `observe`: `certain` (as it stands), `likely` (after one layer of decoding)
    /// or `possible` (after more). Default `possible`.
    pub(crate) confidence: Option<Confidence>,
    /// Layers of encoding taken off one string, 0 to 8.
    pub(crate) decode_layers_max: Option<u8>,
}

/// Detection of attacks in one field.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldThreats {
    /// See `threats.mode`; unset leaves every class that `classes` does not name as it is elsewhere.
    pub(crate) mode: Option<ThreatMode>,
    /// See `threats.classes`.
    pub(crate) classes: Option<BTreeMap<ThreatClass, ThreatMode>>,
}

/// Detection of what must not leave.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leaks {
    /// What happens to a message that holds such data, in every class that `classes` does not name: `off`, `observe`,
    /// `mask` (passed on with what was found as `*`; a card keeps its last four digits), `block` (the same as `drop`),
    /// `drop`, `reply`, `close`.
    pub(crate) mode: Option<LeakMode>,
    /// The same by class: `credential`, `card`, `personal`, `error`, `bulk`.
    pub(crate) classes: Option<BTreeMap<LeakClass, LeakMode>>,
    /// Different e-mail addresses in one message that are not yet bulk, 1 to 60.
    pub(crate) records_max: Option<u32>,
}

/// What happens to a message that carries an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ThreatMode {
    /// Not looked for.
    Off,
    /// Passed on; an event says what would have been done.
    Observe,
    /// Passed on without the markup that the section `html` does not allow; refused where that is not enough. Of `xss` only.
    Sanitize,
    /// The same as `reply`.
    Block,
    /// Dropped in silence.
    Drop,
    /// Dropped, and the sender is told.
    Reply,
    /// Dropped, and the connection is closed.
    Close,
}

/// What happens to a message that holds what must not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LeakMode {
    /// Not looked for.
    Off,
    /// Passed on; an event says what would have been done.
    Observe,
    /// Passed on with what was found made unreadable; dropped where that cannot be.
    Mask,
    /// The same as `drop`.
    Block,
    /// Dropped in silence.
    Drop,
    /// Dropped, and the sender is told.
    Reply,
    /// Dropped, and the connection is closed.
    Close,
}
