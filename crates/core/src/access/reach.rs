//! On which resources a caller has a permission, worked out once so that a message costs a comparison.

use super::Pattern;
use super::role::Standing;

/// The resources of one permission that a caller may use. Empty unless a rule grants some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    any: bool,
    only: Box<[Box<str>]>,
    never: Box<[Box<str>]>,
}

impl Reach {
    /// Whether the resource is among them; it is one only where [`names_resource`](super::names_resource) says so.
    #[must_use]
    pub fn holds(&self, resource: &[u8]) -> bool {
        let among = |names: &[Box<str>]| names.iter().any(|name| name.as_bytes() == resource);
        (self.any || among(&self.only)) && !among(&self.never)
    }

    /// The resources by name, where it is these and no others.
    #[must_use]
    pub fn only(&self) -> &[Box<str>] {
        &self.only
    }

    /// The resources by name that are left out.
    #[must_use]
    pub fn never(&self) -> &[Box<str>] {
        &self.never
    }
}

impl Standing<'_> {
    /// Where the caller has the permission.
    #[must_use]
    pub fn reach(&self, path: &str) -> Reach {
        let mut never = Vec::new();
        for rule in self.denials() {
            match rule {
                Pattern::OneResource(own, one) if **own == *path => never.push(one.clone()),
                other if other.forbids(path, Some("")) => return Reach::default(),
                _ => {}
            }
        }
        let mut only = Vec::new();
        for rule in self.grants() {
            match rule {
                Pattern::OneResource(own, one) if **own == *path && !never.contains(one) => only.push(one.clone()),
                other if other.covers(path, Some("")) => {
                    return Reach { any: true, only: Box::new([]), never: never.into() };
                }
                _ => {}
            }
        }
        Reach { any: false, only: only.into(), never: Box::new([]) }
    }
}
