//! What is asked about a route: who may connect, from which pages, over what, and which of two routes wins.

use super::Review;
use super::codes::*;
use crate::access::{Need, Resource};
use crate::policy::check::is_loopback_url;
use crate::policy::checked::{Authenticate, Checked, CredentialPlace, OnRefuse, OriginRule, Route};
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

impl Review<'_> {
    pub(super) fn route(&mut self, at: &KeyPath, route: &Route, checked: &Checked) {
        let name = clip(&route.name);
        if route.authenticate != Authenticate::Required && (self.strict || self.public) {
            let message = format!("the route `{name}` lets anonymous callers in");
            let path = if self.tree.at(&at.key("authenticate")).is_some() {
                at.key("authenticate")
            } else {
                KeyPath::parse("identity.authenticate")
            };
            self.warn(AUTH_OFF, &path, message, "write `authenticate: required` unless everyone may connect");
        }
        for (position, rule) in route.origins.iter().flat_map(|origins| origins.allow.iter().enumerate()) {
            if *rule == OriginRule::Any {
                let path = at.key("origins").key("allow").index(position);
                let message = "any web page may open a connection in its visitor's name";
                self.warn(WILDCARD_ORIGIN, &path, message, "list the origins of your own pages");
            }
        }
        let pins = route.upstreams.iter().find_map(|upstream| Some(upstream.trust.as_ref()?.pins.len()));
        if pins == Some(1) {
            let path = at.key("upstream_tls").key("pins");
            let message = "the day that key is replaced nobody reaches the backend";
            self.warn(LONE_PIN, &path, message, "pin the next key too, before the backend has it");
        }
        if self.strict && route.errors.detailed {
            let message = "clients are told how they were refused, which helps to get past";
            self.warn(
                DETAILED_ERRORS,
                &at.key("errors").key("detailed"),
                message,
                "turn `detailed` off; the audit has the rest",
            );
        }
        let places = route.credentials.as_ref().unwrap_or(&checked.identity.credentials);
        let places_at =
            if route.credentials.is_some() { at.key("credentials") } else { KeyPath::parse("identity.credentials") };
        let by_operator = self.tree.at(&places_at).is_some_and(|node| self.layered.texts.is_operators(node.place.text));
        if self.strict && by_operator && places.contains(&CredentialPlace::Query) {
            let message = "a token in a URL stays in histories and in the logs of every proxy (CWE-598)";
            self.warn(TOKEN_IN_URL, &places_at, message, "use `header`, `cookie` or `subprotocol` where clients can");
        }
        if route.compression.enabled && route.compression.context_takeover {
            let message = "the compression window lives on from message to message: secrets beside chosen text can be guessed (CRIME)";
            self.warn(CRIME, &at.key("compression").key("context_takeover"), message, "turn `context_takeover` off");
        }
        if let Some(authorizer) = &route.authorizer
            && authorizer.url.starts_with("http:")
            && !is_loopback_url(&authorizer.url)
        {
            let message = "whoever stands on the way to the authorizer can answer in its place";
            self.warn(AUTHORIZER_OVER_HTTP, &at.key("authorizer").key("url"), message, "use `https://`");
        }
        if let Some(need) = &route.permission {
            self.ungranted(&at.key("permission"), need, checked);
        }
        if route.statistics.is_some() {
            // No message passes there.
            return;
        }
        if !route.checks {
            self.warn(
                CHECKS_OFF,
                &at.key("checks"),
                format!("messages of the route `{name}` are not inspected"),
                "turn `checks` on",
            );
            return;
        }
        for (name, messages) in [("inbound", &route.inbound), ("outbound", &route.outbound)] {
            if let Some(permissions) = &messages.access.permissions {
                let at = at.key(name);
                for (pattern, need) in &permissions.rules {
                    self.ungranted(&at.key("permissions").key(pattern), need, checked);
                }
                if let Some(need) = &permissions.untyped {
                    self.ungranted(&at.key("untyped_permission"), need, checked);
                }
            }
        }
        self.protection(at, route);
        self.messages(&at.key("inbound"), &route.inbound);
        self.messages(&at.key("outbound"), &route.outbound);
        self.per_user(at, route, checked);
    }

    /// A resource that is read from somewhere is the business of credentials; so is every permission where no role
    /// has any.
    fn ungranted(&mut self, path: &KeyPath, need: &Need, checked: &Checked) {
        let Need::Permission { path: permission, resource } = need else { return };
        let fixed = match resource {
            None => None,
            Some(Resource::Fixed(one)) => Some(&**one),
            Some(_) => return,
        };
        if checked.access.grants_anything() && !checked.access.grants(permission, fixed) {
            let message = format!("no role has the permission `{}`", clip(&need.to_string()));
            self.warn(UNGRANTED, path, message, "allow it in `access.roles`, unless tokens carry it themselves");
        }
    }

    fn protection(&mut self, at: &KeyPath, route: &Route) {
        if !self.strict {
            return;
        }
        let name = clip(&route.name);
        let path = at.key("inbound").key("threats");
        let advice = "write `threats: {mode: block}`; single classes and fields can be left out";
        match &route.inbound.threats {
            None => {
                self.warn(THREATS_OFF, &path, format!("attacks in messages to `{name}` are not looked for"), advice)
            }
            Some(threats) if threats.classes.values().all(|outcome| *outcome == OnRefuse::Observe) => {
                self.warn(
                    THREATS_OFF,
                    &path,
                    format!("attacks in messages to `{name}` are noted and passed on"),
                    advice,
                );
            }
            Some(_) => {}
        }
        if route.inbound.limits.is_empty() {
            let message = format!("a client of `{name}` may send as many messages as it can");
            self.warn(
                NO_LIMIT,
                &at.key("inbound").key("limits"),
                message,
                "add one: `limits: [{per: connection, rate: 100/s}]`",
            );
        }
    }

    fn per_user(&mut self, at: &KeyPath, route: &Route, checked: &Checked) {
        let total = u32::try_from(checked.listen.connections_max).unwrap_or(u32::MAX);
        if let Some(per_user) = route.connections_per_user_max
            && per_user > total
        {
            let message =
                format!("`{per_user}` connections of one user can never be reached: there are at most {total} in all");
            self.warn(
                UNREACHABLE_LIMIT,
                &at.key("connections_per_user_max"),
                message,
                "lower it below `listen.connections_max`",
            );
        }
    }

    /// Two routes that match a path in common, and neither is the more specific: which one wins is a rule that
    /// nobody remembers.
    pub(super) fn route_order(&mut self, routes: &[Route]) {
        for (position, route) in routes.iter().enumerate() {
            for earlier in routes.iter().take(position) {
                let Some(example) = ambiguous(&earlier.path, &route.path) else { continue };
                let message = format!(
                    "`{}` matches both `{}` and `{}`, and neither is more specific",
                    clip(&example),
                    clip(&earlier.path),
                    clip(&route.path)
                );
                let path = KeyPath::parse("routes").index(position).key("path");
                self.warn(AMBIGUOUS_ROUTES, &path, message, "change one of the paths so that only one can match");
            }
        }
    }
}

