//! What YAML and kinds of values ask for.

use super::Case;

pub(super) const CASES: &[Case] = &[
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
];
