//! May this principal be on this route? What is asked of everybody who is known, cheapest first: blocklist, tenant, path
//! binding, roles, permission, second factor.

use std::net::IpAddr;

use super::proof::Means;
use super::{binding, mfa, permission, role, route, tenant};
use crate::identity::Principal;
use crate::policy::checked;
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
    let named = |check: &'static str| move |reason: Reason| (reason, check);
    if let Some(reason) = means.gate.blocked(client, principal, now) {
        return Err((reason, "blocklist"));
    }
    tenant::check(spec.tenant.as_deref(), principal).map_err(named("tenant"))?;
    binding::check(params, &spec.bind, principal).map_err(named("binding"))?;
    let standing = means.policy.checked.access.standing(&principal.roles, &principal.permissions);
    role::check(&spec.roles, &standing).map_err(named("role"))?;
    permission::check(spec.permission.as_ref(), params, &standing).map_err(named("permission"))?;
    mfa::check(spec.mfa, &standing, principal).map_err(named("mfa"))
}
