//! `identity`: keys with their pinned algorithm, key sets, claims. Decides that a key can be what its
//! algorithm needs; verifying tokens is the identity room's.

use std::net::IpAddr;
use std::time::Duration;

use super::Checking;
use crate::policy::checked::{
    Algorithm, ClaimPointers, Identity, JwksLocation, JwksSource, Secret, StaticKey, Tickets,
};
use crate::policy::human::{Bytes, Span};
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

/// Greatest clock difference tolerated.
const LEEWAY_MAX: Duration = Duration::from_secs(600);
/// Bytes of a token: below the first no JWT fits.
const TOKEN_BYTES: std::ops::RangeInclusive<u64> = 256..=64 << 10;
/// Bytes of a key set.
const JWKS_BYTES: std::ops::RangeInclusive<u64> = 1 << 10..=1 << 20;
/// Shortest interval between two reads of a key set.
const REFRESH_MIN: Duration = Duration::from_secs(10);
const REFRESH_DEFAULT: Duration = Duration::from_secs(300);
const JWKS_BYTES_DEFAULT: u64 = 64 << 10;
const JWKS_KEYS_DEFAULT: u32 = 32;
const TICKET_PATH: &str = "/portcullis/ticket";
const TICKET_TTL_DEFAULT: Duration = Duration::from_secs(10);
const TICKET_TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
/// Tokens remembered.
const CACHE_ENTRIES_MAX: u32 = 10_000_000;

