//! `routes[]`: path templates, backends, times, compression, error replies.

use std::collections::BTreeMap;

use super::Checking;
use crate::notice::Notices;
use crate::policy::checked::{BoundClaim, Compression, ErrorReplies, PlainHttp, RefuseWith, Route, Times};
use crate::policy::human::{OrOff, Span};
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

/// Most routes.
const ROUTES_MAX: usize = 1000;
/// Bytes that may wait for a slow reader.
const QUEUE_BYTES: std::ops::RangeInclusive<u64> = 4 << 10..=64 << 20;
const QUEUE_BYTES_DEFAULT: u64 = 256 << 10;
/// Deflate reaches 1032 at most (RFC 1951); a larger number looks at nothing.
const RATIO: std::ops::RangeInclusive<u32> = 2..=1_000_000;
/// Longest error template, bytes; each refusal sends one.
const TEMPLATE_BYTES_MAX: usize = 4096;
/// What a template may hold.
const PLACEHOLDERS: [&str; 4] = ["message", "code", "reference", "retry_after_ms"];

impl Checking<'_> {
    pub(super) fn routes(&mut self, document: &raw::Document) -> Option<Vec<Route>> {
        let at = KeyPath::parse("routes");
        if document.upstream.is_some() && document.routes.is_some() {
            let help = "write the backend as `upstream` of a route, or drop `routes`";
            self.fault(&KeyPath::parse("upstream"), "`upstream` at the top and `routes` exclude each other", help);
            return None;
        }
        let raw = document.routes.as_deref().unwrap_or_default();
        if raw.is_empty() && document.upstream.is_none() && !self.incomplete {
            let help = "write `upstream: ws://127.0.0.1:3000`, give `--upstream URL`, or list `routes`";
            self.fault(&at, "there is no route, so nothing could pass", help);
            return None;
        }
        if raw.len() > ROUTES_MAX {
            self.fault(&at, format!("there are {} routes", raw.len()), format!("keep at most {ROUTES_MAX}"));
            return None;
        }
        let authenticate = document.identity.as_ref().and_then(|identity| identity.authenticate);
        let routes = self.each(&at, raw, |checking, at, route| checking.route(at, route, authenticate))?;
        for (position, route) in routes.iter().enumerate() {
            for earlier in routes.iter().take(position) {
                if earlier.name == route.name {
                    let message = format!("two routes are named `{}`", clip(&route.name));
                    self.fault(&at.index(position).key("name"), message, "give each its own `name`");
                } else if shape(&earlier.path) == shape(&route.path) {
                    let message =
                        format!("`{}` matches the same paths as `{}`", clip(&route.path), clip(&earlier.path));
                    self.fault(&at.index(position).key("path"), message, "remove one of the two routes");
                }
            }
        }
        (self.user_groups(&at, &routes) & self.statistics_of(&at, &routes)).then_some(routes)
    }

    fn route(
        &mut self,
        at: &KeyPath,
        raw: &raw::Route,
        authenticate: Option<crate::policy::checked::Authenticate>,
    ) -> Option<Route> {
        let path = self.path(&at.key("path"), raw.path.as_ref());
        let upstreams = match raw.statistics {
            Some(_) => Some(Vec::new()),
            None => self.trusted_upstreams(at, raw),
        };
        let statistics = self.statistics(at, raw);
        let balance = path.as_deref().and_then(|path| {
            let parameters = template(path).unwrap_or_default();
            self.balance(&at.key("balance"), raw.balance.as_ref(), &parameters)
        });
        let health = raw.health.as_ref().map(|health| self.health(&at.key("health"), health));
        let bind = path.as_deref().and_then(|path| self.bind(&at.key("bind"), raw.bind.as_ref(), path));
        let permission = path.as_deref().and_then(|path| {
            let parameters = template(path).unwrap_or_default();
            self.route_permission(&at.key("permission"), raw.permission.as_ref(), &parameters)
        });
        let origins = self.origins(&at.key("origins"), raw.origins.as_ref());
        let times = self.times(&at.key("times"), raw.times.as_ref());
        let notices = self.notices(&at.key("notices"), raw.notices.as_ref());
        let compression = self.compression(&at.key("compression"), raw.compression.as_ref());
        let contract = self.contract(at, raw);
        let (said_in, said_out) = match contract.as_deref() {
            Some(contract) => (Some(&contract.inbound), Some(&contract.outbound)),
            None => (None, None),
        };
        let inbound = self.messages(&at.key("inbound"), raw.inbound.as_ref(), said_in);
        let outbound = self.messages(&at.key("outbound"), raw.outbound.as_ref(), said_out);
        let checks = raw.checks.is_none_or(|checks| checks.0);
        for (name, messages) in [("inbound", &inbound), ("outbound", &outbound)] {
            let rules = |m: &crate::policy::checked::Messages| {
                !m.access.is_empty() || m.subscriptions.is_some() || !m.subscribed.is_empty()
            };
            if !checks && messages.as_ref().is_some_and(rules) {
                let message = format!("`checks` is off, so nobody would see who may say what in `{name}`");
                self.fault(&at.key("checks"), message, format!("turn it on, or take the rules out of `{name}`"));
            }
        }
        if let (Some(inbound), Some(outbound)) = (&inbound, &outbound) {
            self.both_ways(at, inbound, outbound);
        }
        let errors = self.error_replies(&at.key("errors"), raw.errors.as_ref());
        let per_user = match raw.connections_per_user_max.and_then(OrOff::value) {
            Some(number) => self.within(&at.key("connections_per_user_max"), number, 1..=1_000_000).map(Some),
            None => Some(None),
        };
        let queue = raw.queue_bytes_max.map_or(QUEUE_BYTES_DEFAULT, |bytes| bytes.0);
        let queue = self.within(&at.key("queue_bytes_max"), queue, QUEUE_BYTES);
        let authorizer = raw.authorizer.as_ref().map(|one| self.authorizer(&at.key("authorizer"), one));
        let authenticate = self.need(&at.key("authenticate"), raw.authenticate.or(authenticate), "write `required`");
        let tenant = self.route_tenant(&at.key("tenant"), raw.tenant.as_ref(), authenticate);
        let path = path?;
        Some(Route {
            name: raw.name.clone().unwrap_or_else(|| name_of(&path)),
            path,
            upstreams: upstreams?,
            statistics: if raw.statistics.is_some() { Some(statistics?) } else { None },
            balance: balance?,
            health: health.map_or(Some(None), |health| health.map(Some))?,
            forwarded_headers: raw.forwarded_headers.unwrap_or_default(),
            authenticate: authenticate?,
            credentials: raw.credentials.clone(),
            bind: bind?,
            roles: raw.roles.clone().unwrap_or_default(),
            permission: permission?,
            mfa: raw.mfa.is_some_and(|mfa| mfa.0),
            tenant: tenant?,
            authorizer: authorizer.map_or(Some(None), |one| one.map(Some))?,
            refuse_with: raw.refuse_with.unwrap_or(RefuseWith::Status),
            http: if raw.statistics.is_some() { PlainHttp::Pass } else { raw.http.unwrap_or(PlainHttp::Block) },
            connections_per_user_max: per_user?,
            connections_per_user_group: raw.connections_per_user_group.clone(),
            origins: Some(origins?),
            subprotocols: raw.subprotocols.clone(),
            times: times?,
            notices: notices?,
            compression: compression?,
            checks,
            inbound: inbound?,
            outbound: outbound?,
            errors: errors?,
            queue_bytes_max: usize::try_from(queue?).ok()?,
        })
    }

    fn path(&mut self, at: &KeyPath, written: Option<&String>) -> Option<String> {
        let path = self.need(at, written, "write the path template, as `path: /ws/{user_id}`")?;
        match template(path) {
            Ok(_) => Some(path.clone()),
            Err(why) => {
                let message = format!("`{}` is not a path template: {why}", clip(path));
                self.fault(at, message, "write `/ws`, `/ws/{user_id}` or `/files/{*rest}`");
                None
            }
        }
    }

    fn bind(
        &mut self,
        at: &KeyPath,
        raw: Option<&BTreeMap<String, raw::BoundClaim>>,
        path: &str,
    ) -> Option<BTreeMap<String, BoundClaim>> {
        let parameters = template(path).unwrap_or_default();
        let mut bind = BTreeMap::new();
        for (parameter, claim) in raw.into_iter().flatten() {
            if !parameters.contains(&parameter.as_str()) {
                let message = format!("the path has no parameter `{}`", clip(parameter));
                let help = match crate::policy::nearest::nearest(parameter, parameters.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("put `{{{}}}` into the path", clip(parameter)),
                };
                self.fault(&at.key(parameter), message, help);
                return None;
            }
            let claim = match claim {
                raw::BoundClaim::Subject => BoundClaim::Subject,
                raw::BoundClaim::Tenant => BoundClaim::Tenant,
                raw::BoundClaim::Session => BoundClaim::Session,
            };
            bind.insert(parameter.clone(), claim);
        }
        Some(bind)
    }

    pub(super) fn times(&mut self, at: &KeyPath, raw: Option<&raw::Times>) -> Option<Times> {
        let raw = self.need(at, raw, "write the section")?;
        let upstream_connect = self.positive(at, "upstream_connect", raw.upstream_connect);
        let ping_interval = self.optional_time(&at.key("ping_interval"), raw.ping_interval);
        let dead_after = self.optional_time(&at.key("dead_after"), raw.dead_after);
        let idle = self.optional_time(&at.key("idle"), raw.idle);
        let lifetime = self.optional_time(&at.key("lifetime"), raw.lifetime);
        let write = self.positive(at, "write", raw.write);
        let close = self.positive(at, "close", raw.close);
        if let (Some(Some(ping)), Some(Some(dead))) = (ping_interval, dead_after)
            && dead <= ping
        {
            let help = "make it longer than `ping_interval`, best three times as long";
            self.fault(&at.key("dead_after"), "a side would be dead before its first ping", help);
        }
        Some(Times {
            upstream_connect: upstream_connect?,
            ping_interval: ping_interval?,
            dead_after: dead_after?,
            idle: idle?,
            lifetime: lifetime?,
            write: write?,
            close: close?,
        })
    }

    #[expect(clippy::option_option, reason = "the outer says whether it is right, the inner whether it is on")]
    fn optional_time(&mut self, at: &KeyPath, raw: Option<OrOff<Span>>) -> Option<Option<std::time::Duration>> {
        match raw.and_then(OrOff::value) {
            Some(span) => self.more_than_zero(at, span).map(Some),
            None => Some(None),
        }
    }

    fn notices(&mut self, at: &KeyPath, raw: Option<&raw::Notices>) -> Option<Notices> {
        let raw = self.need(at, raw, "write the section")?;
        let connected = self.set(at, "connected", raw.connected);
        let expiry_warning = self.optional_time(&at.key("expiry_warning"), raw.expiry_warning);
        let refresh = self.set(at, "refresh", raw.refresh);
        Some(Notices { connected: connected?.0, expiry_warning: expiry_warning?, refresh: refresh?.0 })
    }

    fn compression(&mut self, at: &KeyPath, raw: Option<&raw::Compression>) -> Option<Compression> {
        let raw = self.need(at, raw, "write the section")?;
        let enabled = self.set(at, "enabled", raw.enabled);
        let context_takeover = self.set(at, "context_takeover", raw.context_takeover);
        let ratio_max = self.bounded(at, "ratio_max", raw.ratio_max, RATIO);
        Some(Compression { enabled: enabled?.0, context_takeover: context_takeover?.0, ratio_max: ratio_max? })
    }

    fn error_replies(&mut self, at: &KeyPath, raw: Option<&raw::ErrorReplies>) -> Option<ErrorReplies> {
        let raw = self.need(at, raw, "write the section")?;
        let detailed = self.set(at, "detailed", raw.detailed);
        let template = self.set(at, "template", raw.template.as_ref());
        if let Some(Err(why)) = template.map(|template| reply_template(template)) {
            let help = "write JSON with `{message}`, `{code}`, `{reference}`, `{retry_after_ms}`, as `{\"type\":\"error\",\"message\":\"{message}\"}`";
            self.fault(&at.key("template"), why, help);
            return None;
        }
        Some(ErrorReplies { detailed: detailed?.0, template: template?.clone() })
    }
}

