//! Roles, each with everything it inherits worked out once, and what they mean for one caller.

use super::pattern::Pattern;

/// A role as the operator wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleSpec {
    /// Its name, as credentials carry it.
    pub name: String,
    /// Roles whose grants and denials it has too.
    pub inherits: Vec<String>,
    /// What it may.
    pub allow: Vec<Pattern>,
    /// What it may not, whoever else grants it.
    pub deny: Vec<Pattern>,
    /// Its bearers must have passed a second factor.
    pub mfa: bool,
}

/// Why roles cannot be compiled: the operator's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// A role inherits one that is not there.
    #[error("`{role}` inherits `{inherits}`, which is no role")]
    Unknown {
        /// The role's place in the list.
        position: usize,
        /// The role.
        role: String,
        /// The place in its `inherits`.
        item: usize,
        /// What it names.
        inherits: String,
    },
    /// A role inherits itself.
    #[error("`{role}` inherits itself: {}", way.join(" → "))]
    Cycle {
        /// The role's place in the list.
        position: usize,
        /// The role.
        role: String,
        /// From the role back to it.
        way: Vec<String>,
    },
}

/// Every role, compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles {
    list: Vec<Role>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Role {
    name: Box<str>,
    /// Places in the list of this role and of all that it inherits, nearest first.
    holds: Box<[usize]>,
    allow: Box<[Pattern]>,
    deny: Box<[Pattern]>,
    mfa: bool,
}

impl Roles {
    /// Works out what each role inherits.
    ///
    /// # Errors
    /// Every [`RoleError`]; one for each cycle.
    pub fn compile(specs: Vec<RoleSpec>) -> Result<Self, Vec<RoleError>> {
        let mut errors = Vec::new();
        let parents: Vec<Vec<usize>> =
            (0..specs.len()).map(|position| parents(&specs, position, &mut errors)).collect();
        let mut told: Vec<usize> = Vec::new();
        let mut closures = Vec::new();
        for position in 0..specs.len() {
            let reached = reach(&parents, position);
            if let Some(way) = reached.way_back
                && !way.iter().any(|member| told.contains(member))
            {
                told.extend(&way);
                let named = |at: &usize| specs.get(*at).map(|spec| spec.name.clone()).unwrap_or_default();
                let way = way.iter().map(named).collect();
                errors.push(RoleError::Cycle { position, role: named(&position), way });
            }
            closures.push(reached.holds);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let compiled = specs.into_iter().zip(closures).map(|(spec, holds)| Role {
            name: spec.name.into(),
            holds: holds.into(),
            allow: spec.allow.into(),
            deny: spec.deny.into(),
            mfa: spec.mfa,
        });
        Ok(Self { list: compiled.collect() })
    }

    /// The names of all roles, those that inherit least first.
    #[must_use]
    pub fn ladder(&self) -> Vec<&str> {
        let mut roles: Vec<&Role> = self.list.iter().collect();
        roles.sort_by(|one, other| (one.holds.len(), &one.name).cmp(&(other.holds.len(), &other.name)));
        roles.into_iter().map(|role| &*role.name).collect()
    }

    /// Whether any role is allowed anything; where none is, permissions come from credentials alone.
    #[must_use]
    pub fn grants_anything(&self) -> bool {
        self.list.iter().any(|role| !role.allow.is_empty())
    }

    /// Whether any role is allowed the permission, denials aside.
    #[must_use]
    pub fn grants(&self, path: &str, resource: Option<&str>) -> bool {
        self.list.iter().flat_map(|role| &role.allow).any(|pattern| pattern.covers(path, resource))
    }

    /// What a caller's roles and own permissions amount to. A name that is no role, and a permission that is none,
    /// grant nothing.
    #[must_use]
    pub fn standing<'r>(&'r self, roles: &'r [Box<str>], permissions: &[Box<str>]) -> Standing<'r> {
        let mut held: Vec<&Role> = Vec::new();
        for name in roles {
            let Some(role) = self.list.iter().find(|role| role.name == *name) else { continue };
            for inherited in role.holds.iter().filter_map(|at| self.list.get(*at)) {
                if !held.iter().any(|known| known.name == inherited.name) {
                    held.push(inherited);
                }
            }
        }
        let own = permissions.iter().filter_map(|text| Pattern::parse(text).ok()).collect();
        Standing { named: roles, held, own }
    }
}

fn parents(specs: &[RoleSpec], position: usize, errors: &mut Vec<RoleError>) -> Vec<usize> {
    let Some(spec) = specs.get(position) else { return Vec::new() };
    let mut found = Vec::new();
    for (item, inherits) in spec.inherits.iter().enumerate() {
        match specs.iter().position(|other| other.name == *inherits) {
            Some(at) => found.push(at),
            None => {
                let (role, inherits) = (spec.name.clone(), inherits.clone());
                errors.push(RoleError::Unknown { position, role, item, inherits });
            }
        }
    }
    found
}

struct Reached {
    holds: Vec<usize>,
    way_back: Option<Vec<usize>>,
}

/// Everything a role inherits, nearest first, and the way back to itself if there is one.
fn reach(parents: &[Vec<usize>], start: usize) -> Reached {
    let mut holds = vec![start];
    // Each role's place in `holds` of the one that led to it.
    let mut came_from = vec![0_usize];
    let mut way_back = None;
    let mut next = 0;
    while let Some(&at) = holds.get(next) {
        for &parent in parents.get(at).map(Vec::as_slice).unwrap_or_default() {
            if parent == start && way_back.is_none() {
                let mut way = vec![start];
                let mut step = next;
                while step != 0 {
                    way.extend(holds.get(step));
                    step = came_from.get(step).copied().unwrap_or(0);
                }
                way.push(start);
                way.reverse();
                way_back = Some(way);
            } else if !holds.contains(&parent) {
                holds.push(parent);
                came_from.push(next);
            }
        }
        next += 1;
    }
    Reached { holds, way_back }
}

/// One caller's roles and permissions.
#[derive(Debug)]
pub struct Standing<'r> {
    named: &'r [Box<str>],
    held: Vec<&'r Role>,
    own: Vec<Pattern>,
}

