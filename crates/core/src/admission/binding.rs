//! Does a path parameter equal the claim it is bound to (SPEC 4.3)? A caller without the claim is bound to no path.

use std::collections::BTreeMap;

use super::route::Params;
use crate::identity::Principal;
use crate::policy::checked::BoundClaim;
use crate::verdict::Reason;

/// Compares every bound parameter, byte by byte after one decoding.
///
/// # Errors
/// [`Reason::PathBinding`].
pub(super) fn check(params: &Params, bind: &BTreeMap<String, BoundClaim>, principal: &Principal) -> Result<(), Reason> {
    let equal = bind.iter().all(|(name, claim)| {
        let value = params.iter().find(|(param, _)| param == name).map(|(_, value)| value.as_str());
        let claim = match claim {
            BoundClaim::Subject => principal.subject.as_deref(),
            BoundClaim::Tenant => return value.is_some_and(|value| principal.belongs_to(value.as_bytes())),
            BoundClaim::Session => principal.session.as_deref(),
        };
        claim.is_some() && value == claim
    });
    if equal { Ok(()) } else { Err(Reason::PathBinding) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(bind: &[(&str, BoundClaim)], params: &[(&str, &str)], subject: Option<&str>) -> bool {
        let bind = bind.iter().map(|(name, claim)| ((*name).to_owned(), claim.clone())).collect();
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let principal = Principal {
            subject: subject.map(Into::into),
            tenant: Some("acme".into()),
            tenants: Box::new(["sister".into()]),
            ..Principal::anonymous()
        };
        check(&params, &bind, &principal).is_ok()
    }

    #[test]
    fn a_user_may_connect_to_its_own_path_and_no_other() {
        let own = [("user_id", BoundClaim::Subject)];
        assert!(judged(&own, &[("user_id", "u1")], Some("u1")));
        for (value, subject) in
            [("u2", Some("u1")), ("U1", Some("u1")), ("u1 ", Some("u1")), ("", Some("u1")), ("u1", None), ("", None)]
        {
            assert!(!judged(&own, &[("user_id", value)], subject), "{value:?} {subject:?}");
        }
        assert!(!judged(&own, &[("other", "u1")], Some("u1")), "a parameter that is not there");
    }

    #[test]
    fn every_bound_parameter_counts() {
        let both = [("user_id", BoundClaim::Subject), ("tenant", BoundClaim::Tenant)];
        assert!(judged(&both, &[("user_id", "u1"), ("tenant", "acme")], Some("u1")));
        assert!(judged(&both, &[("user_id", "u1"), ("tenant", "sister")], Some("u1")), "it belongs to both");
        assert!(!judged(&both, &[("user_id", "u1"), ("tenant", "other")], Some("u1")));
        assert!(!judged(&both, &[("user_id", "u1")], Some("u1")), "a parameter that is not there");
        assert!(!judged(&[("s", BoundClaim::Session)], &[("s", "x")], Some("u1")), "no session in the token");
        assert!(judged(&[], &[("user_id", "u2")], None));
    }
}
