//! What a careful reviewer would ask about (SPEC 13.3). Stops nothing. Codes are stable; a new warning takes
//! the next number, an old number is never used again.

mod codes;
mod messages;
mod routes;

use std::time::Duration;

use super::check::{SecretSeen, written_path};
use super::checked::{Authenticate, Checked, ClientAddressFrom, Environment, JwksLocation, Rate};
use super::layers::Layered;
use super::read::clip;
use super::report::Warning;
use super::tree::{KeyPath, Node};
use codes::*;
pub(crate) use codes::{CODES, Code};

/// Shortest secret that nobody guesses, bytes (RFC 7518 3.2: as long as HS256's output).
pub(crate) const SECRET_BYTES_MIN: usize = 32;
/// Shortest retention that auditors of a production system accept.
const RETENTION_MIN: Duration = Duration::from_secs(90 * 86_400);

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
}
