//! Open connections, counted: in all, by route, tenant and role.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use portcullis_core::admission::Gate;
use portcullis_core::identity::Principal;
use portcullis_core::time::Now;

/// Tenants and roles told apart; tokens name them, so that there may be any number. The rest are counted together.
const NAMES_MAX: usize = 256;
/// How those are called.
const OTHERS: &str = "(others)";

/// A worker's open connections: route by route, who holds them.
pub(crate) type Open = Vec<(Box<str>, Vec<Arc<Principal>>)>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Census {
    all: Count,
    routes: HashMap<Box<str>, Count>,
    tenants: BTreeMap<Box<str>, u64>,
    roles: BTreeMap<Box<str>, u64>,
    /// See [`Figure::Blocked`](portcullis_core::policy::checked::Figure::Blocked).
    pub blocked: usize,
    /// See [`Figure::Suspicious`](portcullis_core::policy::checked::Figure::Suspicious).
    pub suspicious: usize,
}

/// Some connections.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    /// All of them.
    pub connections: u64,
    /// Those of callers who are known.
    pub authenticated: u64,
    /// How many callers that are.
    pub users: u64,
}

impl Count {
    /// Those of callers who are not known.
    pub(super) fn anonymous(self) -> u64 {
        self.connections.saturating_sub(self.authenticated)
    }
}

impl Census {
    /// Counts what the workers told.
    pub(super) fn of(open: &Open) -> Self {
        let mut census = Self::default();
        let mut users = HashSet::new();
        let mut users_of: HashMap<&str, HashSet<&str>> = HashMap::new();
        for (route, principals) in open {
            let count = census.routes.entry(route.clone()).or_default();
            let users_here = users_of.entry(route).or_default();
            for principal in principals {
                count.connections += 1;
                if let Some(subject) = principal.subject.as_deref() {
                    count.authenticated += 1;
                    users.insert(subject);
                    users_here.insert(subject);
                }
                if let Some(tenant) = principal.tenant.as_deref() {
                    add(&mut census.tenants, tenant);
                }
                for role in &principal.roles {
                    add(&mut census.roles, role);
                }
            }
        }
        for (route, count) in &mut census.routes {
            count.users = users_of.get(&**route).map_or(0, |users| users.len() as u64);
            census.all.connections += count.connections;
            census.all.authenticated += count.authenticated;
        }
        census.all.users = users.len() as u64;
        census
    }

    /// Adds who has no connection, but a ban or a score.
    pub(super) fn beside(self, gate: &Gate, now: Now) -> Self {
        Self { blocked: gate.blocked_in_all(now), suspicious: gate.scores().scored(now).len(), ..self }
    }

    pub(super) fn all(&self) -> Count {
        self.all
    }

    pub(super) fn of_route(&self, name: &str) -> Count {
        self.routes.get(name).copied().unwrap_or_default()
    }

    pub(super) fn by_tenant(&self) -> impl Iterator<Item = (&str, u64)> {
        self.tenants.iter().map(|(name, count)| (&**name, *count))
    }

    pub(super) fn by_role(&self) -> impl Iterator<Item = (&str, u64)> {
        self.roles.iter().map(|(name, count)| (&**name, *count))
    }
}

fn add(counts: &mut BTreeMap<Box<str>, u64>, name: &str) {
    let name = if counts.contains_key(name) || counts.len() < NAMES_MAX { name } else { OTHERS };
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.into(), 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(subject: Option<&str>, tenant: Option<&str>, roles: &[&str]) -> Arc<Principal> {
        Arc::new(Principal {
            subject: subject.map(Into::into),
            tenant: tenant.map(Into::into),
            roles: roles.iter().map(|role| Box::from(*role)).collect(),
            ..Principal::anonymous()
        })
    }

    #[test]
    fn a_user_of_several_routes_and_workers_is_one_user() {
        let ada = || caller(Some("ada"), Some("t1"), &["user", "admin"]);
        let open: Open = vec![
            ("chat".into(), vec![ada(), ada(), caller(None, None, &["guest"])]),
            ("feed".into(), vec![ada(), caller(Some("ben"), Some("t2"), &["user"])]),
            ("chat".into(), vec![ada(), caller(Some("ben"), Some("t2"), &["user"])]),
        ];
        let census = Census::of(&open);
        assert_eq!(census.all(), Count { connections: 7, authenticated: 6, users: 2 });
        assert_eq!(census.all().anonymous(), 1);
        assert_eq!(census.of_route("chat"), Count { connections: 5, authenticated: 4, users: 2 });
        assert_eq!(census.of_route("feed"), Count { connections: 2, authenticated: 2, users: 2 });
        assert_eq!(census.of_route("none"), Count::default());
        assert_eq!(census.by_tenant().collect::<Vec<_>>(), [("t1", 4), ("t2", 2)]);
        assert_eq!(census.by_role().collect::<Vec<_>>(), [("admin", 4), ("guest", 1), ("user", 6)]);
    }

    #[test]
    fn roles_past_the_bound_are_counted_together() {
        let many = (0..NAMES_MAX + 9).map(|n| caller(Some("ada"), None, &[&format!("r{n}")])).collect();
        let census = Census::of(&vec![("chat".into(), many)]);
        assert_eq!(census.by_role().count(), NAMES_MAX + 1);
        assert!(census.by_role().any(|counted| counted == (OTHERS, 9)));
    }
}
