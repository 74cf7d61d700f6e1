//! Every fault is told with its place and what to do.

use super::{PRODUCTION, load_furnished};

/// Text → message, `line:column` (empty where nothing was written), key, a part of the help.
const CASES: &[(&str, &str, &str, &str, &str)] = &[
    // the text
    ("a: [", "this is not YAML: unclosed bracket '['", "1:4", "", "indentation"),
    ("a: 1\na: 2", "the key `a` is written twice in the same map", "2:1", "", "remove one"),
    ("upstream: ws://x\n---\nupstream: ws://y", "there is more than one YAML document", "3:1", "", "second `---`"),
    ("- a", "expected a map of keys, found a list", "1:1", "", "`key: value`"),
    ("", "there is no route, so nothing could pass", "1:1", "routes", "--upstream URL"),
    // keys and kinds
    ("upstream: ws://x\nlistn: {}", "unknown key `listn` at the top", "2:1", "listn", "did you mean `listen`?"),
    (
        "upstream: ws://x\nlisten: { zzzzzz: 1 }",
        "unknown key `zzzzzz` in `listen`",
        "2:11",
        "listen.zzzzzz",
        "`address`, `workers`",
    ),
    ("upstream: [ws://x]", "expected text, found a list", "1:11", "upstream", "write text"),
    (
        "upstream: ws://x\nidentity: { issuers: [5] }",
        "expected text, found a number",
        "2:23",
        "identity.issuers[0]",
        "quotes",
    ),
    (
        "upstream: ws://x\nidentity: { issuers: a }",
        "expected a list, found text",
        "2:22",
        "identity.issuers",
        "`[a, b]`",
    ),
    ("upstream: ws://x\nlisten: 5", "expected a map, found a number", "2:9", "listen", "indented"),
    (
        "upstream: ws://x\nlisten: { headers_max: many }",
        "expected a whole number, found text",
        "2:24",
        "listen.headers_max",
        "whole number",
    ),
    (
        "upstream: ws://x\nlisten: { ipv6_prefix: 256 }",
        "the number is too small or too large",
        "2:24",
        "listen.ipv6_prefix",
        "0 to 255",
    ),
    (
        "upstream: ws://x\nidentity: { authenticate: requierd }",
        "`requierd` is not known here",
        "2:27",
        "identity.authenticate",
        "did you mean `required`?",
    ),
    (
        "upstream: ws://x\nsources: { connections_per_ip_max: few }",
        "expected a whole number from 0 to 4294967295, found text",
        "2:36",
        "sources.connections_per_ip_max",
        "whole number",
    ),
    // values
    ("upstream: ws://x\naudit: { retention: 90 }", "`90` is not a duration", "2:21", "audit.retention", "`90d`"),
    ("upstream: ws://x\naudit: { retention: 0s }", "the duration is zero", "2:21", "audit.retention", "longer"),
    (
        "upstream: ws://x\nmessages: { inbound: { bytes_max: 1mb } }",
        "`1mb` is not a size",
        "2:35",
        "messages.inbound.bytes_max",
        "`1MiB`",
    ),
    (
        "upstream: ws://x\nsources: { connection_rate: fast }",
        "`fast` is not a rate",
        "2:29",
        "sources.connection_rate",
        "`100/s`",
    ),
    (
        "upstream: ws://x\nsources: { deny: [10.0.0.0/40] }",
        "`10.0.0.0/40` is not a network",
        "2:19",
        "sources.deny[0]",
        "`10.0.0.0/8`",
    ),
    (
        "routes: [{ path: '/{room}', upstream: ws://x, balance: { by: consistent_hash, on: '{rom}' } }]",
        "the path has no parameter `rom`",
        "1:83",
        "routes[0].balance.on",
        "did you mean `{room}`?",
    ),
    (
        "routes: [{ path: /, upstream: ws://x, balance: { by: consistent_hash, on: users } }]",
        "no caller is told by `users`",
        "1:75",
        "routes[0].balance.on",
        "did you mean `user`?",
    ),
    (
        "routes: [{ path: /, upstream: ws://x, balance: { on: user } }]",
        "nothing is hashed where connections are counted",
        "1:54",
        "routes[0].balance.on",
        "`by: consistent_hash`",
    ),
    (
        "routes: [{ path: /, upstream: ws://x, upstream_tls: { pins: [] } }]",
        "`x` shows no certificate",
        "1:39",
        "routes[0].upstream_tls",
        "`wss://`",
    ),
    (
        "routes: [{ path: /, upstream: wss://x, upstream_tls: { pins: [sha256/abc] } }]",
        "`sha256/abc` is not the pin of a key",
        "1:63",
        "routes[0].upstream_tls.pins[0]",
        "44 characters",
    ),
    (
        "routes: [{ path: /, upstream: wss://x, upstream_tls: { ca_file: gone.pem } }]",
        "cannot read `gone.pem`: no such file",
        "1:65",
        "routes[0].upstream_tls.ca_file",
        "check the path",
    ),
    (
        "upstream: ws://x\nmessages: { outbound: { queue_max: 0 } }",
        "`0` is out of bounds",
        "2:36",
        "messages.outbound.queue_max",
        "1 to 1000000",
    ),
    (
        "routes: [{ path: /, upstream: ws://x, health: { interval: 10ms } }]",
        "the time is out of bounds",
        "1:59",
        "routes[0].health.interval",
        "`100ms` to `1h`",
    ),
    (
        "routes: [{ path: /, upstream: ws://x, health: { interval: 1s, timeout: 2s } }]",
        "a question would not be over before the next",
        "1:72",
        "routes[0].health.timeout",
        "no longer than `interval`",
    ),
    (
        "routes: [{ path: /, upstream: ws://x, health: { path: /up } }]",
        "nothing is asked for where only a connection is made",
        "1:55",
        "routes[0].health.path",
        "`check: http`",
    ),
    (
        "routes: [{ path: /, upstream: ws://x, health: { check: http, path: up } }]",
        "`up` is not a path",
        "1:68",
        "routes[0].health.path",
        "`/health`",
    ),
    (
        "routes: [{ path: /, upstream: ws://x, health: { unhealthy_after: 0 } }]",
        "`0` is out of bounds",
        "1:66",
        "routes[0].health.unhealthy_after",
        "1 to 100",
    ),
    (
        "upstream: ws://x\ngeo: { countries_file: c.mmdb, deny_countries: [DE, UK] }",
        "`UK` is no country",
        "2:53",
        "geo.deny_countries[1]",
        "`GB`",
    ),
    (
        "upstream: ws://x\ngeo: { allow_countries: [DE] }",
        "there is no `geo.countries_file` to know it by",
        "2:8",
        "geo.allow_countries",
        "name one",
    ),
    (
        "upstream: ws://x\ngeo: { networks_file: n.mmdb, allow_networks: [] }",
        "the list is empty",
        "2:31",
        "geo.allow_networks",
        "leave the key out",
    ),
    (
        "upstream: ws://x\ngeo: { networks_file: n.mmdb, deny_networks: [ASX] }",
        "`ASX` is not the number of an autonomous system",
        "2:47",
        "geo.deny_networks[0]",
        "`AS64496`",
    ),
    (
        "upstream: ws://x\nthreat_lists: [{ name: a, file: a.txt, url: 'https://x' }]",
        "a list has a `file` or a `url`, not both",
        "2:45",
        "threat_lists[0].url",
        "keep one",
    ),
    (
        "upstream: ws://x\nthreat_lists: [{ name: a, url: 'http://lists.example/a' }]",
        "a list over plain `http://` is for loopback only",
        "2:32",
        "threat_lists[0].url",
        "`https://`",
    ),
    (
        "upstream: ws://x\nthreat_lists: [{ name: a, file: a }, { name: a, file: b }]",
        "the name `a` stands twice",
        "2:46",
        "threat_lists[1].name",
        "a name of its own",
    ),
    (
        "upstream: ws://x\nthreat_lists: [{ name: a, file: a, refresh: 10ms }]",
        "a list is read at most once a second",
        "2:45",
        "threat_lists[0].refresh",
        "`1h`",
    ),
    (
        "upstream: ws://x\nreputation: { suspicious: 30, slow: 20 }",
        "`suspicious`, `slow` and `ban` are not in this order",
        "2:1",
        "reputation",
        "`ban: 50`",
    ),
    (
        "upstream: ws://x\nreputation: { points: { threat: 5000 } }",
        "`5000` is out of bounds",
        "2:33",
        "reputation.points.threat",
        "0 to 1000",
    ),
    (
        "upstream: ws://x\nreputation: { delay: 1h }",
        "a handshake waits at most 30 s",
        "2:22",
        "reputation.delay",
        "`5s`",
    ),
    (
        "upstream: ws://x\nsources: { attempt_delay: { after: 5/min, first: 5s, max: 1s } }",
        "the longest wait is shorter than the first",
        "2:59",
        "sources.attempt_delay.max",
        "longer",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { domains: { a: [b] }, limits: [{ per: domain, rate: 1/s, on_excess: delay }] } }",
        "a sender cannot be delayed for one type alone",
        "2:91",
        "messages.inbound.limits[0].on_excess",
        "`connection`",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { limits: [{ rate: 1/s, fan_out: /to }] } }",
        "the limit does not count cost",
        "2:55",
        "messages.inbound.limits[0].fan_out",
        "`of: cost`",
    ),
    ("upstream: ws://x\naudit: { enabled: maybe }", "`maybe` is not `on` or `off`", "2:19", "audit.enabled", "`off`"),
    (
        "upstream: ws://x\nlisten: { address: here }",
        "`here` is not an address and a port",
        "2:20",
        "listen.address",
        "`127.0.0.1:8350`",
    ),
    (
        "upstream: ws://x\nlisten: { headers_max: 7 }",
        "`7` is out of bounds",
        "2:24",
        "listen.headers_max",
        "from 8 to 1000",
    ),
    (
        "upstream: ws://x\nlisten: { headers_max: 1001 }",
        "`1001` is out of bounds",
        "2:24",
        "listen.headers_max",
        "from 8 to 1000",
    ),
    (
        "upstream: ftp://x",
        "`ftp://x` is not a backend's URL: the scheme is not `ws`, `wss`, `http` or `https`",
        "1:11",
        "upstream",
        "ws://",
    ),
    (
        "upstream: ws://u:secret@x",
        "`ws://…@x` is not a backend's URL: it carries a user or password",
        "1:11",
        "upstream",
        "ws://",
    ),
    (
        "upstream: ws://x\norigins: { allow: [app.example.com] }",
        "`app.example.com` is not an origin: it has no scheme",
        "2:20",
        "origins.allow[0]",
        "https://",
    ),
    (
        "upstream: ws://x\nerrors: { template: oops }",
        "the template is not JSON",
        "2:21",
        "errors.template",
        "{message}",
    ),
    (
        "upstream: ws://x\nidentity: { claims: { roles: roles } }",
        "`roles` is not a JSON Pointer (RFC 6901)",
        "2:30",
        "identity.claims.roles",
        "`/user/id`",
    ),
    // keys that verify
    (
        "upstream: ws://x\nidentity: { keys: [{ secret_file: jwt.secret }] }",
        "`algorithm` is missing",
        "2:20",
        "identity.keys[0].algorithm",
        "pin the one algorithm",
    ),
    (
        "upstream: ws://x\nidentity: { keys: [{ algorithm: HS256 }] }",
        "a key has neither a secret nor a public key",
        "2:20",
        "identity.keys[0]",
        "secret_file",
    ),
    (
        "upstream: ws://x\nidentity: { keys: [{ algorithm: RS256, secret_file: jwt.secret }] }",
        "the algorithm verifies with a public key, not with a secret",
        "2:33",
        "identity.keys[0].algorithm",
        "public_key_file",
    ),
    (
        "upstream: ws://x\nidentity: { keys: [{ algorithm: HS256, public_key_file: public.pem }] }",
        "the algorithm verifies with a secret, not with a public key",
        "2:33",
        "identity.keys[0].algorithm",
        "secret_file",
    ),
    (
        "upstream: ws://x\nidentity: { keys: [{ algorithm: none, secret_file: jwt.secret }] }",
        "`none` is not known here",
        "2:33",
        "identity.keys[0].algorithm",
        "`HS256`",
    ),
    (
        "upstream: ws://x\nidentity: { keys: [{ algorithm: RS256, public_key_file: private.pem }] }",
        "this is a private key",
        "2:57",
        "identity.keys[0].public_key_file",
        "-pubout",
    ),
    (
        "upstream: ws://x\nidentity: { keys: [{ algorithm: HS256, secret_file: gone }] }",
        "cannot read `gone`: no such file",
        "2:53",
        "identity.keys[0].secret_file",
        "permissions",
    ),
    (
        "upstream: ws://x\nidentity: { keys: [{ algorithm: HS256, secret_file: empty.secret }] }",
        "the secret is empty",
        "2:53",
        "identity.keys[0].secret_file",
        "openssl rand",
    ),
    (
        "upstream: ws://x\nidentity: { keys: [{ algorithm: HS256, secret_env: GONE }] }",
        "the environment variable `GONE` is not set",
        "2:52",
        "identity.keys[0].secret_env",
        "set it",
    ),
    (
        "upstream: ws://x\nadmin: { token_env: A, token_file: b }",
        "`token` is given more than once",
        "2:1",
        "admin",
        "keep one",
    ),
    (
        "upstream: ws://x\nidentity: { jwks: [{ url: 'http://issuer.example/k' }] }",
        "a key set over plain `http://` is for loopback only",
        "2:27",
        "identity.jwks[0].url",
        "https://",
    ),
    (
        "upstream: ws://x\nidentity: { jwks: [{ file: set.json, algorithms: [HS256] }] }",
        "a key set verifies with public keys only",
        "2:38",
        "identity.jwks[0].algorithms",
        "published secret",
    ),
    (
        "upstream: ws://x\nidentity: { providers: [{ issuer: 'http://issuer.example' }] }",
        "a provider over plain `http://` is for loopback only",
        "2:35",
        "identity.providers[0].issuer",
        "https://",
    ),
    (
        "upstream: ws://x\nidentity: { providers: [{ issuer: 'https://issuer.example/?a=b' }] }",
        "`https://issuer.example/?a=b` is not an issuer",
        "2:35",
        "identity.providers[0].issuer",
        "`iss`",
    ),
    (
        "upstream: ws://x\nidentity: { providers: [{ issuer: 'https://a.example' }, { issuer: 'https://a.example' }] }",
        "the issuer `https://a.example` stands twice",
        "2:68",
        "identity.providers[1].issuer",
        "`audiences`",
    ),
    (
        "upstream: ws://x\nidentity: { providers: [{ issuer: 'https://a.example', algorithms: [HS256] }] }",
        "a key set verifies with public keys only",
        "2:56",
        "identity.providers[0].algorithms",
        "published secret",
    ),
    (
        "upstream: ws://x\nidentity: { introspection: { url: 'http://a.example/i', client_id: g, client_secret: s } }",
        "an endpoint over plain `http://` is for loopback only",
        "2:35",
        "identity.introspection.url",
        "https://",
    ),
    (
        "upstream: ws://x\nidentity: { introspection: { url: 'https://a.example/i', client_id: g } }",
        "`client_secret_file` is missing",
        "2:13",
        "identity.introspection.client_secret_file",
        "name the file",
    ),
    (
        "upstream: ws://x\nidentity: { introspection: { url: 'https://a.example/i', client_id: g, client_secret: s, cache_ttl: 2h } }",
        "answers are remembered for too long",
        "2:101",
        "identity.introspection.cache_ttl",
        "1h",
    ),
    (
        "upstream: ws://x\nshared_state: { url: 'http://cache:6379' }",
        "this is no address of Redis or Valkey",
        "2:22",
        "shared_state.url",
        "redis://host:6379",
    ),
    (
        "upstream: ws://x\nshared_state: { url: 'redis://a,redis://b/3' }",
        "a cluster has no numbered databases",
        "2:22",
        "shared_state.url",
        "leave the number",
    ),
    (
        "upstream: ws://x\nshared_state: { url: 'redis://a,rediss://b', sentinel_master: m }",
        "some Sentinels are asked with TLS and some without",
        "2:22",
        "shared_state.url",
        "for none",
    ),
    (
        "upstream: ws://x\nshared_state: { url: 'redis://a', sentinel_master: 'my master' }",
        "no Sentinel takes this name of a master",
        "2:52",
        "shared_state.sentinel_master",
        "sentinel monitor",
    ),
    (
        "upstream: ws://x\nshared_state: { url: 'redis://a', sentinel_password: s }",
        "`sentinel_password` is given without `sentinel_master`",
        "2:1",
        "shared_state",
        "mymaster",
    ),
    (
        "upstream: ws://x\nshared_state: { url: 'redis://a', sentinel_mastr: m }",
        "unknown key `sentinel_mastr` in `shared_state`",
        "2:35",
        "shared_state.sentinel_mastr",
        "sentinel_master",
    ),
    (
        "upstream: ws://x\nshared_state: { url: 'rediss://a', ca_file: public.pem }",
        "`public.pem` holds no PEM block `CERTIFICATE`",
        "2:45",
        "shared_state.ca_file",
        "convert it to PEM",
    ),
    (
        "upstream: ws://x\nshared_state: { url: 'redis://a', prefix: 'a{b}' }",
        "the prefix cannot begin a key",
        "2:43",
        "shared_state.prefix",
        "letters",
    ),
    (
        "upstream: ws://x\nshared_state: { url: 'redis://a', timeout: 2s }",
        "the time is out of bounds",
        "2:44",
        "shared_state.timeout",
        "`5ms` to `1s`",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { callbacks: [{ timeout: 2s }] } }",
        "`url` is missing",
        "2:36",
        "messages.inbound.callbacks[0].url",
        "write where it is",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { callbacks: [{ url: 'http://u:p@a/' }] } }",
        "the text is not a URL to ask",
        "2:43",
        "messages.inbound.callbacks[0].url",
        "https://",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { callbacks: [{ url: 'http://a/', timeout: 31s }] } }",
        "the timeout is out of bounds",
        "2:65",
        "messages.inbound.callbacks[0].timeout",
        "30s",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { callbacks: [{ url: 'http://a/', types: [] }] } }",
        "the list of types is empty",
        "2:56",
        "messages.inbound.callbacks[0].types",
        "leave it out",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { json: { mode: off }, callbacks: [{ url: 'http://a/', types: [pay] }] } }",
        "nobody can read a type while JSON is off",
        "2:77",
        "messages.inbound.callbacks[0].types",
        "json.mode",
    ),
    (
        "upstream: ws://x\nmessages: { outbound: { callbacks: [{ url: 'http://a/', concurrency_max: 0 }] } }",
        "`0` is out of bounds",
        "2:74",
        "messages.outbound.callbacks[0].concurrency_max",
        "1024",
    ),
    (
        "routes:\n  - { path: /a, upstream: ws://x, authorizer: { timeout: 2s } }",
        "`url` is missing",
        "2:35",
        "routes[0].authorizer.url",
        "write where it is",
    ),
    (
        "routes:\n  - { path: /a, upstream: ws://x, authorizer: { url: 'ftp://a', timeout: 2s } }",
        "`ftp://a` is not a URL to ask",
        "2:54",
        "routes[0].authorizer.url",
        "https://",
    ),
    (
        "routes:\n  - { path: /a, upstream: ws://x, authorizer: { url: 'http://a/', timeout: 1m } }",
        "the timeout is out of bounds",
        "2:76",
        "routes[0].authorizer.timeout",
        "30s",
    ),
    (
        "upstream: ws://x\nidentity: { jwks: [{}] }",
        "a key set needs one place",
        "2:20",
        "identity.jwks[0]",
        "`url` or `file`",
    ),
    (
        "upstream: ws://x\nlisten: { tls: { certificate: chain.pem } }",
        "`key` is missing",
        "2:11",
        "listen.tls.key",
        "PEM file",
    ),
    (
        "upstream: ws://x\nlisten: { tls: { certificate: chain.pem, key: chain.pem } }",
        "`chain.pem` holds no PEM block `PRIVATE KEY`",
        "2:47",
        "listen.tls.key",
        "PEM",
    ),
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
    // limits
    (
        "upstream: ws://x\nmessages: { inbound: { limits: [{ per: usr, rate: 1/s }] } }",
        "`usr` is not known here",
        "2:40",
        "messages.inbound.limits[0].per",
        "did you mean `user`?",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { limits: [{ rate: 1MiB/s }] } }",
        "the rate is of bytes, but the limit counts something else",
        "2:41",
        "messages.inbound.limits[0].rate",
        "`of: bytes`",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { limits: [{ rate: 1/s burst 5, burst: 6 }] } }",
        "the burst is given twice",
        "2:61",
        "messages.inbound.limits[0].burst",
        "keep `burst`",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { limits: [{ rate: 1/s, burst: 6, algorithm: sliding_window }] } }",
        "a sliding window has no burst",
        "2:53",
        "messages.inbound.limits[0].burst",
        "token_bucket",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { limits: [{ per: domain, rate: 1/s }] } }",
        "there are no domains to count by",
        "2:40",
        "messages.inbound.limits[0].per",
        "domains: {pay: [pay.*]}",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { limits: [{ per: type, rate: 1/s }] } }",
        "it is not said which types there are",
        "2:40",
        "messages.inbound.limits[0].per",
        "`envelope.types`",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { limits: [{ of: cost, rate: 1/s }] } }",
        "nothing says what a message costs",
        "2:39",
        "messages.inbound.limits[0].of",
        "add `weights`",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { limits: [{ types: [a*b], rate: 1/s }] } }",
        "`a*b` is no type and no pattern of types",
        "2:43",
        "messages.inbound.limits[0].types[0]",
        "`chat.*`",
    ),
    (
        "upstream: ws://x\nmessages: { outbound: { limits: [{ types: [a], rate: 1/s }] } }",
        "the limit asks for the type of a message, but `json.mode` is `off`",
        "2:34",
        "messages.outbound.limits[0]",
        "`required` or `detect`",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { domains: { a: [x], b: [y, x] } } }",
        "the type is in another domain too",
        "2:50",
        "messages.inbound.domains.b[1]",
        "one domain",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { limits: [{ per: ip, rate: 1/s, multipliers: { roles: { a: 2 } } }] } }",
        "a limit per `ip` counts callers of all roles together",
        "2:70",
        "messages.inbound.limits[0].multipliers.roles",
        "per `user`",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { offenders: { waits: [5s, 30s, 30s] } } }",
        "the wait is not longer than the one before",
        "2:54",
        "messages.inbound.offenders.waits[2]",
        "each step waits longer",
    ),
    (
        "upstream: ws://x\nmessages: { outbound: { offenders: {} } }",
        "the backend is no offender",
        "2:25",
        "messages.outbound.offenders",
        "`inbound`",
    ),
    (
        "upstream: ws://x\nfloods: { over: [3, 6] }",
        "there is one value each for elevated, high and critical, each stronger than the last",
        "2:11",
        "floods.over",
        "[3, 6, 12]",
    ),
    (
        "upstream: ws://x\nfloods: { multipliers: [0.5, 0.75, 0.25] }",
        "there is one value each for elevated, high and critical, each stronger than the last",
        "2:11",
        "floods.multipliers",
        "[0.75, 0.5, 0.25]",
    ),
    ("upstream: ws://x\nfloods: { learn: 59s }", "the span is too short or too long", "2:18", "floods.learn", "`7d`"),
    (
        "upstream: ws://x\nlockdown: { multiplier: 2 }",
        "`2` would loosen the limits",
        "2:25",
        "lockdown.multiplier",
        "at most 1",
    ),
    (
        "upstream: ws://x\ncalendars: { market: { zone: America/New_Yrok } }",
        "`America/New_Yrok` is no time zone",
        "2:30",
        "calendars.market.zone",
        "did you mean `America/New_York`?",
    ),
    (
        "upstream: ws://x\ncalendars: { market: { zone: UTC, holidays: [2026-12-25, 2026-02-30] } }",
        "`2026-02-30` is no day of any calendar",
        "2:58",
        "calendars.market.holidays[1]",
        "`2026-12-25`",
    ),
    (
        "upstream: ws://x\ncalendars: { market: { zone: UTC, hours: '9-17' } }",
        "`9-17` is no span of hours",
        "2:42",
        "calendars.market.hours",
        "09:30-16:00",
    ),
    (
        "upstream: ws://x\ncalendars: { market: { zone: UTC, days: [mon-fry] } }",
        "`mon-fry` is no day of the week and no span of them",
        "2:42",
        "calendars.market.days[0]",
        "`mon-fri`",
    ),
    (
        "upstream: ws://x\ncalendars: { market: { zone: UTC } }\nmessages: { inbound: { limits: [{ rate: 1/s, multipliers: { calendars: { markt: 2 } } }] } }",
        "there is no calendar `markt`",
        "3:81",
        "messages.inbound.limits[0].multipliers.calendars.markt",
        "did you mean `market`?",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { limits: [{ rate: 1/s, multipliers: { roles: { a: 0 } } }] } }",
        "`0` is not a factor",
        "2:73",
        "messages.inbound.limits[0].multipliers.roles.a",
        "0.001 to 1000",
    ),
    (
        "routes:\n  - { path: /a, upstream: ws://x, connections_per_user_group: g }\n  - { path: /b, upstream: ws://x }",
        "`connections_per_user_max` is off, so `g` counts nothing here",
        "2:63",
        "routes[0].connections_per_user_group",
        "set `connections_per_user_max`",
    ),
    (
        "routes:\n  - { path: /a, upstream: ws://x, connections_per_user_max: 1, connections_per_user_group: g }\n  - { path: /b, upstream: ws://x }",
        "no other route is of the group `g`",
        "2:92",
        "routes[0].connections_per_user_group",
        "give it to every route",
    ),
    (
        "routes:\n  - { path: /a, upstream: ws://x, connections_per_user_max: 1, connections_per_user_group: b }\n  - { path: /b, upstream: ws://x }",
        "`b` is the name of a route",
        "2:92",
        "routes[0].connections_per_user_group",
        "a name of its own",
    ),
    (
        "routes:\n  - { path: /a, upstream: ws://x, connections_per_user_max: 1, connections_per_user_group: '' }",
        "the group has no name",
        "2:92",
        "routes[0].connections_per_user_group",
        "drop the key",
    ),
];

