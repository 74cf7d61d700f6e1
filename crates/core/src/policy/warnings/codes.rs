//! The list: every warning by its code, name and subject.

/// A code, its name and what it is about. The list is the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) code: &'static str,
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
}

macro_rules! codes {
    ($($ident:ident = $code:literal $name:literal $about:literal;)*) => {
        $(pub(super) const $ident: Code = Code { code: $code, name: $name, about: $about };)*
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        for (position, code) in CODES.iter().enumerate() {
            assert_eq!(code.code, format!("W{:03}", position + 1));
            assert!(CODES.iter().filter(|other| other.name == code.name).count() == 1, "{}", code.name);
        }
    }
}