/// The parameters of a path template, or in words why it is none.
fn template(path: &str) -> Result<Vec<&str>, &'static str> {
    let segments = path.strip_prefix('/').ok_or("it does not begin with `/`")?;
    if path.contains(['?', '#', ' ', '\\', '%']) || path.chars().any(char::is_control) {
        return Err("a query, a space, a backslash or an escape has no place in it");
    }
    let mut parameters: Vec<&str> = Vec::new();
    let mut segments = segments.split('/').peekable();
    while let Some(segment) = segments.next() {
        if matches!(segment, "." | "..") {
            return Err("`.` and `..` have no place in it");
        }
        let Some(inner) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            if segment.contains(['{', '}']) {
                return Err("a parameter takes a whole segment");
            }
            continue;
        };
        let name = inner.strip_prefix('*').unwrap_or(inner);
        if inner.starts_with('*') && segments.peek().is_some() {
            return Err("`{*…}` may stand at the end only");
        }
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err("a parameter's name has letters, digits and `_`");
        }
        if parameters.contains(&name) {
            return Err("a parameter stands twice in it");
        }
        parameters.push(name);
    }
    Ok(parameters)
}

/// A template without the names of its parameters: what it matches.
fn shape(path: &str) -> String {
    let shaped = path.split('/').map(|segment| match segment.strip_prefix('{') {
        Some(rest) if rest.starts_with('*') => "{*}",
        Some(_) => "{}",
        None => segment,
    });
    shaped.collect::<Vec<_>>().join("/")
}

