//! `access` and what asks for permissions: each fault with its place, and what the presets start from.

use super::{load_furnished, load_text};

/// Text → message, `line:column`, key, a part of the help.
const CASES: &[(&str, &str, &str, &str, &str)] = &[
    (
        "upstream: ws://x\naccess: { roles: { editor: { inherits: [usr] } } }",
        "`usr` is not a role",
        "2:41",
        "access.roles.editor.inherits[0]",
        "did you mean `user`?",
    ),
    (
        "upstream: ws://x\naccess: { permissions: { chat.send: [user, zzzzzz] } }",
        "`zzzzzz` is not a role",
        "2:44",
        "access.permissions.chat.send[1]",
        "define it",
    ),
    (
        "upstream: ws://x\naccess: { roles: { guest: { inherits: [admin] } } }",
        "the role `admin` inherits itself: admin → moderator → user → guest → admin",
        "2:29",
        "access.roles.guest.inherits",
        "take one of them out",
    ),
    (
        "upstream: ws://x\naccess: { roles: { user: { allow: [chat.*, chat*] } } }",
        "`chat*` is not a permission: `*` stands alone, after the last dot, or in place of the resource",
        "2:44",
        "access.roles.user.allow[1]",
        "`chat.*`",
    ),
    (
        "upstream: ws://x\naccess: { roles: { user: { deny: ['a b'] } } }",
        "`a b` is not a permission: between dots stand letters, digits, `_` and `-`",
        "2:35",
        "access.roles.user.deny[0]",
        "`chat.send`",
    ),
    (
        "upstream: ws://x\naccess: { permissions: { 'read:a.b': [user] } }",
        "`read:a.b` is not a permission: a resource has letters, digits and `_-@+=~`, at most 128 of them",
        "2:26",
        "access.permissions.read:a.b",
        "`conversation.read:42`",
    ),
    (
        "upstream: ws://x\naccess: { roles: { 'my role': { allow: [a] } } }",
        "this cannot be the name of a role",
        "2:20",
        "access.roles.my role",
        "without spaces",
    ),
    (
        "routes: [{ path: '/a', upstream: ws://x, permission: chat.* }]",
        "`chat.*` cannot be asked for: what is asked for names one permission; wildcards stand in what a role is allowed",
        "1:54",
        "routes[0].permission",
        "`chat.send`",
    ),
    (
        "routes: [{ path: '/a/{room}', upstream: ws://x, permission: 'join:{rooms}' }]",
        "the path has no parameter `rooms`",
        "1:61",
        "routes[0].permission",
        "did you mean `room`?",
    ),
    (
        "routes: [{ path: '/a', upstream: ws://x, permission: 'join:{/room}' }]",
        "`join:{/room}` reads a message, and there is none yet",
        "1:54",
        "routes[0].permission",
        "parameter of the path",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { permissions: { '*.send': chat.write } } }",
        "`*.send` stands for no type of message",
        "2:49",
        "messages.inbound.permissions.*.send",
        "`*` stands at the end",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { permissions: { chat.send: chat.* } } }",
        "`chat.*` cannot be asked for: what is asked for names one permission; wildcards stand in what a role is allowed",
        "2:50",
        "messages.inbound.permissions.chat.send",
        "`chat.send`",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { permissions: { chat.send: 'read:{room}' } } }",
        "`read:{room}` reads the path, and a message has none",
        "2:50",
        "messages.inbound.permissions.chat.send",
        "`{/room}`",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { permissions: { chat.send: 'read:{/ro~om}' } } }",
        "`/ro~om` is not a JSON Pointer (RFC 6901)",
        "2:50",
        "messages.inbound.permissions.chat.send",
        "slash",
    ),
    (
        "upstream: ws://x\nmessages: { outbound: { permissions: { '*': anyone } } }",
        "nobody can read a field of a message while JSON is off",
        "2:25",
        "messages.outbound.permissions",
        "`json.mode`",
    ),
    (
        "upstream: ws://x\nmessages: { outbound: { envelope: { tenant: [/tenant] } } }",
        "nobody can read a field of a message while JSON is off",
        "2:25",
        "messages.outbound.envelope",
        "`json.mode`",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { envelope: { tenant: [tenant] } } }",
        "`tenant` is not a JSON Pointer (RFC 6901)",
        "2:45",
        "messages.inbound.envelope.tenant[0]",
        "slash",
    ),
    (
        "upstream: ws://x\nmessages: { outbound: { guest_types: [news] } }",
        "nobody can read a field of a message while JSON is off",
        "2:25",
        "messages.outbound.guest_types",
        "`json.mode`",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { guest_types: [news, '*.read'] } }",
        "`*.read` stands for no type of message",
        "2:44",
        "messages.inbound.guest_types[1]",
        "`*` stands at the end",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { subscriptions: { begin: { join: room } } } }",
        "`room` is not a JSON Pointer (RFC 6901)",
        "2:56",
        "messages.inbound.subscriptions.begin.join",
        "slash",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { subscriptions: { max: 5 } } }",
        "`begin` is missing",
        "2:24",
        "messages.inbound.subscriptions.begin",
        "begin: { subscribe: /topic }",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { subscriptions: { begin: { join: /r }, max: 0 } } }",
        "`0` is out of bounds",
        "2:67",
        "messages.inbound.subscriptions.max",
        "1 to 1000",
    ),
    (
        "upstream: ws://x\nmessages: { outbound: { json: { mode: required }, subscribed: { text: /room } } }",
        "nobody can subscribe, so nobody would hear it",
        "2:51",
        "messages.outbound.subscribed",
        "subscriptions: { begin",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { json: { mode: required }, subscribed: { text: /room } } }",
        "it is about what clients hear",
        "2:50",
        "messages.inbound.subscribed",
        "under `outbound`",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { mfa_types: [''] } }",
        "`` stands for no type of message",
        "2:36",
        "messages.inbound.mfa_types[0]",
        "`chat.*`",
    ),
    (
        "upstream: ws://x\nidentity: { mfa: { claim: mfa } }",
        "`mfa` is not a JSON Pointer (RFC 6901)",
        "2:27",
        "identity.mfa.claim",
        "slash",
    ),
    (
        "routes: [{ path: '/a', upstream: ws://x, authenticate: off, tenant: acme }]",
        "nobody could enter: without a credential a caller has no tenant",
        "1:69",
        "routes[0].tenant",
        "`authenticate: required`",
    ),
    (
        "routes: [{ path: '/a', upstream: ws://x, tenant: '' }]",
        "this cannot be the name of a tenant",
        "1:50",
        "routes[0].tenant",
        "as tokens do",
    ),
    (
        "upstream: ws://x\nmessages: { inbound: { untyped_permission: anyone } }",
        "it says nothing without `permissions`",
        "2:44",
        "messages.inbound.untyped_permission",
        "take it out",
    ),
    (
        "routes: [{ path: '/a', upstream: ws://x, checks: off, inbound: { permissions: { '*': anyone } } }]",
        "`checks` is off, so nobody would see who may say what in `inbound`",
        "1:50",
        "routes[0].checks",
        "turn it on",
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
fn four_roles_are_there_and_each_inherits_the_one_below() {
    let text =
        "upstream: ws://x\naccess: { roles: { user: { allow: [chat.send] } }, permissions: { chat.ban: [moderator] } }";
    let roles = load_text(text).unwrap_or_else(|errors| panic!("{errors}")).checked.access;
    assert_eq!(roles.ladder(), ["guest", "user", "moderator", "admin"]);
    for (role, permission, may) in [
        ("guest", "chat.send", false),
        ("user", "chat.send", true),
        ("user", "chat.ban", false),
        ("moderator", "chat.ban", true),
        ("admin", "chat.send", true),
        ("admin", "chat.ban", true),
    ] {
        let held = [Box::from(role)];
        assert_eq!(roles.standing(&held, &[]).rule(permission, None).is_allowed(), may, "{role} {permission}");
    }
}

#[test]
fn a_role_of_the_preset_can_inherit_something_else() {
    let text = "upstream: ws://x\naccess: { roles: { moderator: { allow: [a] }, admin: { inherits: [] } } }";
    let roles = load_text(text).unwrap_or_else(|errors| panic!("{errors}")).checked.access;
    assert_eq!(roles.ladder(), ["admin", "guest", "user", "moderator"]);
    let held = [Box::from("admin")];
    assert!(!roles.standing(&held, &[]).rule("a", None).is_allowed());
}

#[test]
fn rules_that_name_more_fields_than_can_be_followed_are_refused_where_they_stand() {
    let with = |count: usize| {
        let rules: Vec<String> = (0..count).map(|n| format!("t{n}: 'read:{{/f{n}}}'")).collect();
        load_text(&format!("upstream: ws://x\nmessages:\n  inbound:\n    permissions: {{ {} }}\n", rules.join(", ")))
    };
    assert!(with(63).is_ok(), "63 and the type");
    let errors = with(64).map(|_| ()).expect_err("65 fields");
    let [error] = errors.0.as_slice() else { panic!("one error:\n{errors}") };
    assert_eq!(error.key, "messages.inbound");
    assert!(error.message.contains("more than 64 fields"), "{error}");
}

#[test]
fn fields_of_html_count_among_those_that_can_be_followed() {
    let fields: Vec<String> = (0..64).map(|n| format!("/f{n}")).collect();
    let with = |mask: &str| {
        let html = fields.join(", ");
        load_text(&format!(
            "upstream: ws://x\nmessages:\n  inbound:\n    html: {{ fields: [{html}] }}\n    mask: [{mask}]\n"
        ))
    };
    assert!(with("/f0").is_ok(), "the same field is followed once");
    let errors = with("/more").map(|_| ()).expect_err("65 fields");
    assert!(errors.0[0].message.contains("more than 64 fields"), "{errors}");
}
