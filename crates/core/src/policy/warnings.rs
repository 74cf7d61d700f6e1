//! What a careful reviewer would ask about (SPEC 13.3). Stops nothing. Codes are stable; a new warning takes
//! the next number, an old number is never used again.

use std::time::Duration;

use super::check::{SecretSeen, written_path};
use super::checked::{
    Authenticate, Checked, ClientAddressFrom, Environment, JwksLocation, LimitKey, Measure, MessageLimit, Messages,
    OnFailure, OnRefuse, OriginRule, Rate, Route,
};
use super::layers::Layered;
use super::read::clip;
use super::report::Warning;
use super::tree::{KeyPath, Node};
use crate::access::{Need, Resource};

/// Shortest secret that nobody guesses, bytes (RFC 7518 3.2: as long as HS256's output).
pub(crate) const SECRET_BYTES_MIN: usize = 32;
/// Shortest retention that auditors of a production system accept.
const RETENTION_MIN: Duration = Duration::from_secs(90 * 86_400);

/// A code, its name and what it is about. The list is the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) code: &'static str,
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
}

macro_rules! codes {
    ($($ident:ident = $code:literal $name:literal $about:literal;)*) => {
        $(const $ident: Code = Code { code: $code, name: $name, about: $about };)*
        /// Every warning there is.
        pub(crate) const CODES: &[Code] = &[$($ident),*];
    };
}

codes! {
    SHORT_SECRET = "W001" "short-secret" "a secret has fewer than 32 bytes";
    INLINE_SECRET = "W002" "inline-secret" "a secret stands in the configuration itself";
    WILDCARD_ORIGIN = "W003" "wildcard-origin" "any web page may open a connection";
    NO_TLS = "W004" "no-tls" "clients reach the gateway over plain `ws://` from other machines";
    AUTH_OFF = "W005" "auth-off" "anonymous callers are let in, in production or from other machines";
    SHORT_RETENTION = "W006" "short-retention" "audit events are kept for less than 90 days, in production";
    UNREACHABLE_LIMIT = "W007" "unreachable-limit" "a limit can never be reached, because another stops the caller first";
    TRUST_ALL_PROXIES = "W008" "trust-all-proxies" "everybody may say what their address is";
    UNUSED_IDENTITY = "W009" "unused-identity" "keys, issuers or audiences are set, but no route looks at a credential, or no key can verify one";
    JWKS_OVER_HTTP = "W010" "jwks-over-http" "a key set is fetched without TLS";
    THREATS_OFF = "W011" "threats-off" "attacks in messages are not looked for, or only noted, in production";
    AMBIGUOUS_ROUTES = "W012" "ambiguous-routes" "a path matches two routes, and neither is more specific";
    DETAILED_ERRORS = "W013" "detailed-errors" "clients are told how they were refused, in production";
    AUDIT_OFF = "W014" "audit-off" "nothing is recorded";
    EVERLASTING_TOKENS = "W015" "everlasting-tokens" "tokens without an expiry are accepted";
    TOKEN_IN_URL = "W016" "token-in-url" "tokens may stand in URLs, in production";
    UNCLEAR_ENVIRONMENT = "W017" "unclear-environment" "a variable names an environment that is not known";
    ALLOW_EVERYONE = "W018" "allow-everyone" "a network of every address skips the checks on sources";
    CHECKS_OFF = "W019" "checks-off" "messages of a route are not inspected";
    CRIME = "W020" "compression-window" "compression keeps a window over messages, which leaks secrets sent beside chosen text";
    NO_LIMIT = "W021" "no-message-limit" "a route has no message limit, in production";
    NO_AUDIENCE = "W022" "no-audience" "tokens of a key set are accepted whatever audience they are meant for";
    UNGRANTED = "W023" "ungranted-permission" "something asks for a permission that no role has";
    NEVER_FITS = "W024" "limit-never-fits" "a message that may be sent costs more than a limit lets through at once";
    AUTHORIZER_OVER_HTTP = "W025" "authorizer-over-http" "an authorizer on another machine is asked without TLS";
    SHARED_STATE_PLAIN = "W026" "shared-state-without-tls" "what nodes hold in common crosses the network without TLS, in production";
    OPEN_SESSION_COOKIE = "W027" "open-session-cookie" "the cookie of a session is sent without TLS too, in production";
    CALLBACK_FAILS_OPEN = "W028" "callback-fails-open" "messages pass unjudged while a callback gives no answer";
    CALLBACK_OVER_HTTP = "W029" "callback-over-http" "a callback on another machine is asked without TLS";
    LONE_PIN = "W030" "lone-pin" "one key of a backend is pinned, and no next one";
}

