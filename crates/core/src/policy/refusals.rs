//! Rules between sections that a policy may not break: it is not started, not merely warned about. Each
//! error says which key or flag puts it right.

use super::check::Checking;
use super::checked::{Authenticate, Checked, CredentialPlace, Environment};
use super::layers::environment_name;
use super::tree::KeyPath;
use crate::inspection::{Direction, Plan, PlanError};
use crate::message::json::pointer::POINTERS_MAX;

/// Notes every broken rule.
pub(crate) fn refuse(checking: &mut Checking<'_>, checked: &Checked) {
    let strict = matches!(checked.environment, Environment::Production | Environment::HighSecurity);
    if strict {
        way_to_authenticate(checking, checked);
        tls_decision(checking, checked);
    }
    anonymous_routes(checking, checked);
    development_bypass(checking, checked);
    unnamed_environment(checking, checked);
    admin_token(checking, checked);
    proxies(checking, checked);
    certificates(checking, checked);
    fields(checking, checked);
}

/// A direction can follow so many fields of a message; many rules of different kinds may together name more.
fn fields(checking: &mut Checking<'_>, checked: &Checked) {
    for (position, route) in checked.routes.iter().enumerate() {
        let at = KeyPath::parse("routes").index(position);
        for (name, messages) in [("inbound", &route.inbound), ("outbound", &route.outbound)] {
            let direction = if name == "inbound" { Direction::Inbound } else { Direction::Outbound };
            // The rest of the envelope, the type and the root.
            let most = messages.fields_named() + 5;
            if most <= POINTERS_MAX {
                continue;
            }
            let plan = Plan::compile(messages, &route.errors, direction, route.checks);
            if let Err(error @ PlanError::Pointer(_)) = plan {
                let help = "name fewer in `permissions`, `threats.skip_fields`, `html`, `mask` and `envelope`";
                checking.fault(&at.key(name), error.to_string(), help);
            }
        }
    }
}

fn way_to_authenticate(checking: &mut Checking<'_>, checked: &Checked) {
    let needs = checked.routes.iter().any(|route| route.authenticate == Authenticate::Required);
    // On is the preset's word; an operator who says it has keys made.
    let keyed = checked.identity.api_keys && checking.is_operators(&KeyPath::parse("identity.api_keys"));
    let identity = &checked.identity;
    let verifies = !identity.keys.is_empty() || !identity.jwks.is_empty() || identity.introspection.is_some();
    if needs && !keyed && !verifies {
        let name = environment_name(checked.environment);
        let help = "add a key (`identity: {keys: [{algorithm: HS256, secret_file: jwt.secret}]}`) or a key set \
                    (`identity: {jwks: [{url: https://issuer.example/.well-known/jwks.json}]}`), in the file or by \
                    `--set 'identity.keys=[{algorithm: HS256, secret_file: jwt.secret}]'`; or say \
                    `identity.api_keys: on` and make keys with `portcullis key create`";
        let message = format!("{name} asks for credentials, but no key can verify one");
        checking.fault(&KeyPath::parse("identity.keys"), message, help);
    }
}

fn tls_decision(checking: &mut Checking<'_>, checked: &Checked) {
    if checked.listen.tls.is_none() && !checked.listen.tls_terminated_by_proxy {
        let name = environment_name(checked.environment);
        let help = "give `listen.tls.certificate` and `listen.tls.key`, or, where a proxy before the gateway ends \
                    TLS, say so: `--set listen.tls_terminated_by_proxy=true`";
        checking.fault(&KeyPath::parse("listen.tls"), format!("{name} needs a decision about TLS"), help);
    }
}