/// The answer for one permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling<'s> {
    /// A role denies it.
    Denied {
        /// The role that says so, inherited or not.
        role: &'s str,
        /// Its rule.
        rule: &'s Pattern,
    },
    /// It is granted and nothing denies it.
    Allowed {
        /// The role that grants it; `None` where the credential does itself.
        role: Option<&'s str>,
        /// The rule.
        rule: &'s Pattern,
    },
    /// Nothing grants it.
    Ungranted,
}

impl Ruling<'_> {
    /// Whether the caller may.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}

impl<'r> Standing<'r> {
    /// Whether the caller has the role, by name or because one of its roles inherits it.
    #[must_use]
    pub fn has_role(&self, name: &str) -> bool {
        self.named.iter().any(|held| **held == *name) || self.held.iter().any(|role| *role.name == *name)
    }

    /// Whether one of the caller's roles, inherited or not, demands a second factor.
    #[must_use]
    pub fn demands_mfa(&self) -> bool {
        self.held.iter().any(|role| role.mfa)
    }

    /// May the caller?
    #[must_use]
    pub fn rule(&self, path: &str, resource: Option<&str>) -> Ruling<'_> {
        for role in &self.held {
            if let Some(rule) = role.deny.iter().find(|rule| rule.forbids(path, resource)) {
                return Ruling::Denied { role: &role.name, rule };
            }
        }
        for role in &self.held {
            if let Some(rule) = role.allow.iter().find(|rule| rule.covers(path, resource)) {
                return Ruling::Allowed { role: Some(&role.name), rule };
            }
        }
        match self.own.iter().find(|rule| rule.covers(path, resource)) {
            Some(rule) => Ruling::Allowed { role: None, rule },
            None => Ruling::Ungranted,
        }
    }

    /// Every rule that grants something.
    pub(super) fn grants(&self) -> impl Iterator<Item = &Pattern> {
        self.held.iter().flat_map(|role| &role.allow).chain(&self.own)
    }

    /// Every rule that denies something.
    pub(super) fn denials(&self) -> impl Iterator<Item = &Pattern> {
        self.held.iter().flat_map(|role| &role.deny)
    }
}