/// Everything a reviewer would say about a policy.
pub(crate) fn review(layered: &Layered, tree: &Node, checked: &Checked, secrets: &[SecretSeen]) -> Vec<Warning> {
    let strict = matches!(checked.environment, Environment::Production | Environment::HighSecurity);
    let mut review =
        Review { layered, tree, strict, public: !checked.listen.address.ip().is_loopback(), found: Vec::new() };
    review.secrets(secrets);
    review.listener(checked);
    review.sources(checked);
    review.identity(checked);
    review.audit(checked);
    review.shared_state(checked);
    for (position, route) in checked.routes.iter().enumerate() {
        review.route(&KeyPath::parse("routes").index(position), route, checked);
    }
    review.route_order(&checked.routes);
    review.found.sort_by_key(|warning| warning.code);
    review.found
}

struct Review<'a> {
    layered: &'a Layered,
    tree: &'a Node,
    /// Production or high-security.
    strict: bool,
    /// The client-facing listener is off loopback.
    public: bool,
    found: Vec<Warning>,
}

impl Review<'_> {
    /// Notes a warning once: a value that several routes inherit is one.
    fn warn(&mut self, code: Code, path: &KeyPath, message: impl Into<String>, advice: &str) {
        let location = self.layered.texts.locate(self.tree.place_of(path));
        let message = message.into();
        let key = written_path(&self.layered.tree, path).to_string();
        let known = self.found.iter().any(|held| held.code == code.code && held.key == key && held.message == message);
        if !known {
            self.found.push(Warning {
                code: code.code,
                name: code.name,
                message,
                key,
                location,
                advice: advice.to_owned(),
            });
        }
    }

    fn secrets(&mut self, secrets: &[SecretSeen]) {
        for secret in secrets {
            if secret.bytes < SECRET_BYTES_MIN {
                let message = format!("the secret has {} bytes and can be guessed offline", secret.bytes);
                self.warn(
                    SHORT_SECRET,
                    &secret.path,
                    message,
                    "make one of at least 32 bytes: `openssl rand -base64 48`",
                );
            }
            if secret.inline {
                let name = secret.path.last_key();
                let advice = format!("move it to a file or a variable: `{name}_file` or `{name}_env`");
                self.warn(INLINE_SECRET, &secret.path, "a secret stands in the configuration itself", &advice);
            }
        }
    }

    fn shared_state(&mut self, checked: &Checked) {
        let Some(shared) = &checked.shared_state else { return };
        let plain = |url: &str| url.starts_with("redis:") && !super::check::is_loopback_url(url);
        if self.strict && shared.shown.split(',').any(plain) {
            let message = "whoever stands on the way can lift bans and read who is connected";
            let at = KeyPath::parse("shared_state");
            self.warn(SHARED_STATE_PLAIN, &at, message, "use `rediss://`, or a network that is encrypted");
        }
    }

    fn listener(&mut self, checked: &Checked) {
        let listen = &checked.listen;
        if self.public && listen.tls.is_none() && !listen.tls_terminated_by_proxy {
            let message =
                format!("clients reach {} over plain `ws://`: anyone on the way reads tokens", listen.address);
            let advice = "set `listen.tls`, or say that a proxy ends TLS: `listen.tls_terminated_by_proxy: on`";
            self.warn(NO_TLS, &KeyPath::parse("listen.address"), message, advice);
        }
        for (position, network) in listen.trusted_proxies.iter().enumerate() {
            if network.prefix_len() == 0 && listen.client_address != ClientAddressFrom::Peer {
                let path = KeyPath::parse("listen.trusted_proxies").index(position);
                let message =
                    format!("`{network}` lets every client choose its own address, and so escape limits and bans");
                self.warn(TRUST_ALL_PROXIES, &path, message, "list the networks of your proxies only");
            }
        }
        if let Some((name, value)) = &self.layered.unclear {
            let message = format!("`{name}={}` names no environment that is known, so it was passed over", clip(value));
            let advice = "set `PORTCULLIS_ENV` to development, staging, production or high-security";
            self.warn(UNCLEAR_ENVIRONMENT, &KeyPath::parse("environment"), message, advice);
        }
    }

    fn sources(&mut self, checked: &Checked) {
        let sources = &checked.sources;
        for (position, network) in sources.allow.iter().enumerate() {
            if network.prefix_len() == 0 {
                let path = KeyPath::parse("sources.allow").index(position);
                let message = format!("`{network}` is everyone, and everyone skips rates and bans");
                self.warn(ALLOW_EVERYONE, &path, message, "list only those whom you mean");
            }
        }
        if let Some(per_ip) = sources.connections_per_ip_max
            && usize::try_from(per_ip).is_ok_and(|per_ip| per_ip > checked.listen.connections_max)
        {
            let message = format!(
                "`{per_ip}` connections of one address can never be reached: there are at most {} in all",
                checked.listen.connections_max
            );
            let advice = "lower it below `listen.connections_max`";
            self.warn(UNREACHABLE_LIMIT, &KeyPath::parse("sources.connections_per_ip_max"), message, advice);
        }
        for (key, rate) in
            [("connection_rate", sources.connection_rate), ("failed_auth_rate", sources.failed_auth_rate)]
        {
            if let Some(rate) = rate {
                self.burst(&KeyPath::parse("sources").key(key), rate);
            }
        }
    }

    fn burst(&mut self, path: &KeyPath, rate: Rate) {
        if rate.burst > rate.count && u64::from(rate.burst) > u64::from(rate.count).saturating_mul(10) {
            let message = format!("a burst of {} is more than ten times the rate of {}", rate.burst, rate.count);
            self.warn(
                UNREACHABLE_LIMIT,
                path,
                message,
                "lower the burst, or raise the rate: a burst this large is the limit",
            );
        }
    }

    fn identity(&mut self, checked: &Checked) {
        let identity = &checked.identity;
        let verifies = !identity.keys.is_empty() || !identity.jwks.is_empty() || identity.introspection.is_some();
        let looks = checked.routes.iter().any(|route| route.authenticate != Authenticate::Off);
        for (key, set) in [
            ("keys", !identity.keys.is_empty()),
            ("jwks", identity.jwks.iter().any(|source| source.provider.is_none())),
            ("providers", identity.jwks.iter().any(|source| source.provider.is_some())),
            ("introspection", identity.introspection.is_some()),
            ("issuers", !identity.issuers.is_empty()),
            ("audiences", !identity.audiences.is_empty()),
            ("authorized_parties", !identity.authorized_parties.is_empty()),
        ] {
            let path = KeyPath::parse("identity").key(key);
            if set && !looks {
                let message = format!("`{key}` is set, but no route looks at a credential");
                self.warn(UNUSED_IDENTITY, &path, message, "write `authenticate: required` on a route, or remove it");
            } else if set && !verifies {
                let message = format!("`{key}` is set, but there is no key that could verify a token");
                self.warn(
                    UNUSED_IDENTITY,
                    &path,
                    message,
                    "add `identity.keys`, `identity.jwks` or `identity.providers`",
                );
            }
        }
        if self.strict && identity.sessions.as_ref().is_some_and(|sessions| !sessions.cookie.secure) {
            let message = "a browser sends the cookie over plain `http://` and `ws://` too, where others read it";
            let path = KeyPath::parse("identity.sessions.cookie.secure");
            self.warn(
                OPEN_SESSION_COOKIE,
                &path,
                message,
                "write `secure: on`; it holds behind a proxy that ends TLS too",
            );
        }
        let sets = identity.jwks.iter().filter(|source| source.provider.is_none()).count();
        for (position, source) in identity.jwks.iter().enumerate() {
            let path = match position.checked_sub(sets) {
                None => KeyPath::parse("identity.jwks").index(position),
                Some(position) => KeyPath::parse("identity.providers").index(position),
            };
            if let JwksLocation::Url(url) = &source.location
                && url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:"))
            {
                let message = "the key set is fetched over plain `http://`";
                self.warn(JWKS_OVER_HTTP, &path.key("url"), message, "use `https://`, even on this machine");
            }
            if let JwksLocation::Issuer(issuer) = &source.location
                && issuer.starts_with("http:")
            {
                let message = "the provider is asked over plain `http://`";
                self.warn(JWKS_OVER_HTTP, &path.key("issuer"), message, "use `https://`, even on this machine");
            }
            let (audiences, parties) = match &source.provider {
                None => (&identity.audiences, &identity.authorized_parties),
                Some(provider) => (&provider.audiences, &provider.authorized_parties),
            };
            if self.strict && audiences.is_empty() && parties.is_empty() {
                let message = "any token of this issuer is accepted, also one meant for another application";
                let advice = match source.provider {
                    None => "list yours in `identity.audiences` or `identity.authorized_parties`",
                    Some(_) => "list yours in the provider's `audiences` or `authorized_parties`",
                };
                self.warn(NO_AUDIENCE, &path, message, advice);
            }
        }
        if !identity.require_expiry && verifies {
            let message = "a token without `exp` is good for ever once it leaks";
            self.warn(
                EVERLASTING_TOKENS,
                &KeyPath::parse("identity.require_expiry"),
                message,
                "turn `require_expiry` on",
            );
        }
    }

    fn audit(&mut self, checked: &Checked) {
        if !checked.audit.enabled {
            let message = "nothing is recorded, so nothing can be explained or proved";
            self.warn(AUDIT_OFF, &KeyPath::parse("audit.enabled"), message, "turn `audit.enabled` on");
        } else if self.strict && checked.audit.retention < RETENTION_MIN {
            let message = format!("events are kept for {} days", checked.audit.retention.as_secs() / 86_400);
            self.warn(SHORT_RETENTION, &KeyPath::parse("audit.retention"), message, "keep them for at least `90d`");
        }
    }

    fn route(&mut self, at: &KeyPath, route: &Route, checked: &Checked) {
        let name = clip(&route.name);
        if route.authenticate != Authenticate::Required && (self.strict || self.public) {
            let message = format!("the route `{name}` lets anonymous callers in");
            let path = if self.tree.at(&at.key("authenticate")).is_some() {
                at.key("authenticate")
            } else {
                KeyPath::parse("identity.authenticate")
            };
            self.warn(AUTH_OFF, &path, message, "write `authenticate: required` unless everyone may connect");
        }
        for (position, rule) in route.origins.iter().flat_map(|origins| origins.allow.iter().enumerate()) {
            if *rule == OriginRule::Any {
                let path = at.key("origins").key("allow").index(position);
                let message = "any web page may open a connection in its visitor's name";
                self.warn(WILDCARD_ORIGIN, &path, message, "list the origins of your own pages");
            }
        }
        let pins = route.upstreams.iter().find_map(|upstream| Some(upstream.trust.as_ref()?.pins.len()));
        if pins == Some(1) {
            let path = at.key("upstream_tls").key("pins");
            let message = "the day that key is replaced nobody reaches the backend";
            self.warn(LONE_PIN, &path, message, "pin the next key too, before the backend has it");
        }
        if self.strict && route.errors.detailed {
            let message = "clients are told how they were refused, which helps to get past";
            self.warn(
                DETAILED_ERRORS,
                &at.key("errors").key("detailed"),
                message,
                "turn `detailed` off; the audit has the rest",
            );
        }
        let places = route.credentials.as_ref().unwrap_or(&checked.identity.credentials);
        let places_at =
            if route.credentials.is_some() { at.key("credentials") } else { KeyPath::parse("identity.credentials") };
        let by_operator = self.tree.at(&places_at).is_some_and(|node| self.layered.texts.is_operators(node.place.text));
        if self.strict && by_operator && places.contains(&super::checked::CredentialPlace::Query) {
            let message = "a token in a URL stays in histories and in the logs of every proxy (CWE-598)";
            self.warn(TOKEN_IN_URL, &places_at, message, "use `header`, `cookie` or `subprotocol` where clients can");
        }
        if route.compression.enabled && route.compression.context_takeover {
            let message = "the compression window lives on from message to message: secrets beside chosen text can be guessed (CRIME)";
            self.warn(CRIME, &at.key("compression").key("context_takeover"), message, "turn `context_takeover` off");
        }
        if let Some(authorizer) = &route.authorizer
            && authorizer.url.starts_with("http:")
            && !super::check::is_loopback_url(&authorizer.url)
        {
            let message = "whoever stands on the way to the authorizer can answer in its place";
            self.warn(AUTHORIZER_OVER_HTTP, &at.key("authorizer").key("url"), message, "use `https://`");
        }
        if let Some(need) = &route.permission {
            self.ungranted(&at.key("permission"), need, checked);
        }
        if route.statistics.is_some() {
            // No message passes there.
            return;
        }
        if !route.checks {
            self.warn(
                CHECKS_OFF,
                &at.key("checks"),
                format!("messages of the route `{name}` are not inspected"),
                "turn `checks` on",
            );
            return;
        }
        for (name, messages) in [("inbound", &route.inbound), ("outbound", &route.outbound)] {
            if let Some(permissions) = &messages.access.permissions {
                let at = at.key(name);
                for (pattern, need) in &permissions.rules {
                    self.ungranted(&at.key("permissions").key(pattern), need, checked);
                }
                if let Some(need) = &permissions.untyped {
                    self.ungranted(&at.key("untyped_permission"), need, checked);
                }
            }
        }
        self.protection(at, route);
        self.messages(&at.key("inbound"), &route.inbound);
        self.messages(&at.key("outbound"), &route.outbound);
        self.per_user(at, route, checked);
    }

    /// A resource that is read from somewhere is the business of credentials; so is every permission where no role
    /// has any.
    fn ungranted(&mut self, path: &KeyPath, need: &Need, checked: &Checked) {
        let Need::Permission { path: permission, resource } = need else { return };
        let fixed = match resource {
            None => None,
            Some(Resource::Fixed(one)) => Some(&**one),
            Some(_) => return,
        };
        if checked.access.grants_anything() && !checked.access.grants(permission, fixed) {
            let message = format!("no role has the permission `{}`", clip(&need.to_string()));
            self.warn(UNGRANTED, path, message, "allow it in `access.roles`, unless tokens carry it themselves");
        }
    }

    fn protection(&mut self, at: &KeyPath, route: &Route) {
        if !self.strict {
            return;
        }
        let name = clip(&route.name);
        let path = at.key("inbound").key("threats");
        let advice = "write `threats: {mode: block}`; single classes and fields can be left out";
        match &route.inbound.threats {
            None => {
                self.warn(THREATS_OFF, &path, format!("attacks in messages to `{name}` are not looked for"), advice)
            }
            Some(threats) if threats.classes.values().all(|outcome| *outcome == OnRefuse::Observe) => {
                self.warn(
                    THREATS_OFF,
                    &path,
                    format!("attacks in messages to `{name}` are noted and passed on"),
                    advice,
                );
            }
            Some(_) => {}
        }
        if route.inbound.limits.is_empty() {
            let message = format!("a client of `{name}` may send as many messages as it can");
            self.warn(
                NO_LIMIT,
                &at.key("inbound").key("limits"),
                message,
                "add one: `limits: [{per: connection, rate: 100/s}]`",
            );
        }
    }

    fn messages(&mut self, at: &KeyPath, messages: &Messages) {
        for (position, callback) in messages.callbacks.iter().enumerate() {
            let at = at.key("callbacks").index(position);
            if callback.on_failure == OnFailure::Allow {
                let message =
                    format!("while `{}` gives no answer, every message passes unjudged", clip(&callback.name));
                let help = "write `on_failure: deny`, unless what it refuses may as well pass";
                self.warn(CALLBACK_FAILS_OPEN, &at.key("on_failure"), message, help);
            }
            if callback.url.starts_with("http:") && !super::check::is_loopback_url(&callback.url) {
                let message = "whoever stands on the way to the callback can read messages and answer in its place";
                self.warn(CALLBACK_OVER_HTTP, &at.key("url"), message, "use `https://`");
            }
        }
        let json_looks = messages.json.mode != super::checked::JsonMode::Off;
        if json_looks && u64::from(messages.json.string_bytes_max) > messages.bytes_max {
            let message = format!(
                "a string of {} bytes can never be reached: a message has at most {}",
                messages.json.string_bytes_max, messages.bytes_max
            );
            let advice = "lower it below `bytes_max` of the direction";
            self.warn(UNREACHABLE_LIMIT, &at.key("json").key("string_bytes_max"), message, advice);
        }
        for (position, limit) in messages.limits.iter().enumerate() {
            let path = at.key("limits").index(position);
            self.burst(&path.key("rate"), limit.rate);
            let stricter = messages
                .limits
                .iter()
                .enumerate()
                .find(|(other, held)| *other != position && covers(held, limit, *other < position));
            if let Some((_, held)) = stricter {
                let message = format!(
                    "the limit `{}` can never be reached: `{}` stops first",
                    clip(&limit.name),
                    clip(&held.name)
                );
                self.warn(UNREACHABLE_LIMIT, &path, message, "lower it, or remove it");
            }
            let most = match limit.of {
                Measure::Messages => 1,
                Measure::Bytes => messages.bytes_max,
                Measure::Cost => limit.weights.iter().map(|(_, weight)| u64::from(*weight)).max().unwrap_or(1),
            };
            if most > u64::from(limit.rate.burst) {
                let message = format!(
                    "the limit `{}` never lets the largest message pass: it takes {most}, and at most {} fit at once",
                    clip(&limit.name),
                    limit.rate.burst
                );
                self.warn(
                    NEVER_FITS,
                    &path.key("rate"),
                    message,
                    "raise the burst, or make such a message cheaper or smaller",
                );
            }
        }
    }

    fn per_user(&mut self, at: &KeyPath, route: &Route, checked: &Checked) {
        let total = u32::try_from(checked.listen.connections_max).unwrap_or(u32::MAX);
        if let Some(per_user) = route.connections_per_user_max
            && per_user > total
        {
            let message =
                format!("`{per_user}` connections of one user can never be reached: there are at most {total} in all");
            self.warn(
                UNREACHABLE_LIMIT,
                &at.key("connections_per_user_max"),
                message,
                "lower it below `listen.connections_max`",
            );
        }
    }

    /// Two routes that match a path in common, and neither is the more specific: which one wins is a rule that
    /// nobody remembers.
    fn route_order(&mut self, routes: &[Route]) {
        for (position, route) in routes.iter().enumerate() {
            for earlier in routes.iter().take(position) {
                let Some(example) = ambiguous(&earlier.path, &route.path) else { continue };
                let message = format!(
                    "`{}` matches both `{}` and `{}`, and neither is more specific",
                    clip(&example),
                    clip(&earlier.path),
                    clip(&route.path)
                );
                let path = KeyPath::parse("routes").index(position).key("path");
                self.warn(AMBIGUOUS_ROUTES, &path, message, "change one of the paths so that only one can match");
            }
        }
    }
}

