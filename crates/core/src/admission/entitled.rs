//! May this principal be on this route? What is asked of everybody who is known, cheapest first: blocklist, tenant, path
//! binding, roles, permission, second factor.

use std::net::IpAddr;

use super::proof::Means;
use super::{binding, mfa, permission, role, route, tenant};
use crate::access::{Need, Resource};
use crate::identity::Principal;
use crate::policy::checked::{self, Authenticate};
use crate::policy::{Policy, Route};
use crate::time::Now;
use crate::verdict::Reason;

/// The first reason why not, and the check that said so.
pub(super) fn check(
    means: &Means,
    client: IpAddr,
    spec: &checked::Route,
    params: &route::Params,
    principal: &Principal,
    now: Now,
) -> Result<(), (Reason, &'static str)> {
    if let Some(reason) = means.gate.blocked(client, principal, now) {
        return Err((reason, "blocklist"));
    }
    rules(&means.policy, spec, params, principal)
}

/// May a principal stay on its route under another policy? Asked of open connections when a policy takes effect.
///
/// A connection whose path is not known has no path parameters: where the route asks for one it may not stay, and is
/// judged anew when it comes back.
///
/// # Errors
/// Why not, and the check that said so.
pub fn may_stay(
    policy: &Policy,
    route: &Route,
    path: Option<&str>,
    principal: &Principal,
) -> Result<(), (Reason, &'static str)> {
    if principal.is_anonymous() && route.spec.authenticate == Authenticate::Required {
        return Err((Reason::CredentialMissing, "credential"));
    }
    let found = path.and_then(|path| policy.find(path)).filter(|(found, _)| found.spec.name == route.spec.name);
    let params = found.map(|(_, params)| params).unwrap_or_default();
    rules(policy, &route.spec, &params, principal)
}

/// Whether what is asked of a principal depends on the path it comes to.
#[must_use]
pub fn judges_path(spec: &checked::Route) -> bool {
    let named = |need: &Need| matches!(need, Need::Permission { resource: Some(Resource::Parameter(_)), .. });
    !spec.bind.is_empty() || spec.permission.as_ref().is_some_and(named)
}

fn rules(
    policy: &Policy,
    spec: &checked::Route,
    params: &route::Params,
    principal: &Principal,
) -> Result<(), (Reason, &'static str)> {
    let named = |check: &'static str| move |reason: Reason| (reason, check);
    tenant::check(spec.tenant.as_deref(), principal).map_err(named("tenant"))?;
    binding::check(params, &spec.bind, principal).map_err(named("binding"))?;
    let standing = policy.checked.access.standing(&principal.roles, &principal.permissions);
    role::check(&spec.roles, &standing).map_err(named("role"))?;
    permission::check(spec.permission.as_ref(), params, &standing).map_err(named("permission"))?;
    mfa::check(spec.mfa, &standing, principal).map_err(named("mfa"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Nowhere, Overrides, Source, load};

    fn stays(rules: &str, path: Option<&str>) -> Result<(), (Reason, &'static str)> {
        let principal = Principal {
            subject: Some("7".into()),
            method: crate::identity::Method::Jwt,
            roles: Box::new(["user".into()]),
            tenant: Some("acme".into()),
            ..Principal::anonymous()
        };
        judged(&format!("authenticate: optional, {rules}"), path, &principal)
    }

    fn judged(rules: &str, path: Option<&str>, principal: &Principal) -> Result<(), (Reason, &'static str)> {
        let text = format!(
            "access: {{ roles: {{ user: {{ allow: ['room.join:7'] }}, admin: {{ mfa: on }} }} }}\n\
             routes: [{{ name: room, path: '/room/{{room}}', upstream: ws://b, {rules} }}]\n"
        );
        let loaded = load(Some(Source { name: "test.yaml", text: &text }), &Overrides::default(), &Nowhere);
        let policy = Policy::compile(loaded.unwrap_or_else(|errors| panic!("{errors}")).checked).unwrap();
        may_stay(&policy, &policy.route_named("room").unwrap(), path, principal)
    }

    #[test]
    fn whoever_may_not_come_in_any_more_may_not_stay() {
        for (rules, check) in [
            ("", None),
            ("roles: [user]", None),
            ("roles: [moderator]", Some("role")),
            ("tenant: acme", None),
            ("tenant: other", Some("tenant")),
            ("permission: room.list", Some("permission")),
            ("permission: 'room.join:{room}'", None),
            ("permission: 'room.leave:{room}'", Some("permission")),
            ("bind: { room: subject }", None),
            ("bind: { room: tenant }", Some("binding")),
            ("mfa: on", Some("mfa")),
        ] {
            assert_eq!(stays(rules, Some("/room/7")).err().map(|(_, check)| check), check, "{rules}");
        }
    }

    #[test]
    fn an_anonymous_caller_stays_while_the_route_takes_any() {
        let anonymous = Principal::anonymous();
        assert!(judged("authenticate: optional", None, &anonymous).is_ok());
        let refused = judged("authenticate: required", None, &anonymous);
        assert_eq!(refused, Err((Reason::CredentialMissing, "credential")));
    }

    #[test]
    fn a_path_that_is_not_known_has_no_parameters() {
        for rules in ["permission: 'room.join:{room}'", "bind: { room: subject }"] {
            assert!(stays(rules, None).is_err(), "{rules}");
            assert!(stays(rules, Some("/elsewhere/7")).is_err(), "{rules}");
        }
        assert!(stays("roles: [user]", None).is_ok());
    }
}
