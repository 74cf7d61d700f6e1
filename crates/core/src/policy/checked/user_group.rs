//! What a user's connections are counted under.

use super::Route;

impl Route {
    /// What may be said by clients, or to them.
    #[must_use]
    pub fn messages(&self, inbound: bool) -> &super::Messages {
        if inbound { &self.inbound } else { &self.outbound }
    }

    /// The group that the route counts a user's connections with, or itself. A policy has no group of a route's name.
    #[must_use]
    pub fn counted_as(&self) -> &str {
        self.connections_per_user_group.as_deref().unwrap_or(&self.name)
    }
}
