//! Has the principal the permission that the route asks for (SPEC 4.2)? A route that names none asks for none.

use super::route::Params;
use crate::access::{Need, Resource, Standing, names_resource};
use crate::verdict::Reason;

/// Asks for it; a parameter that cannot name a resource is no resource that anyone has.
///
/// # Errors
/// [`Reason::PermissionDenied`].
pub(super) fn check(need: Option<&Need>, params: &Params, standing: &Standing<'_>) -> Result<(), Reason> {
    let Some(Need::Permission { path, resource }) = need else { return Ok(()) };
    let asked = match resource {
        None => None,
        Some(Resource::Fixed(one)) => Some(&**one),
        Some(Resource::Parameter(name)) => {
            let value = params.iter().find(|(param, _)| **param == **name).map(|(_, value)| value.as_str());
            Some(value.filter(|value| names_resource(value.as_bytes())).ok_or(Reason::PermissionDenied)?)
        }
        // There is no message yet; configuration refuses it.
        Some(Resource::Pointer(_)) => return Err(Reason::PermissionDenied),
    };
    if standing.rule(path, asked).is_allowed() { Ok(()) } else { Err(Reason::PermissionDenied) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Pattern, RoleSpec, Roles};

    fn judged(need: &str, params: &[(&str, &str)], roles: &[&str], own: &[&str]) -> bool {
        let rules = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        let roles_of = |texts: &[&str]| texts.iter().map(|text| Box::from(*text)).collect::<Vec<Box<str>>>();
        let user = RoleSpec {
            name: "user".into(),
            inherits: Vec::new(),
            allow: rules(&["chat.join", "room.join:*"]),
            deny: rules(&["room.join:vault"]),
            mfa: false,
        };
        let (compiled, held) = (Roles::compile(vec![user]).unwrap(), roles_of(roles));
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let standing = compiled.standing(&held, &roles_of(own));
        check(Some(&Need::parse(need).unwrap()), &params, &standing).is_ok()
    }

    #[test]
    fn the_permission_comes_from_a_role_or_from_the_credential() {
        assert!(judged("chat.join", &[], &["user"], &[]));
        assert!(judged("chat.join", &[], &[], &["chat.*"]));
        assert!(!judged("chat.join", &[], &["guest"], &[]));
        assert!(!judged("admin.join", &[], &["user"], &["chat.*"]));
        assert!(judged("anyone", &[], &[], &[]));
    }

    #[test]
    fn a_parameter_names_one_resource_and_nothing_else() {
        for (room, may) in [("7", true), ("vault", false), ("*", false), ("a.b", false), ("a:b", false), ("", false)] {
            assert_eq!(judged("room.join:{room}", &[("room", room)], &["user"], &["*"]), may, "{room}");
        }
        assert!(!judged("room.join:{room}", &[("other", "7")], &["user"], &["*"]), "a parameter that is not there");
        assert!(!judged("room.join:{/room}", &[], &["user"], &["*"]), "a pointer into no message");
        assert!(judged("room.join:{room}", &[("room", "7")], &[], &["room.join:7"]));
        assert!(!judged("room.join:{room}", &[("room", "8")], &[], &["room.join:7"]));
    }
}