/// Whether an algorithm verifies with the same secret that signs.
const fn is_symmetric(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

impl Checking<'_> {
    pub(super) fn identity(&mut self, at: &KeyPath, raw: Option<&raw::Identity>) -> Option<Identity> {
        let raw = self.need(at, raw, "write the section")?;
        let keys = self.set(at, "keys", raw.keys.as_ref());
        let keys = keys.and_then(|keys| self.each(&at.key("keys"), keys, Self::key));
        let jwks = self.set(at, "jwks", raw.jwks.as_ref());
        let jwks = jwks.and_then(|jwks| self.each(&at.key("jwks"), jwks, Self::jwks));
        let providers = self.providers(&at.key("providers"), raw);
        let leeway = self.set(at, "leeway", raw.leeway).map(|leeway| leeway.0);
        if leeway.is_some_and(|leeway| leeway > LEEWAY_MAX) {
            self.fault(&at.key("leeway"), "the leeway is longer than 10 minutes", "correct the clocks instead");
        }
        let require_expiry = self.set(at, "require_expiry", raw.require_expiry);
        let token_bytes = self.bounded(at, "token_bytes_max", raw.token_bytes_max.map(|b| b.0), TOKEN_BYTES);
        let credentials = self.set(at, "credentials", raw.credentials.clone());
        let claims = self.claims(at, raw);
        let introspection = raw.introspection.as_ref();
        let introspection =
            introspection.map(|raw_one| self.introspection(&at.key("introspection"), raw_one, raw, claims.as_ref()));
        let cache_ttl = self.set(at, "cache_ttl", raw.cache_ttl);
        let cache_entries = self.bounded(at, "cache_entries_max", raw.cache_entries_max, 1..=CACHE_ENTRIES_MAX);
        let first_message_timeout = self.positive(at, "first_message_timeout", raw.first_message_timeout);
        let forward_token = self.set(at, "forward_token", raw.forward_token);
        let api_keys = self.set(at, "api_keys", raw.api_keys);
        let tickets = raw.tickets.as_ref().map(|tickets| self.tickets(&at.key("tickets"), tickets));
        let csrf = raw.csrf.as_ref().map(|csrf| self.csrf_tokens(&at.key("csrf"), csrf));
        let renewal = raw.renewal.as_ref();
        let renewal = renewal.map(|renewal| self.renewal(&at.key("renewal"), renewal, keys.as_deref()));
        let sessions = self.sessions(&at.key("sessions"), raw.sessions.as_ref());
        let (inline, file, variable) =
            (raw.header_secret.as_ref(), raw.header_secret_file.as_ref(), raw.header_secret_env.as_ref());
        let header_secret = self.secret(at, "header_secret", inline, file, variable).ok();
        let texts = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        Some(Identity {
            keys: keys?,
            jwks: jwks?.into_iter().chain(providers?).collect(),
            introspection: introspection.map_or(Some(None), |one| one.map(Some))?,
            issuers: texts(&raw.issuers),
            audiences: texts(&raw.audiences),
            authorized_parties: texts(&raw.authorized_parties),
            leeway: leeway?,
            require_expiry: require_expiry?.0,
            token_bytes_max: usize::try_from(token_bytes?).ok()?,
            credentials: credentials?,
            claims: claims?,
            cache_ttl: cache_ttl?.0,
            cache_entries_max: usize::try_from(cache_entries?).ok()?,
            first_message_timeout: first_message_timeout?,
            development_bypass: raw.development_bypass.clone(),
            forward_token: forward_token?.0,
            api_keys: api_keys?.0,
            tickets: tickets.map_or(Some(None), |tickets| tickets.map(Some))?,
            sessions: sessions?,
            csrf: csrf.map_or(Some(None), |csrf| csrf.map(Some))?,
            renewal: renewal.map_or(Some(None), |renewal| renewal.map(Some))?,
            header_secret: header_secret?,
        })
    }

    fn claims(&mut self, at: &KeyPath, raw: &raw::Identity) -> Option<ClaimPointers> {
        let path = at.key("claims");
        let claims = self.need(&path, raw.claims.as_ref(), "write the section")?;
        let mut pointer = |key: &str, written: &Option<String>| {
            let written = self.set(&path, key, written.as_ref())?;
            self.pointer(&path.key(key), written)
        };
        let subject = pointer("subject", &claims.subject);
        let roles = pointer("roles", &claims.roles);
        let permissions = pointer("permissions", &claims.permissions);
        let tenant = pointer("tenant", &claims.tenant);
        let session = pointer("session", &claims.session);
        let tenants = match &claims.tenants {
            Some(written) => self.pointer(&path.key("tenants"), written),
            None => Some(String::new()),
        };
        let second_factor = self.second_factor(&at.key("mfa"), raw.mfa.as_ref());
        let cookie_name = self.token_name(at, "cookie_name", raw.cookie_name.as_ref());
        let query_name = self.token_name(at, "query_name", raw.query_name.as_ref());
        Some(ClaimPointers {
            subject: subject?,
            roles: roles?,
            permissions: permissions?,
            tenant: tenant?,
            tenants: tenants?,
            session: session?,
            second_factor: second_factor?,
            cookie_name: cookie_name?,
            query_name: query_name?,
        })
    }

    fn tickets(&mut self, at: &KeyPath, raw: &raw::Tickets) -> Option<Tickets> {
        let path = self.own_path(&at.key("path"), raw.path.as_deref().unwrap_or(TICKET_PATH))?;
        let ttl = raw.ttl.map_or(TICKET_TTL_DEFAULT, |ttl| ttl.0);
        if !TICKET_TTL.contains(&ttl) {
            self.fault(&at.key("ttl"), "a ticket is good for 1 second to 5 minutes", "write `ttl: 10s`");
            return None;
        }
        Some(Tickets { path, ttl })
    }

    /// A name of a cookie or a query parameter: letters, digits, `-`, `_`, `.`.
    pub(super) fn token_name(&mut self, at: &KeyPath, key: &str, written: Option<&String>) -> Option<String> {
        let name = self.set(at, key, written)?;
        let fits = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if !fits {
            let message = format!("`{}` is not a name for it", clip(name));
            self.fault(&at.key(key), message, "use letters, digits, `-`, `_` and `.`");
            return None;
        }
        Some(name.clone())
    }

    fn key(&mut self, at: &KeyPath, raw: &raw::Key) -> Option<StaticKey> {
        let algorithm = self.need(
            &at.key("algorithm"),
            raw.algorithm,
            "pin the one algorithm your issuer signs with, as `algorithm: HS256`",
        );
        let secret_given = raw.secret.is_some() || raw.secret_file.is_some() || raw.secret_env.is_some();
        let public_given = raw.public_key.is_some() || raw.public_key_file.is_some();
        match (secret_given, public_given) {
            (true, true) => {
                self.fault(at, "a key has a secret and a public key", "keep the one its algorithm needs");
                return None;
            }
            (false, false) if !self.incomplete => {
                let help = "add `secret_file`, `secret_env` or `secret` for HS256/384/512, else `public_key_file` or `public_key`";
                self.fault(at, "a key has neither a secret nor a public key", help);
                return None;
            }
            _ => {}
        }
        let algorithm = algorithm?;
        if is_symmetric(algorithm) != secret_given {
            let (message, help) = if secret_given {
                ("the algorithm verifies with a public key, not with a secret", "write `public_key_file`, or pin HS256")
            } else {
                (
                    "the algorithm verifies with a secret, not with a public key",
                    "write `secret_file`, or pin the algorithm of the public key",
                )
            };
            self.fault(&at.key("algorithm"), message, help);
            return None;
        }
        let material = if secret_given {
            self.secret(at, "secret", raw.secret.as_ref(), raw.secret_file.as_ref(), raw.secret_env.as_ref()).ok()??
        } else {
            self.public_key(at, raw)?
        };
        Some(StaticKey { id: raw.id.clone(), algorithm, material })
    }

    fn public_key(&mut self, at: &KeyPath, raw: &raw::Key) -> Option<Secret> {
        let (path, bytes) = match (&raw.public_key, &raw.public_key_file) {
            (Some(_), Some(_)) => {
                self.fault(at, "`public_key` is given more than once", "keep one of `public_key`, `public_key_file`");
                return None;
            }
            (Some(text), None) => (at.key("public_key"), text.as_bytes().to_vec()),
            (None, Some(file)) => {
                let path = at.key("public_key_file");
                let bytes = self.file(&path, file)?;
                (path, bytes)
            }
            (None, None) => return None,
        };
        let text = String::from_utf8_lossy(&bytes);
        let has = |label: &str| text.lines().any(|line| line.trim().starts_with("-----BEGIN") && line.contains(label));
        if has("PRIVATE KEY") {
            let help = "give the gateway the public half only: `openssl pkey -in key.pem -pubout`";
            self.fault(&path, "this is a private key", help);
            return None;
        }
        if !has("PUBLIC KEY") && !has("CERTIFICATE") {
            self.fault(&path, "this is not a public key in PEM", "it begins with `-----BEGIN PUBLIC KEY-----`");
            return None;
        }
        Some(Secret::new(bytes))
    }

    fn jwks(&mut self, at: &KeyPath, raw: &raw::Jwks) -> Option<JwksSource> {
        let location = match (&raw.url, &raw.file) {
            (Some(url), None) => self.jwks_url(&at.key("url"), url),
            (None, Some(file)) => {
                let path = at.key("file");
                self.file(&path, file).map(|_| JwksLocation::File(self.resolve(&path, file)))
            }
            _ if self.incomplete => None,
            _ => {
                self.fault(at, "a key set needs one place", "write `url` or `file`, one of the two");
                None
            }
        };
        let (refresh, bytes, keys) = (raw.refresh, raw.bytes_max, raw.keys_max);
        let source = self.key_source(at, raw.algorithms.as_deref(), refresh, bytes, keys);
        location.and_then(|location| Some(JwksSource { location, ..source? }))
    }

    /// What key sets and providers have in common; a location is to be put in.
    pub(super) fn key_source(
        &mut self,
        at: &KeyPath,
        algorithms: Option<&[Algorithm]>,
        refresh: Option<Span>,
        bytes_max: Option<Bytes>,
        keys_max: Option<u32>,
    ) -> Option<JwksSource> {
        let algorithms = algorithms.unwrap_or(&[Algorithm::RS256]).to_vec();
        if algorithms.is_empty() || algorithms.iter().any(|algorithm| is_symmetric(*algorithm)) {
            let help = "list what your issuer signs with: RS, PS, ES or EdDSA; a published secret is none";
            self.fault(&at.key("algorithms"), "a key set verifies with public keys only", help);
            return None;
        }
        let refresh = refresh.map_or(REFRESH_DEFAULT, |refresh| refresh.0);
        if refresh < REFRESH_MIN {
            self.fault(&at.key("refresh"), "the interval is shorter than 10 seconds", "write at least `10s`");
        }
        let bytes = bytes_max.map_or(JWKS_BYTES_DEFAULT, |bytes| bytes.0);
        let bytes = self.within(&at.key("bytes_max"), bytes, JWKS_BYTES);
        let keys = self.within(&at.key("keys_max"), keys_max.unwrap_or(JWKS_KEYS_DEFAULT), 1..=1000);
        Some(JwksSource {
            location: JwksLocation::Url(String::new()),
            algorithms,
            refresh,
            bytes_max: usize::try_from(bytes?).ok()?,
            keys_max: usize::try_from(keys?).ok()?,
            provider: None,
        })
    }

    fn jwks_url(&mut self, at: &KeyPath, written: &str) -> Option<JwksLocation> {
        let parsed: Option<http::Uri> = written.parse().ok();
        let scheme = parsed.as_ref().and_then(http::Uri::scheme_str);
        let host = parsed.as_ref().and_then(http::Uri::host).unwrap_or_default();
        match scheme {
            Some("https") if !host.is_empty() => Some(JwksLocation::Url(written.to_owned())),
            Some("http") if is_loopback(host) => Some(JwksLocation::Url(written.to_owned())),
            Some("http") => {
                let help = "use `https://`; whoever stands on the way could swap the keys";
                self.fault(at, "a key set over plain `http://` is for loopback only", help);
                None
            }
            _ => {
                let message = format!("`{}` is not a URL to fetch from", clip(written));
                self.fault(at, message, "write `https://issuer.example/.well-known/jwks.json`");
                None
            }
        }
    }
}

/// Whether a host of a URL is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