/// A path that two templates match where each has a literal in the place of the other's parameter.
fn ambiguous(one: &str, other: &str) -> Option<String> {
    let (a, b): (Vec<&str>, Vec<&str>) = (one.split('/').collect(), other.split('/').collect());
    if a.len() != b.len() {
        return None;
    }
    let is_parameter = |segment: &str| segment.starts_with('{');
    let mut example = Vec::new();
    let (mut a_wins, mut b_wins) = (false, false);
    for (x, y) in a.iter().zip(&b) {
        match (is_parameter(x), is_parameter(y)) {
            (false, false) if x != y => return None,
            (false, true) => a_wins = true,
            (true, false) => b_wins = true,
            _ => {}
        }
        let shown = if is_parameter(x) { y } else { x };
        example.push(if is_parameter(shown) { "x" } else { shown });
    }
    (a_wins && b_wins).then(|| example.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_templates_are_ambiguous_when_each_is_literal_where_the_other_is_not() {
        for (one, other, example) in [
            ("/a/{x}", "/{y}/b", Some("/a/b")),
            ("/a/{x}/{z}", "/{y}/b/{z}", Some("/a/b/x")),
            ("/a/{x}", "/a/b", None),
            ("/a/{x}", "/b/{y}", None),
            ("/{*rest}", "/a/b", None),
        ] {
            assert_eq!(ambiguous(one, other).as_deref(), example, "{one} {other}");
        }
    }
}
