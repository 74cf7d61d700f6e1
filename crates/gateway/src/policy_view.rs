//! The policy in force as JSON for operators: no secret, no key material.

use portcullis_core::policy::Policy;
use portcullis_core::policy::checked::{Messages, Route};
use serde_json::{Value, json};

/// See the module.
pub(crate) fn json(policy: &Policy) -> Value {
    let spec = &policy.checked;
    json!({
        "environment": spec.environment,
        "listen": {
            "address": spec.listen.address,
            "tls": spec.listen.tls.is_some(),
            "tls_terminated_by_proxy": spec.listen.tls_terminated_by_proxy,
            "trusted_proxies": spec.listen.trusted_proxies,
            "connections_max": spec.listen.connections_max,
        },
        "identity": {
            "keys": spec.identity.keys.iter().map(|key| json!({ "id": key.id, "algorithm": key.algorithm })).collect::<Vec<_>>(),
            "jwks": spec.identity.jwks.iter().filter(|source| source.provider.is_none()).count(),
            "providers": spec.identity.jwks.iter().filter_map(|source| Some(&source.provider.as_ref()?.issuer)).collect::<Vec<_>>(),
            "introspection": spec.identity.introspection.as_ref().map(|one| &one.url),
            "sessions": spec.identity.sessions.as_ref().map(|sessions| json!({
                "path": sessions.path,
                "idle_timeout_s": sessions.idle_timeout.as_secs(),
                "lifetime_s": sessions.lifetime.as_secs(),
                "rate_per_user": sessions.rate_per_user.map(|rate| format!("{} in {} s", rate.count, rate.per.as_secs())),
                "max_per_user": sessions.max_per_user,
                "when_full": sessions.when_full,
            })),
            "issuers": spec.identity.issuers,
            "audiences": spec.identity.audiences,
        },
        "shared_state": spec.shared_state.as_ref().map(|shared| &shared.shown),
        "audit": { "enabled": spec.audit.enabled, "retention_s": spec.audit.retention.as_secs() },
        "routes": spec.routes.iter().map(route).collect::<Vec<_>>(),
    })
}

fn route(route: &Route) -> Value {
    json!({
        "name": route.name,
        "path": route.path,
        "upstreams": route.upstreams.iter().map(|upstream| format!("{}:{}", upstream.host, upstream.port)).collect::<Vec<_>>(),
        "statistics": route.statistics.is_some(),
        "health": route.health.as_ref().map(|health| json!({ "check": health.check, "interval_ms": u64::try_from(health.interval.as_millis()).unwrap_or(u64::MAX) })),
        "authenticate": route.authenticate,
        "roles": route.roles,
        "permission": route.permission.as_ref().map(ToString::to_string),
        "tenant": route.tenant,
        "mfa": route.mfa,
        "authorizer": route.authorizer.as_ref().map(|one| &one.url),
        "refuse_with": route.refuse_with,
        "http": route.http,
        "checks": route.checks,
        "inbound": direction(&route.inbound),
        "outbound": direction(&route.outbound),
    })
}

fn direction(messages: &Messages) -> Value {
    json!({
        "bytes_max": messages.bytes_max,
        "on_refuse": messages.on_refuse,
        "callbacks": messages.callbacks.iter().map(|callback| &callback.url).collect::<Vec<_>>(),
    })
}
