//! Did the principal pass a second factor, where the route or one of its roles demands it (SPEC 3.6)?

use crate::access::Standing;
use crate::identity::Principal;
use crate::verdict::Reason;

/// A role that demands it does so on every route, inherited or not.
///
/// # Errors
/// [`Reason::MfaRequired`].
pub(super) fn check(route_demands: bool, standing: &Standing<'_>, principal: &Principal) -> Result<(), Reason> {
    if principal.mfa || !(route_demands || standing.demands_mfa()) { Ok(()) } else { Err(Reason::MfaRequired) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{RoleSpec, Roles};

    #[test]
    fn a_route_or_a_role_demands_a_second_factor() {
        let role = |name: &str, inherits: &[&str], mfa| RoleSpec {
            name: name.to_owned(),
            inherits: inherits.iter().map(|name| (*name).to_owned()).collect(),
            mfa,
            ..RoleSpec::default()
        };
        let roles = Roles::compile(vec![
            role("user", &[], false),
            role("moderator", &["user"], true),
            role("admin", &["moderator"], false),
        ])
        .unwrap();
        for (route, held, mfa, ok) in [
            (false, &["user"][..], false, true),
            (false, &[], false, true),
            (true, &["user"], false, false),
            (true, &["user"], true, true),
            (false, &["moderator"], false, false),
            (false, &["moderator"], true, true),
            (false, &["admin"], false, false),
            (false, &["user", "admin"], false, false),
        ] {
            let held: Vec<Box<str>> = held.iter().map(|role| Box::from(*role)).collect();
            let principal = Principal { mfa, ..Principal::anonymous() };
            assert_eq!(check(route, &roles.standing(&held, &[]), &principal).is_ok(), ok, "{route} {held:?} {mfa}");
        }
    }
}