#[test]
fn each_fault_has_its_place_and_a_way_out() {
    for (text, message, place, key, help) in CASES {
        let errors = load_furnished(text).map(|_| ()).expect_err(text);
        let [error] = errors.0.as_slice() else { panic!("one error for {text:?}:\n{errors}") };
        let at = error.location.as_ref().map(|at| format!("{}:{}", at.line, at.column)).unwrap_or_default();
        assert_eq!((error.message.as_str(), at.as_str(), error.key.as_str()), (*message, *place, *key), "{text}");
        assert!(error.help.contains(help), "{text}\n{error}");
    }
}

#[test]
fn several_faults_are_told_together_in_the_order_of_the_text() {
    let text = "\
listn: { address: 1 }
routes:
  - path: /ws/{user_id}
    upstream: ftp://x
    inbound: { bytes_max: -1, json: { mode: abc } }
audit:
  retention: soon
  retenton: 5
";
    let shown = load_furnished(text).map(|_| ()).expect_err("five faults").to_string();
    let expected = "\
error: unknown key `listn` at the top
 --> portcullis.yaml:1:1
  |
1 | listn: { address: 1 }
  | ^^^^^
  = key: listn
  = help: did you mean `listen`?

error: `ftp://x` is not a backend's URL: the scheme is not `ws`, `wss`, `http` or `https`
 --> portcullis.yaml:4:15
  |
4 |     upstream: ftp://x
  |               ^^^^^^^
  = key: routes[0].upstream
  = help: write `ws://127.0.0.1:3000` or `wss://backend.example/prefix`

error: `-1` is not a size
 --> portcullis.yaml:5:27
  |
5 |     inbound: { bytes_max: -1, json: { mode: abc } }
  |                           ^^
  = key: routes[0].inbound.bytes_max
  = help: write a number of bytes, or a number and a unit: `512`, `16KiB`, `1MiB`, `2GiB`

error: `abc` is not known here
 --> portcullis.yaml:5:45
  |
5 |     inbound: { bytes_max: -1, json: { mode: abc } }
  |                                             ^^^
  = key: routes[0].inbound.json.mode
  = help: it may be `required`, `detect`, `off`

error: `soon` is not a duration
 --> portcullis.yaml:7:14
  |
7 |   retention: soon
  |              ^^^^
  = key: audit.retention
  = help: write a whole number and a unit: `250ms`, `30s`, `5m`, `1h`, `90d`

error: unknown key `retenton` in `audit`
 --> portcullis.yaml:8:3
  |
8 |   retenton: 5
  |   ^^^^^^^^
  = key: audit.retenton
  = help: did you mean `retention`?
";
    assert_eq!(shown, expected);
}

#[test]
fn production_says_exactly_what_it_lacks() {
    for name in ["production", "high-security"] {
        let text = format!("environment: {name}\nupstream: ws://127.0.0.1:3000\n");
        let errors = load_furnished(&text).map(|_| ()).expect_err("it lacks two things");
        let shown = errors.to_string();
        assert_eq!(errors.0.len(), 2, "{shown}");
        for part in ["identity.keys", "--set listen.tls_terminated_by_proxy=true", "listen.tls.certificate", "jwks"] {
            assert!(shown.contains(part), "{part}\n{shown}");
        }
    }
    assert!(load_furnished(PRODUCTION).is_ok());
}

#[test]
fn errors_are_data_too() {
    let errors = load_furnished("upstream: ftp://x").map(|_| ()).expect_err("no such scheme");
    let json = serde_json::to_value(&errors).unwrap();
    assert_eq!(json[0]["location"]["line"], 1);
    assert_eq!(json[0]["location"]["file"], "portcullis.yaml");
    assert_eq!(json[0]["key"], "upstream");
}