/// Anonymous callers are let in from other machines only where the operator, not a preset, says so.
fn anonymous_routes(checking: &mut Checking<'_>, checked: &Checked) {
    let public = !checked.listen.address.ip().is_loopback();
    for (position, route) in checked.routes.iter().enumerate() {
        if route.authenticate == Authenticate::Required {
            continue;
        }
        let own = KeyPath::parse("routes").index(position).key("authenticate");
        let general = KeyPath::parse("identity.authenticate");
        let said = checking.is_operators(&own) || checking.is_operators(&general);
        let at = if checking.is_operators(&own) { own } else { general };
        if checked.environment == Environment::HighSecurity {
            let message =
                format!("the route `{}` lets anonymous callers in, which high-security never does", route.name);
            checking.fault(&at, message, "write `authenticate: required`, or start from `production`");
        } else if public && !said {
            let message = format!(
                "the route `{}` would let anonymous callers in from other machines ({})",
                route.name, checked.listen.address
            );
            let help = "write `identity.authenticate: required`, or say that you mean it: \
                        `--set identity.authenticate=optional`; or listen on 127.0.0.1";
            checking.fault(&KeyPath::parse("listen.address"), message, help);
        }
    }
}

fn development_bypass(checking: &mut Checking<'_>, checked: &Checked) {
    if checked.identity.development_bypass.is_none() {
        return;
    }
    let at = KeyPath::parse("identity.development_bypass");
    if checked.environment != Environment::Development {
        let name = environment_name(checked.environment);
        checking.fault(&at, format!("the development bypass is set in {name}"), "remove it");
    } else if !checked.listen.address.ip().is_loopback() {
        let message = "the development bypass would let everyone in from other machines";
        checking.fault(&at, message, "remove it, or listen on 127.0.0.1");
    }
}

/// Nobody said that this is a development machine, and it is reachable: the fallback must not decide.
fn unnamed_environment(checking: &mut Checking<'_>, checked: &Checked) {
    if !checking.environment_named() && !checked.listen.address.ip().is_loopback() {
        let message = format!("no environment is named, and other machines can reach {}", checked.listen.address);
        let help = "say which it is: `--preset production`, `PORTCULLIS_ENV=production` or `environment: production`";
        checking.fault(&KeyPath::parse("listen.address"), message, help);
    }
}

fn admin_token(checking: &mut Checking<'_>, checked: &Checked) {
    if checked.admin.token.is_some() {
        return;
    }
    let help = "set `admin.token_file` or `admin.token_env`, or listen on 127.0.0.1";
    if !checked.admin.address.ip().is_loopback() {
        let message =
            format!("the admin listener {} can be reached from other machines without a token", checked.admin.address);
        checking.fault(&KeyPath::parse("admin.address"), message, help);
    }
}

/// A certificate proves nobody where none is asked for.
fn certificates(checking: &mut Checking<'_>, checked: &Checked) {
    let asked = checked.listen.tls.as_ref().is_some_and(|tls| tls.client_certificates.is_some());
    let general = (KeyPath::parse("identity.credentials"), Some(&checked.identity.credentials));
    let own = checked.routes.iter().enumerate().map(|(position, route)| {
        (KeyPath::parse("routes").index(position).key("credentials"), route.credentials.as_ref())
    });
    for (at, places) in own.chain([general]) {
        if !asked && places.is_some_and(|places| places.contains(&CredentialPlace::Certificate)) {
            let help = "write `listen.tls.client_certificates`, or take `certificate` off the list";
            checking.fault(&at, "`certificate` is a credential, but clients are not asked for one", help);
        }
    }
}

/// A header may only be believed when it is known who writes it.
fn proxies(checking: &mut Checking<'_>, checked: &Checked) {
    use super::checked::ClientAddressFrom;
    if checked.listen.client_address != ClientAddressFrom::Peer && checked.listen.trusted_proxies.is_empty() {
        let help = "list your proxies' networks in `listen.trusted_proxies`, or write `client_address: peer`";
        checking.fault(
            &KeyPath::parse("listen.client_address"),
            "the client's address is read from a proxy, but no proxy is trusted",
            help,
        );
    }
}
