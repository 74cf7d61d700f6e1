//! Has the principal one of the roles that the route asks for (SPEC 4.2)? A route that names none asks for none.

use crate::identity::Principal;
use crate::verdict::Reason;

/// Compares names exactly.
///
/// # Errors
/// [`Reason::RoleMissing`].
pub(super) fn check(roles: &[String], principal: &Principal) -> Result<(), Reason> {
    let has = roles.iter().any(|role| principal.roles.iter().any(|held| **held == **role));
    if roles.is_empty() || has { Ok(()) } else { Err(Reason::RoleMissing) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_one_of_the_roles_is_enough() {
        let cases: [(&[&str], &[&str], bool); 6] = [
            (&[], &[], true),
            (&["admin"], &["user", "admin"], true),
            (&["admin", "moderator"], &["moderator"], true),
            (&["admin"], &["user"], false),
            (&["admin"], &["Admin", "admin "], false),
            (&["admin"], &[], false),
        ];
        for (asked, held, ok) in cases {
            let asked: Vec<String> = asked.iter().map(|role| (*role).to_owned()).collect();
            let roles = held.iter().map(|role| Box::from(*role)).collect();
            let principal = Principal { roles, ..Principal::anonymous() };
            assert_eq!(check(&asked, &principal).is_ok(), ok, "{asked:?} {held:?}");
        }
        assert!(check(&["guest".into()], &Principal::anonymous()).is_ok());
    }
}
