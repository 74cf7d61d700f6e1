//! Sessions, sign-outs, client certificates and admin tokens: by preset, and what is refused.

use std::time::Duration;

use super::{PRODUCTION, load_furnished};
use crate::policy::checked::{CertificateName, SameSite, Sessions, WhenFull};

fn production(sessions: &str) -> Result<Option<Sessions>, String> {
    let text = PRODUCTION.replace("identity:\n", &format!("identity:\n  sessions: {{ {sessions} }}\n"));
    load_furnished(&text).map(|loaded| loaded.checked.identity.sessions).map_err(|errors| errors.to_string())
}

#[test]
fn there_are_none_unless_they_are_turned_on_and_presets_say_how_long_they_last() {
    assert_eq!(production("max_per_user: 3"), Ok(None));
    for (preset, idle_min, lifetime_h, agent) in [
        ("development", 30, 12, false),
        ("staging", 30, 12, false),
        ("production", 15, 12, false),
        ("high-security", 15, 8, true),
    ] {
        let text = PRODUCTION.replace("environment: production", &format!("environment: {preset}"));
        let text = text.replace("identity:\n", "identity:\n  sessions: { enabled: on }\n");
        let sessions = load_furnished(&text).unwrap_or_else(|e| panic!("{e}")).checked.identity.sessions.unwrap();
        assert_eq!(sessions.idle_timeout, Duration::from_secs(idle_min * 60), "{preset}");
        assert_eq!(sessions.lifetime, Duration::from_secs(lifetime_h * 3600), "{preset}");
        assert_eq!((sessions.max_per_user, sessions.when_full), (5, WhenFull::OldestLeaves));
        assert_eq!((sessions.bind_address, sessions.bind_user_agent), (false, agent));
        assert_eq!(sessions.rate_per_user, None);
        assert_eq!((sessions.cookie.secure, sessions.cookie.same_site), (preset != "development", SameSite::Strict));
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_key() {
    for (written, key, help) in [
        ("path: session", "identity.sessions.path", "/auth/session"),
        ("path: '/a?b'", "identity.sessions.path", "/auth/session"),
        ("idle_timeout: 0s", "identity.sessions.idle_timeout", "longer"),
        ("idle_timeout: 31d, lifetime: 60d", "identity.sessions.idle_timeout", "30 days"),
        ("lifetime: 1m", "identity.sessions.lifetime", "idle_timeout"),
        ("lifetime: 400d", "identity.sessions.lifetime", "a year"),
        ("rate_per_user: often", "identity.sessions.rate_per_user", "60/min"),
        ("max_per_user: 0", "identity.sessions.max_per_user", "1 to 1000"),
        ("when_full: oldest", "identity.sessions.when_full", "oldest_leaves"),
        ("bind_to: [ip]", "identity.sessions.bind_to[0]", "address"),
        ("cookie: { name: 'a b' }", "identity.sessions.cookie.name", "letters"),
        ("cookie: { path: '/;x' }", "identity.sessions.cookie.path", "parameters"),
        ("cookie: { same_site: none, secure: off }", "identity.sessions.cookie.same_site", "secure: on"),
        ("idle: 5m", "identity.sessions.idle", "idle_timeout"),
    ] {
        let errors = production(&format!("enabled: on, {written}")).expect_err(written);
        assert!(errors.contains(&format!("key: {key}")) && errors.contains(help), "{written}\n{errors}");
    }
}

#[test]
fn renewal_names_a_key_that_signs() {
    let with = |renewal: &str| {
        let keys = "[{ id: own, algorithm: HS256, secret: 0123456789abcdef0123456789abcdef0123456789 }, \
                    { id: theirs, algorithm: EdDSA, public_key_file: public.pem }]";
        let text = format!(
            "environment: development\nidentity: {{ keys: {keys}, renewal: {{ {renewal} }} }}\nroutes: [{{ name: a, path: /a, upstream: 'http://127.0.0.1:1' }}]\n"
        );
        load_furnished(&text).map(|loaded| loaded.checked.identity.renewal).map_err(|errors| errors.to_string())
    };
    let renewal = with("key: own").unwrap().unwrap();
    assert_eq!((renewal.ttl, renewal.life_max), (Duration::from_secs(900), Duration::from_secs(43_200)));
    for (written, key, help) in [
        ("ttl: 5m", "key", "name a key"),
        ("key: onw", "key", "did you mean `own`?"),
        ("key: zebra", "key", "keys: [{"),
        ("key: theirs", "key", "HS256, HS384 or HS512"),
        ("key: own, ttl: 1s", "ttl", "ttl: 15m"),
        ("key: own, ttl: 1h, life_max: 30m", "life_max", "at least `ttl`"),
        ("key: own, life: 1h", "life", "life_max"),
    ] {
        let errors = with(written).expect_err(written);
        assert!(
            errors.contains(&format!("key: identity.renewal.{key}")) && errors.contains(help),
            "{written}\n{errors}"
        );
        assert!(!errors.contains("0123456789abcdef"), "{errors}");
    }
}

#[test]
fn a_backchannel_logout_says_where_and_for_whom() {
    let with = |logout: &str, more: &str| {
        let provider = format!("{{ issuer: 'https://p.example', audiences: [a], backchannel_logout: {{ {logout} }} }}");
        let text = PRODUCTION.replace("identity:\n", &format!("identity:\n  providers: [{provider}]\n{more}"));
        load_furnished(&text).map(|loaded| loaded.checked.identity.jwks).map_err(|errors| errors.to_string())
    };
    let sources = with("path: /logout, client_id: chat", "").unwrap();
    let logout = sources[0].provider.as_ref().unwrap().backchannel_logout.as_ref().unwrap();
    assert_eq!((logout.path.as_str(), logout.lasts), ("/logout", Duration::from_secs(86_400)));
    for (written, more, key) in [
        ("client_id: chat", "", "backchannel_logout.path"),
        ("path: /logout", "", "backchannel_logout.client_id"),
        ("path: logout, client_id: chat", "", "backchannel_logout.path"),
        ("path: /logout, client_id: chat, lasts: 31d", "", "backchannel_logout.lasts"),
        ("path: /logout, client_id: chat, ends: all", "", "backchannel_logout.ends"),
        ("path: /logout, client_id: chat", "  claims: { subject: /email }\n", "backchannel_logout"),
    ] {
        let errors = with(written, more).expect_err(written);
        assert!(errors.contains(&format!("key: identity.providers[0].{key}")), "{written}\n{errors}");
    }
}

#[test]
fn client_certificates_need_an_authority_and_a_route_that_lists_them_needs_them() {
    let with = |tls: &str, credentials: &str| {
        let text = PRODUCTION
            .replace(
                "listen: { tls_terminated_by_proxy: on }",
                &format!("listen: {{ tls: {{ certificate: chain.pem, key: private.pem{tls} }} }}"),
            )
            .replace("identity:\n", &format!("identity:\n  credentials: [{credentials}]\n"));
        load_furnished(&text)
            .map(|loaded| loaded.checked.listen.tls.unwrap().client_certificates)
            .map_err(|e| e.to_string())
    };
    assert_eq!(with("", "header"), Ok(None));
    let clients = with(", client_certificates: { ca: chain.pem }", "certificate, header").unwrap().unwrap();
    assert_eq!((clients.required, clients.subject, clients.crl), (false, CertificateName::CommonName, None));
    for (tls, credentials, key, help) in [
        ("", "certificate", "identity.credentials", "listen.tls.client_certificates"),
        (", client_certificates: { }", "certificate", "listen.tls.client_certificates.ca", "PEM"),
        (", client_certificates: { ca: set.json }", "header", "listen.tls.client_certificates.ca", "PEM"),
        (
            ", client_certificates: { ca: chain.pem, crl: chain.pem }",
            "header",
            "listen.tls.client_certificates.crl",
            "PEM",
        ),
        (
            ", client_certificates: { ca: chain.pem, subject: cn }",
            "header",
            "listen.tls.client_certificates.subject",
            "common_name",
        ),
    ] {
        let errors = with(tls, credentials).expect_err(tls);
        assert!(errors.contains(&format!("key: {key}")) && errors.contains(help), "{tls}\n{errors}");
    }
}

#[test]
fn an_admin_token_has_a_name_a_secret_of_its_own_and_permissions_that_there_are() {
    let with = |tokens: &str, main: &str| {
        let text = format!("{PRODUCTION}admin: {{ {main} tokens: [{tokens}] }}\n");
        load_furnished(&text).map(|loaded| loaded.checked.admin.tokens).map_err(|errors| errors.to_string())
    };
    let main = "token: 0123456789abcdef0123456789abcdef,";
    let one = "{ name: watch, token: a-token-of-enough-characters-here, permissions: [metrics.read, 'blocks.*'] }";
    let tokens = with(one, main).unwrap();
    assert!(tokens[0].may("metrics.read") && tokens[0].may("blocks.write") && !tokens[0].may("keys.read"));
    for (tokens, main, key, help) in [
        (one, "", "admin.tokens", "admin.token_file"),
        (&*format!("{one}, {one}"), main, "admin.tokens[1]", "openssl"),
        ("{ token: x-y-z, permissions: ['*'] }", main, "admin.tokens[0].name", "audit"),
        ("{ name: a, permissions: ['*'] }", main, "admin.tokens[0]", "token_file"),
        ("{ name: a, token: x-y-z }", main, "admin.tokens[0].permissions", "metrics.read"),
        (
            "{ name: a, token: x-y-z, permissions: [metric.read] }",
            main,
            "admin.tokens[0].permissions[0]",
            "did you mean `metrics.read`?",
        ),
        ("{ name: a, token: x-y-z, permissions: ['chat.*'] }", main, "admin.tokens[0].permissions[0]", "keys.write"),
        (
            "{ name: a, token: 0123456789abcdef0123456789abcdef, permissions: ['*'] }",
            main,
            "admin.tokens[0]",
            "another",
        ),
    ] {
        let errors = with(tokens, main).expect_err(tokens);
        assert!(errors.contains(&format!("key: {key}")) && errors.contains(help), "{tokens}\n{errors}");
    }
}
