//! Routes, and rules between sections.

use super::Case;

pub(super) const CASES: &[Case] = &[
    // routes
    (
        "upstream: ws://x\nroutes: [{ path: /, upstream: ws://y }]",
        "`upstream` at the top and `routes` exclude each other",
        "1:11",
        "upstream",
        "drop `routes`",
    ),
    ("routes: [{ upstream: ws://y }]", "`path` is missing", "1:10", "routes[0].path", "path template"),
    ("routes: [{ path: /a }]", "`upstream` is missing", "1:10", "routes[0].upstream", "ws://"),
    (
        "routes: [{ path: a, upstream: ws://y }]",
        "`a` is not a path template: it does not begin with `/`",
        "1:18",
        "routes[0].path",
        "`/ws/{user_id}`",
    ),
    (
        "routes: [{ path: '/{user_id}', upstream: ws://y, bind: { userid: subject } }]",
        "the path has no parameter `userid`",
        "1:66",
        "routes[0].bind.userid",
        "did you mean `user_id`?",
    ),
    (
        "routes:\n- { path: '/{a}', upstream: ws://y }\n- { path: '/{b}', name: z, upstream: ws://y }",
        "`/{b}` matches the same paths as `/{a}`",
        "3:11",
        "routes[1].path",
        "remove one",
    ),
    (
        "routes:\n- { path: /a, name: z, upstream: ws://y }\n- { path: /b, name: z, upstream: ws://y }",
        "two routes are named `z`",
        "3:21",
        "routes[1].name",
        "its own",
    ),
    (
        "upstream: ws://x\ntimes: { ping_interval: 30s, dead_after: 30s }",
        "a side would be dead before its first ping",
        "2:42",
        "times.dead_after",
        "three times",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { limits: [{ per: ip }] } }",
        "`rate` is missing",
        "2:33",
        "messages.inbound.limits[0].rate",
        "100/s",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { limits: [{ rate: 1/s }, { rate: 2/s }] } }",
        "two limits are named `connection`",
        "2:48",
        "messages.inbound.limits[1]",
        "`name`",
    ),
    // rules between sections
    (
        "upstream: ws://x\nenvironment: staging\norigins: { localhost: on }",
        "origins on localhost are for the development environment only",
        "3:23",
        "origins.localhost",
        "turn it off",
    ),
    (
        "upstream: ws://x\nenvironment: staging\nidentity: { development_bypass: me }",
        "the development bypass is set in staging",
        "3:33",
        "identity.development_bypass",
        "remove it",
    ),
    (
        "upstream: ws://x\nenvironment: development\nidentity: { development_bypass: me, authenticate: required }\nlisten: { address: '0.0.0.0:1' }",
        "the development bypass would let everyone in from other machines",
        "3:33",
        "identity.development_bypass",
        "127.0.0.1",
    ),
    (
        "upstream: ws://x\nadmin: { address: '0.0.0.0:1' }",
        "the admin listener 0.0.0.0:1 can be reached from other machines without a token",
        "2:19",
        "admin.address",
        "`admin.token_file`",
    ),
    (
        "upstream: ws://x\nenvironment: development\nlisten: { address: '0.0.0.0:1' }",
        "the route `default` would let anonymous callers in from other machines (0.0.0.0:1)",
        "3:20",
        "listen.address",
        "--set identity.authenticate=optional",
    ),
    (
        "upstream: ws://x\nidentity: { authenticate: off }\nlisten: { address: '0.0.0.0:1' }",
        "no environment is named, and other machines can reach 0.0.0.0:1",
        "3:20",
        "listen.address",
        "--preset production",
    ),
    (
        "upstream: ws://x\nlisten: { client_address: forwarded }",
        "the client's address is read from a proxy, but no proxy is trusted",
        "2:27",
        "listen.client_address",
        "trusted_proxies",
    ),
    (
        "upstream: ws://x\nenvironment: high-security\nidentity: { authenticate: off }\nlisten: { tls_terminated_by_proxy: on }",
        "the route `default` lets anonymous callers in, which high-security never does",
        "3:27",
        "identity.authenticate",
        "`authenticate: required`",
    ),
];
