//! Has the principal one of the roles that the route asks for, or one that inherits it (SPEC 4.1, 4.2)? A route that
//! names none asks for none.

use crate::access::Standing;
use crate::verdict::Reason;

/// Compares names exactly.
///
/// # Errors
/// [`Reason::RoleMissing`].
pub(super) fn check(roles: &[String], standing: &Standing<'_>) -> Result<(), Reason> {
    if roles.is_empty() || roles.iter().any(|role| standing.has_role(role)) { Ok(()) } else { Err(Reason::RoleMissing) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{RoleSpec, Roles};
    use crate::identity::Principal;

    fn roles() -> Roles {
        let role = |name: &str, inherits: &[&str]| RoleSpec {
            name: name.to_owned(),
            inherits: inherits.iter().map(|name| (*name).to_owned()).collect(),
            ..RoleSpec::default()
        };
        Roles::compile(vec![role("admin", &["user"]), role("user", &["guest"]), role("guest", &[])]).unwrap()
    }

    #[test]
    fn any_one_of_the_roles_is_enough_and_a_higher_one_too() {
        let cases: [(&[&str], &[&str], bool); 8] = [
            (&[], &[], true),
            (&["admin"], &["user", "admin"], true),
            (&["admin", "moderator"], &["moderator"], true),
            (&["user"], &["admin"], true),
            (&["guest"], &["admin"], true),
            (&["admin"], &["user"], false),
            (&["admin"], &["Admin", "admin "], false),
            (&["admin"], &[], false),
        ];
        let roles = roles();
        for (asked, held, ok) in cases {
            let asked: Vec<String> = asked.iter().map(|role| (*role).to_owned()).collect();
            let held: Vec<Box<str>> = held.iter().map(|role| Box::from(*role)).collect();
            assert_eq!(check(&asked, &roles.standing(&held, &[])).is_ok(), ok, "{asked:?} {held:?}");
        }
        let anonymous = Principal::anonymous();
        assert!(check(&["guest".into()], &roles.standing(&anonymous.roles, &[])).is_ok());
    }
}