/// A path that two templates match where each has a literal in the place of the other's parameter.
fn ambiguous(one: &str, other: &str) -> Option<String> {
    let (a, b): (Vec<&str>, Vec<&str>) = (one.split('/').collect(), other.split('/').collect());
    if a.len() != b.len() {
        return None;
    }
    let is_parameter = |segment: &str| segment.starts_with('{');
    let mut example = Vec::new();
    let (mut a_wins, mut b_wins) = (false, false);
    for (x, y) in a.iter().zip(&b) {
        match (is_parameter(x), is_parameter(y)) {
            (false, false) if x != y => return None,
            (false, true) => a_wins = true,
            (true, false) => b_wins = true,
            _ => {}
        }
        let shown = if is_parameter(x) { y } else { x };
        example.push(if is_parameter(shown) { "x" } else { shown });
    }
    (a_wins && b_wins).then(|| example.join("/"))
}

/// Whether `held` refuses before `limit` ever could: it counts the same or more together, and allows less at once
/// and over time. Of two equal limits the later is the idle one.
fn covers(held: &MessageLimit, limit: &MessageLimit, held_first: bool) -> bool {
    let alike = |one: &MessageLimit| (one.of, one.role_factors.clone(), one.calendar_factors.clone());
    if alike(held) != alike(limit) || (!held.types.is_empty() && held.types != limit.types) {
        return false;
    }
    let wider = match (held.per, limit.per) {
        (a, b) if a == b => true,
        (LimitKey::Global, _) => true,
        (
            LimitKey::User | LimitKey::ApiKey | LimitKey::Ip | LimitKey::Tenant,
            LimitKey::Connection | LimitKey::Type | LimitKey::Domain,
        ) => true,
        (LimitKey::Connection, LimitKey::Type | LimitKey::Domain) => true,
        _ => false,
    };
    let per_period = |rate: &Rate| f64::from(rate.count) / rate.per.as_secs_f64().max(f64::MIN_POSITIVE);
    let stops = !matches!(held.on_excess, OnRefuse::Observe);
    let less = held.rate.burst <= limit.rate.burst && per_period(&held.rate) <= per_period(&limit.rate);
    let equal = held.rate.burst == limit.rate.burst && per_period(&held.rate) >= per_period(&limit.rate);
    wider && stops && less && (!equal || held_first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_templates_are_ambiguous_when_each_is_literal_where_the_other_is_not() {
        for (one, other, example) in [
            ("/a/{x}", "/{y}/b", Some("/a/b")),
            ("/a/{x}/{z}", "/{y}/b/{z}", Some("/a/b/x")),
            ("/a/{x}", "/a/b", None),
            ("/a/{x}", "/b/{y}", None),
            ("/{*rest}", "/a/b", None),
        ] {
            assert_eq!(ambiguous(one, other).as_deref(), example, "{one} {other}");
        }
    }

    #[test]
    fn codes_are_unique_and_in_order() {
        for (position, code) in CODES.iter().enumerate() {
            assert_eq!(code.code, format!("W{:03}", position + 1));
            assert!(CODES.iter().filter(|other| other.name == code.name).count() == 1, "{}", code.name);
        }
    }
}