/// `/ws/{user_id}` → `ws-user_id`.
fn name_of(path: &str) -> String {
    let words: Vec<&str> =
        path.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
    if words.is_empty() { "root".to_owned() } else { words.join("-") }
}

/// Whether a template is JSON once its placeholders are filled in.
fn reply_template(template: &str) -> Result<(), String> {
    if template.len() > TEMPLATE_BYTES_MAX {
        return Err(format!("the template is longer than {TEMPLATE_BYTES_MAX} bytes"));
    }
    let mut filled = template.to_owned();
    for name in PLACEHOLDERS {
        filled = filled.replace(&format!("{{{name}}}"), "0");
    }
    for (start, _) in filled.match_indices('{') {
        let rest = filled.get(start + 1..).unwrap_or_default();
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if !name.is_empty() && rest.get(name.len()..).is_some_and(|rest| rest.starts_with('}')) {
            return Err(format!("the template holds `{{{}}}`, which nothing fills in", clip(&name)));
        }
    }
    serde_json::from_str::<serde_json::Value>(&filled).map(|_| ()).map_err(|_| "the template is not JSON".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_templates_name_their_parameters() {
        for (path, parameters) in [
            ("/", Some(vec![])),
            ("/ws", Some(vec![])),
            ("/ws/{user_id}", Some(vec!["user_id"])),
            ("/ws/{a}/x/{b}", Some(vec!["a", "b"])),
            ("/{*rest}", Some(vec!["rest"])),
            ("ws", None),
            ("/ws/{a}/{a}", None),
            ("/ws/a{b}", None),
            ("/{*rest}/x", None),
            ("/ws/{}", None),
            ("/ws?x=1", None),
            ("/a/../b", None),
            ("/a%2fb", None),
        ] {
            assert_eq!(template(path).ok(), parameters, "{path}");
        }
    }

    #[test]
    fn a_reply_template_is_json_once_filled_in() {
        for (template, fits) in [
            (r#"{"message":"{message}"}"#, true),
            (r#"{"after":{retry_after_ms}}"#, true),
            (r#"["{code}","{reference}"]"#, true),
            (r#"{"message":"{mesage}"}"#, false),
            (r#"{"message":"#, false),
            ("plain {message}", false),
        ] {
            assert_eq!(reply_template(template).is_ok(), fits, "{template}");
        }
        assert!(reply_template(&format!("\"{}\"", "x".repeat(TEMPLATE_BYTES_MAX))).is_err());
    }
}
