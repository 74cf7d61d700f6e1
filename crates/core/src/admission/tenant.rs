//! Does the principal belong to the tenant that the route belongs to (SPEC 4.5)? A route without one takes any.

use crate::identity::Principal;
use crate::verdict::Reason;

/// Compares names exactly; a principal without a tenant belongs to none.
///
/// # Errors
/// [`Reason::TenantCrossing`].
pub(super) fn check(tenant: Option<&str>, principal: &Principal) -> Result<(), Reason> {
    match tenant {
        Some(tenant) if !principal.belongs_to(tenant.as_bytes()) => Err(Reason::TenantCrossing),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_of_a_tenant_takes_its_own_and_nobody_else() {
        for (route, own, ok) in [
            (None, None, true),
            (None, Some("acme"), true),
            (Some("acme"), Some("acme"), true),
            (Some("acme"), Some("Acme"), false),
            (Some("acme"), Some("other"), false),
            (Some("acme"), None, false),
        ] {
            let principal = Principal { tenant: own.map(Into::into), ..Principal::anonymous() };
            assert_eq!(check(route, &principal).is_ok(), ok, "{route:?} {own:?}");
            let tenants = own.map(Box::from).into_iter().chain([Box::from("sister")]).collect();
            let principal = Principal { tenants, ..Principal::anonymous() };
            assert_eq!(check(route, &principal).is_ok(), ok, "{route:?} {own:?} and another");
        }
    }
}
