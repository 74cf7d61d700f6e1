//! Routes that count a user's connections together: a group that would count nothing, or something else than it says, is
//! refused.

use super::Checking;
use crate::policy::checked::Route;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

impl Checking<'_> {
    /// Whether every `connections_per_user_group` counts what it says.
    pub(super) fn user_groups(&mut self, at: &KeyPath, routes: &[Route]) -> bool {
        let mut right = true;
        for (position, route) in routes.iter().enumerate() {
            let Some(group) = route.connections_per_user_group.as_deref() else { continue };
            let at = at.index(position).key("connections_per_user_group");
            let members = routes.iter().filter(|other| other.connections_per_user_group.as_deref() == Some(group));
            let (message, help) = if group.is_empty() {
                ("the group has no name".to_owned(), "name it, or drop the key")
            } else if route.connections_per_user_max.is_none() {
                let message = format!("`connections_per_user_max` is off, so `{}` counts nothing here", clip(group));
                (message, "set `connections_per_user_max`, or drop the group")
            } else if routes.iter().any(|other| other.name == group) {
                // Counts are kept by name.
                (format!("`{}` is the name of a route", clip(group)), "give the group a name of its own")
            } else if members.count() < 2 {
                (
                    format!("no other route is of the group `{}`", clip(group)),
                    "give it to every route that counts with this one",
                )
            } else {
                continue;
            };
            self.fault(&at, message, help);
            right = false;
        }
        right
    }
}
